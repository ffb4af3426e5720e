#include "mezzo/cache/recent_items.h"

#include <algorithm>

namespace mezzo::cache {
namespace {

using observe::MetricType;

auto Read(const std::shared_ptr<KindCounts>& counts, std::atomic<std::uint64_t> KindCounts::* counter) {
  return
      [counts, counter] { return static_cast<double>(((*counts).*counter).load(std::memory_order_relaxed)); };
}

}  // namespace

RecentItems::RecentItems(ByteCount max_bytes, observe::Registry& registry, const Clock& clock)
    : max_bytes_(max_bytes),
      tier_({.max_bytes = max_bytes, .max_entry_bytes = max_bytes / 8, .max_shards = 4}, clock),
      reads_(registry.NewCallbackFamily("mezzo_cache_recent_reads_total",
                                        "Ended jobs and signed URLs asked for, by whether they were kept.",
                                        MetricType::kCounter, {"kind", "outcome"})),
      entries_(registry.NewCallbackFamily("mezzo_cache_recent_entries", "Ended jobs and signed URLs kept.",
                                          MetricType::kGauge, {"kind"})),
      bytes_(registry.NewCallbackFamily("mezzo_cache_recent_bytes",
                                        "Memory of the ended jobs and signed URLs kept.", MetricType::kGauge,
                                        {"kind"})) {}

std::shared_ptr<KindCounts> RecentItems::CountsOf(std::string_view kind) {
  const MutexLock lock(mu_);
  const auto known =
      std::find_if(kinds_.begin(), kinds_.end(), [kind](const Kind& one) { return one.name == kind; });
  if (known != kinds_.end()) return known->counts;
  Kind made{.name = std::string(kind), .counts = std::make_shared<KindCounts>(), .shown = {}};
  made.shown.push_back(reads_.Add({made.name, "hit"}, Read(made.counts, &KindCounts::hits)));
  made.shown.push_back(reads_.Add({made.name, "miss"}, Read(made.counts, &KindCounts::misses)));
  made.shown.push_back(entries_.Add({made.name}, Read(made.counts, &KindCounts::entries)));
  made.shown.push_back(bytes_.Add({made.name}, Read(made.counts, &KindCounts::bytes)));
  kinds_.push_back(std::move(made));
  return kinds_.back().counts;
}

RecentItems::Statistics RecentItems::statistics() const {
  Statistics all{.bytes = tier_.statistics().bytes, .max_bytes = max_bytes_, .kinds = {}};
  const MutexLock lock(mu_);
  for (const Kind& kind : kinds_) {
    const KindCounts& counts = *kind.counts;
    all.kinds.push_back({.kind = kind.name,
                         .hits = counts.hits.load(std::memory_order_relaxed),
                         .misses = counts.misses.load(std::memory_order_relaxed),
                         .entries = counts.entries.load(std::memory_order_relaxed),
                         .bytes = counts.bytes.load(std::memory_order_relaxed)});
  }
  return all;
}

}  // namespace mezzo::cache
