#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"

namespace mezzo::models::internal {

/// Uses with exponential decay: a use counts half after each half-life.
class DecayingCount {
 public:
  void Add(std::uint64_t uses, TimePoint now, Duration half_life) {
    const double age = Seconds(now - at_) / Seconds(half_life);
    count_ = count_ * std::exp2(-age) + static_cast<double>(uses);
    at_ = now;
  }
  [[nodiscard]] double count() const { return count_; }

 private:
  double count_ = 0;
  TimePoint at_{};
};

/// A loaded session that may be evicted.
struct EvictionCandidate {
  std::size_t id = 0;
  ByteCount bytes = 0;
  double uses = 0;       ///< DecayingCount.
  Duration load_time{};  ///< What bringing it back costs.
  bool young = false;    ///< Loaded so recently that evicting it would be thrashing.
};

/// What a byte of the session is worth: recent uses × the cost of loading it again / bytes.
double ValueOf(const EvictionCandidate& candidate);

/// The least valuable candidates that free at least `shortfall` bytes, young ones only when the others do not
/// suffice; none that the rest makes unnecessary. Empty when all together do not suffice.
std::vector<std::size_t> ChooseVictims(std::vector<EvictionCandidate> candidates, ByteCount shortfall);

}  // namespace mezzo::models::internal
