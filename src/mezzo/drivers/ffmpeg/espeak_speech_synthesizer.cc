#include "mezzo/drivers/ffmpeg/espeak_speech_synthesizer.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "mezzo/runtime/child_process.h"

namespace mezzo::drivers {
namespace {

// Words a minute: eSpeak's own 175 is fast for a voice like this; above 260 it is hard to follow.
constexpr int kNormalSpeed = 165;
constexpr int kHighestSpeed = 260;
constexpr double kSafety = 1.05;  // Pauses do not shrink with the words.
constexpr std::size_t kPieceFrames = 8192;

const char* Voice(media::Language language) {
  return language == media::Language::kChinese ? "cmn" : "en-us";
}

}  // namespace

Result<media::Speech> EspeakSpeechSynthesizer::SpeakAt(int words_per_minute, const std::string& text,
                                                       media::Language language, TimePoint deadline) {
  runtime::ChildProcess child{.command = {options_.program, "-v", Voice(language), "-s",
                                          std::to_string(words_per_minute), "-b", "1", "--stdin", "--stdout"},
                              .input = AsBytes(text),
                              // Also when it writes to standard output it prepares for a sound server first.
                              .max_file = std::uint64_t{80} << 20U};
  const TimePoint latest = std::min(deadline, AddSaturating(clock_.Now(), options_.max_time));
  MEZZO_TRY(std::string wav, runtime::OutputOf(child, latest, clock_));
  auto source = decoder_.Open(SharedBytes::FromString(std::move(wav)));
  if (!source.ok()) return Internal("speech_failed", "eSpeak's sound: " + source.error().message());
  media::Speech speech;
  std::vector<float> piece(kPieceFrames * media::kChannels);
  while (true) {
    MEZZO_TRY(const std::size_t frames, (*source)->Read(piece));
    for (std::size_t i = 0; i < frames; ++i) speech.samples.push_back(piece[i * media::kChannels]);
    if (frames < kPieceFrames) return speech;
  }
}

Result<media::Speech> EspeakSpeechSynthesizer::Speak(const std::string& text, media::Language language,
                                                     Duration room, TimePoint deadline) {
  MEZZO_TRY(media::Speech speech, SpeakAt(kNormalSpeed, text, language, deadline));
  if (speech.duration() <= room) return speech;
  const double faster = kNormalSpeed * kSafety * Seconds(speech.duration()) / Seconds(room);
  return SpeakAt(std::min(kHighestSpeed, static_cast<int>(std::lround(faster))), text, language, deadline);
}

}  // namespace mezzo::drivers
