#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/cache/memory_tier.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::cache {

/// What the values of one kind have done. Plain counts; no partners.
struct KindCounts {
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> misses{0};
  std::atomic<std::uint64_t> entries{0};
  std::atomic<std::uint64_t> bytes{0};
};

/// One bounded memory for small things that are asked for again soon, each kind through a TypedCache of its
/// own: ended jobs, signed URLs. Shown as `mezzo_cache_recent_…{kind}`. Thread-safe.
class RecentItems {
 public:
  /// `registry` and `clock` must outlive it. Zero bytes: nothing is to be kept, see enabled().
  RecentItems(ByteCount max_bytes, observe::Registry& registry, const Clock& clock);

  [[nodiscard]] bool enabled() const { return max_bytes_ > 0; }
  [[nodiscard]] MemoryTier& tier() { return tier_; }
  /// The counts of a kind, made and shown the first time. `kind` is written in code: labels are few.
  [[nodiscard]] std::shared_ptr<KindCounts> CountsOf(std::string_view kind) EXCLUDES(mu_);

  struct KindStatistics {
    std::string kind;
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t entries = 0;
    ByteCount bytes = 0;
  };
  struct Statistics {
    ByteCount bytes = 0;
    ByteCount max_bytes = 0;
    std::vector<KindStatistics> kinds;
  };
  [[nodiscard]] Statistics statistics() const EXCLUDES(mu_);

 private:
  struct Kind {
    std::string name;
    std::shared_ptr<KindCounts> counts;
    std::vector<observe::Callback> shown;
  };

  const ByteCount max_bytes_;
  MemoryTier tier_;
  observe::CallbackFamily& reads_;
  observe::CallbackFamily& entries_;
  observe::CallbackFamily& bytes_;
  mutable Mutex mu_;
  std::vector<Kind> kinds_ GUARDED_BY(mu_);
};

}  // namespace mezzo::cache
