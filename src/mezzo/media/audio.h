#pragma once

#include <cstddef>
#include <cstdint>

#include "mezzo/base/clock.h"

namespace mezzo::media {

/// All sound in this module: 48,000 samples a second, two channels, interleaved, full scale is ±1. A "frame"
/// of sound is one sample of each channel.
inline constexpr int kSampleRate = 48000;
inline constexpr std::size_t kChannels = 2;

/// Sound frames in `duration`, rounded. Not negative.
inline std::uint64_t SoundFrames(Duration duration) {
  return static_cast<std::uint64_t>((duration.count() / 1000 * kSampleRate + 500'000) / 1'000'000);
}

}  // namespace mezzo::media
