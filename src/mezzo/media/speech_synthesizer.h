#pragma once

#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/audio.h"
#include "mezzo/media/storyboard.h"

namespace mezzo::media {

/// Spoken text: one channel at kSampleRate.
struct Speech {
  std::vector<float> samples;
  [[nodiscard]] Duration duration() const {
    return Duration(static_cast<std::int64_t>(samples.size()) * 1'000'000'000 / kSampleRate);
  }
};

/// Reads text aloud. Thread-safe.
class SpeechSynthesizer {
 public:
  virtual ~SpeechSynthesizer() = default;
  /// Speaks `text` (UTF-8), as fast as it must be to end within `room`; speech that is still longer at the
  /// highest speed comes out longer than `room`. Blocks, at most until `deadline`.
  /// Fails with kInternal "speech_failed", kDeadlineExceeded "deadline".
  virtual Result<Speech> Speak(const std::string& text, Language language, Duration room,
                               TimePoint deadline) = 0;
};

}  // namespace mezzo::media
