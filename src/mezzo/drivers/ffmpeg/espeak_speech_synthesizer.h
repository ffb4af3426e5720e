#pragma once

#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/media/sound_source.h"
#include "mezzo/media/speech_synthesizer.h"

namespace mezzo::drivers {

/// Speaks with eSpeak NG, run as a child process for each text: its library keeps its state in globals, may
/// crash on odd text, and is GPL-3. The child has limits of memory, time and output. Thread-safe.
class EspeakSpeechSynthesizer final : public media::SpeechSynthesizer {
 public:
  struct Options {
    std::string program = "espeak-ng";
    Duration max_time = std::chrono::seconds(20);  ///< Of one run, also when the caller's deadline is later.
  };
  /// `decoder` reads the WAV file that the program writes. Both must outlive this.
  EspeakSpeechSynthesizer(Options options, media::SoundDecoder& decoder, const Clock& clock)
      : options_(std::move(options)), decoder_(decoder), clock_(clock) {}

  Result<media::Speech> Speak(const std::string& text, media::Language language, Duration room,
                              TimePoint deadline) override;

 private:
  Result<media::Speech> SpeakAt(int words_per_minute, const std::string& text, media::Language language,
                                TimePoint deadline);

  const Options options_;
  media::SoundDecoder& decoder_;
  const Clock& clock_;
};

}  // namespace mezzo::drivers
