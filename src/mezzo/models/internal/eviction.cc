#include "mezzo/models/internal/eviction.h"

#include <algorithm>

namespace mezzo::models::internal {

double ValueOf(const EvictionCandidate& candidate) {
  constexpr double kNeverUsed = 1e-3;  // Unused sessions still differ by size and cost.
  const double cost = std::max(Seconds(candidate.load_time), 1e-3);
  return (candidate.uses + kNeverUsed) * cost / static_cast<double>(std::max<ByteCount>(candidate.bytes, 1));
}

std::vector<std::size_t> ChooseVictims(std::vector<EvictionCandidate> candidates, ByteCount shortfall) {
  std::sort(candidates.begin(), candidates.end(), [](const EvictionCandidate& a, const EvictionCandidate& b) {
    if (a.young != b.young) return b.young;
    const double x = ValueOf(a);
    const double y = ValueOf(b);
    return x != y ? x < y : a.id < b.id;
  });
  std::vector<EvictionCandidate> chosen;
  ByteCount freed = 0;
  for (const EvictionCandidate& candidate : candidates) {
    if (freed >= shortfall) break;
    if (candidate.bytes == 0) continue;
    chosen.push_back(candidate);
    freed += candidate.bytes;
  }
  if (freed < shortfall) return {};
  std::vector<std::size_t> victims;
  for (auto it = chosen.rbegin(); it != chosen.rend(); ++it) {
    // From the most valuable on: whatever the others cover stays.
    if (freed - it->bytes >= shortfall) {
      freed -= it->bytes;
    } else {
      victims.push_back(it->id);
    }
  }
  return victims;
}

}  // namespace mezzo::models::internal
