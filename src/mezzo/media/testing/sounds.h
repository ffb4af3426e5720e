#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/media/audio.h"
#include "mezzo/media/sound_source.h"

namespace mezzo::media::testing {

/// A sine on both channels, `amplitude` of full scale.
inline std::vector<float> Sine(double hertz, double amplitude, Duration duration) {
  std::vector<float> out(SoundFrames(duration) * kChannels);
  for (std::size_t i = 0; i < out.size() / kChannels; ++i) {
    const double t = static_cast<double>(i) / kSampleRate;
    out[i * kChannels] = out[i * kChannels + 1] =
        static_cast<float>(amplitude * std::sin(2 * std::numbers::pi * hertz * t));
  }
  return out;
}

/// Sound from memory.
class SoundOf final : public SoundSource {
 public:
  explicit SoundOf(std::vector<float> samples) : samples_(std::move(samples)) {}

  Result<std::size_t> Read(std::span<float> out) override {
    const std::size_t count = std::min(out.size(), samples_.size() - at_);
    std::copy_n(samples_.begin() + static_cast<std::ptrdiff_t>(at_), count, out.begin());
    at_ += count;
    return count / kChannels;
  }
  Result<void> Rewind() override {
    at_ = 0;
    return {};
  }

 private:
  const std::vector<float> samples_;
  std::size_t at_ = 0;
};

/// Root mean square of both channels between two times, in decibels of full scale.
inline double LevelBetween(std::span<const float> sound, double from, double to) {
  double sum = 0;
  std::size_t count = 0;
  for (auto i = static_cast<std::size_t>(from * kSampleRate) * kChannels;
       i < static_cast<std::size_t>(to * kSampleRate) * kChannels && i < sound.size(); ++i, ++count) {
    sum += static_cast<double>(sound[i]) * sound[i];
  }
  return 10 * std::log10(sum / static_cast<double>(count) + 1e-20);
}

}  // namespace mezzo::media::testing
