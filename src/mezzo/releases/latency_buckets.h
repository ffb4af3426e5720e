#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "mezzo/base/clock.h"

namespace mezzo::releases {

/// Which bucket a latency falls into: 2^`sub_bits` linear steps in every octave from 2^`first_octave` ns to
/// 2^`end_octave` ns (as in G. Tene's HdrHistogram), one bucket below, the first, and one above, the last. A
/// step is at most 2^-`sub_bits` of its latency wide.
template <int sub_bits, int first_octave, int end_octave>
struct LatencyBuckets {
  static constexpr std::size_t kCount =
      (static_cast<std::size_t>(end_octave - first_octave) << static_cast<unsigned>(sub_bits)) + 2;

  static constexpr std::size_t IndexOf(Duration latency) {
    const std::int64_t ns = latency.count();
    if (ns < (std::int64_t{1} << first_octave)) return 0;
    if (ns >= (std::int64_t{1} << end_octave)) return kCount - 1;
    const auto value = static_cast<std::uint64_t>(ns);
    const int octave = static_cast<int>(std::bit_width(value)) - 1;
    const std::uint64_t sub = (value >> (octave - sub_bits)) - (std::uint64_t{1} << sub_bits);
    return 1 + (static_cast<std::size_t>(octave - first_octave) << sub_bits) + static_cast<std::size_t>(sub);
  }
  /// The least latency that falls into the bucket.
  static constexpr Duration LowerEdge(std::size_t bucket) {
    if (bucket == 0) return Duration::zero();
    const std::size_t step = bucket - 1;
    const int octave = first_octave + static_cast<int>(step >> sub_bits);
    const std::uint64_t sub = step & ((std::size_t{1} << sub_bits) - 1);
    return Duration(static_cast<std::int64_t>(((std::uint64_t{1} << sub_bits) + sub) << (octave - sub_bits)));
  }
};

}  // namespace mezzo::releases
