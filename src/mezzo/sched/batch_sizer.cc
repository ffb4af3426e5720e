#include "mezzo/sched/batch_sizer.h"

#include <algorithm>
#include <bit>

namespace mezzo::sched {
namespace {

constexpr double kGain = 0.1;                 // The last ~10 runs of a size make its cost.
constexpr double kTolerance = 0.03;           // A smaller batch may cost this much more: it answers sooner.
constexpr std::uint32_t kEnoughRuns = 4;      // Before a size can be chosen.
constexpr std::uint32_t kBeforeTrying = 6;    // Runs of the present choice before a neighbour is tried.
constexpr std::uint64_t kTryAgain = 256;      // Runs after which a neighbour's cost is old,
constexpr std::uint64_t kTryHopeless = 1024;  // or, if it was much dearer,
constexpr double kMuchDearer = 1.1;
constexpr double kChanged =
    1.5;  // The chosen size's cost against that of its first choice: all others are old.

}  // namespace

void BatchSizer::Learn(std::uint32_t rows, Duration measured) {
  const auto index = std::min<std::size_t>(std::bit_width(std::max(rows, 1U) - 1), kSizes - 1);
  const double cost = static_cast<double>(std::max<std::int64_t>(measured.count(), 1)) / rows;
  Size& size = sizes_[index];
  if (size.runs < 2) {
    size.row_cost = cost;  // The second replaces the first, which often pays for memory.
  } else {
    const double gain = std::max(kGain, 1.0 / size.runs);
    size.row_cost += gain * (std::min(cost, 4 * size.row_cost) - size.row_cost);
  }
  ++size.runs;
  size.last = ++learned_;
  largest_ = std::max(largest_, index);
  Choose();
}

void BatchSizer::Choose() {
  double cheapest = 0;
  for (const Size& size : sizes_) {
    if (size.runs >= kEnoughRuns && (cheapest == 0 || size.row_cost < cheapest)) cheapest = size.row_cost;
  }
  if (cheapest == 0) return;
  std::size_t best = 0;
  while (sizes_[best].runs < kEnoughRuns || sizes_[best].row_cost > cheapest * (1 + kTolerance)) ++best;
  ForgetOthersWhenChanged(best);

  std::size_t choice = best;
  if (sizes_[best].runs >= kBeforeTrying) {
    if (best < largest_ && IsWorthTrying(best + 1, best)) {
      choice = best + 1;
    } else if (best > 0 && IsWorthTrying(best - 1, best)) {
      choice = best - 1;
    }
  }
  // The largest size seen says nothing against larger ones: those were only never asked for.
  limit_ = choice >= largest_ ? UINT32_MAX : 1U << choice;
}

void BatchSizer::ForgetOthersWhenChanged(std::size_t best) {
  const double cost = sizes_[best].row_cost;
  if (best != reference_size_ || reference_cost_ == 0) {
    reference_size_ = best;
    reference_cost_ = cost;
  }
  if (cost < kChanged * reference_cost_ && cost > reference_cost_ / kChanged) return;
  for (std::size_t i = 0; i < kSizes; ++i) {
    if (i != best) sizes_[i].runs = 0;
  }
  reference_cost_ = cost;
}

bool BatchSizer::IsWorthTrying(std::size_t size, std::size_t best) const {
  const Size& other = sizes_[size];
  if (other.runs < kEnoughRuns) return true;
  const bool hopeless = other.row_cost > kMuchDearer * sizes_[best].row_cost;
  return learned_ - other.last > (hopeless ? kTryHopeless : kTryAgain);
}

}  // namespace mezzo::sched
