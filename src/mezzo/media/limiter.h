#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <span>
#include <vector>

#include "mezzo/media/audio.h"
#include "mezzo/media/loudness.h"

namespace mezzo::media {

/// Keeps the true peak of stereo sound at or below a ceiling by turning it down ahead of what is too loud.
///
/// The gain a sample needs is the ceiling over its true peak. The least of the next 5 ms of needs, let go
/// slowly, and averaged over 5 ms, is the gain applied: it has come all the way down when the loud sample
/// arrives, without a step. Both channels get the same. Streaming: sound comes out latency() frames late. Not
/// thread-safe.
class Limiter {
 public:
  /// `ceiling` is a sample value, such as DecibelsToGain(-1.5).
  explicit Limiter(double ceiling);

  /// Replaces `sound` (whole frames) by the limited sound of latency() frames before; silence at first.
  void Process(std::span<float> sound);
  [[nodiscard]] static constexpr std::size_t latency() { return kWindow - 1 + kPeakDelay; }

 private:
  static constexpr std::size_t kWindow = kSampleRate / 200;
  static constexpr std::size_t kPeakDelay = TruePeakFilter::kDelay;

  double NextGain(double need);

  const double ceiling_;
  std::array<TruePeakFilter, kChannels> peaks_;
  std::vector<float> delayed_;  // A ring of latency() frames.
  std::size_t delayed_at_ = 0;
  struct Need {
    std::size_t index;
    double gain;
  };
  std::deque<Need> least_;  // Candidates for the least need of the window, rising.
  std::size_t index_ = 0;
  double held_ = 1;             // The least need, let go slowly.
  std::vector<double> recent_;  // A ring of the last kWindow held values,
  std::size_t recent_at_ = 0;
  double recent_sum_ = 0;  // and their sum.
};

}  // namespace mezzo::media
