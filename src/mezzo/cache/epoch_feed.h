#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/cache/epoch_store.h"
#include "mezzo/cache/result_cache.h"
#include "mezzo/observe/log.h"
#include "mezzo/storage/change_feed.h"

namespace mezzo::cache {

/// Keeps a host's results as old as the database's epochs allow. A notification tells of a change within
/// milliseconds; a poll finds it in any case. A host that could not read the epochs for longer than the bound
/// does not know whether its results still hold: IsFresh() turns false by the clock alone, and results are
/// computed until a reading succeeds.
///
/// What a host serves is therefore never older than `max_staleness` after the commit of the change, whatever
/// is cut: a reading counts from the moment it was begun.
///
/// A thread of its own. Thread-safe.
class EpochFeed {
 public:
  struct Options {
    Duration poll = std::chrono::seconds(1);  ///< Well below max_staleness.
    Duration max_staleness = std::chrono::seconds(5);
  };
  /// All outlive the feed.
  struct Ports {
    EpochStore& store;
    storage::SqlDb& db;  ///< Tells of changes.
    ResultCache& results;
    TenantEpochs& tenants;  ///< Is kept as the database has it.
    const Clock& clock;
    observe::Logger& log;
    /// Reads what else changes with the revision, before the host counts as knowing it; null: nothing does.
    /// From the feed's thread; blocks.
    std::function<Result<void>(TimePoint deadline)> also;
  };
  EpochFeed(Options options, Ports ports);
  EpochFeed(const EpochFeed&) = delete;
  EpochFeed& operator=(const EpochFeed&) = delete;

  /// Keeps up from now on, until Stop(). Nothing is fresh before the first reading.
  void Start() { feed_.Start(); }
  void Stop() { feed_.Stop(); }

  /// Whether results may be served at `now`. A load of one atomic.
  [[nodiscard]] bool IsFresh(TimePoint now) const { return feed_.IsFresh(now); }
  /// The cache's model of that name, at its epoch; null as ResultCache::Model().
  [[nodiscard]] ResultCache::ModelRef Model(std::string_view name) EXCLUDES(mu_);
  /// Waits until this host has whatever the database had when this was called, at most for `limit`; whether
  /// it has. Blocks; after Start().
  bool CatchUp(Duration limit) { return feed_.CatchUp(limit); }

 private:
  Result<void> Refresh(TimePoint begun) EXCLUDES(mu_);

  const Options options_;
  const Ports ports_;
  Mutex mu_;
  Epochs epochs_ GUARDED_BY(mu_);
  storage::ChangeFeed feed_;  // Last: its thread uses everything above.
};

}  // namespace mezzo::cache
