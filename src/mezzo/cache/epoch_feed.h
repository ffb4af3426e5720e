#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/cache/epoch_store.h"
#include "mezzo/cache/result_cache.h"
#include "mezzo/observe/log.h"

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
  EpochFeed(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}
  ~EpochFeed();
  EpochFeed(const EpochFeed&) = delete;
  EpochFeed& operator=(const EpochFeed&) = delete;

  /// Keeps up from now on, until Stop(). Nothing is fresh before the first reading.
  void Start() EXCLUDES(mu_);
  void Stop() EXCLUDES(mu_);

  /// Whether results may be served at `now`. A load of one atomic.
  [[nodiscard]] bool IsFresh(TimePoint now) const {
    return now <= TimePoint(Duration(verified_until_.load(std::memory_order_acquire)));
  }
  /// The cache's model of that name, at its epoch; null as ResultCache::Model().
  [[nodiscard]] ResultCache::ModelRef Model(std::string_view name) EXCLUDES(mu_);
  /// Waits until this host has whatever the database had when this was called, at most for `limit`; whether
  /// it has. Blocks; after Start().
  bool CatchUp(Duration limit) EXCLUDES(mu_);

 private:
  void Follow() EXCLUDES(mu_);
  Result<void> Refresh() EXCLUDES(mu_);

  const Options options_;
  const Ports ports_;
  /// Since the clock's epoch. Partner: the epochs that Refresh() has put into the results before it.
  std::atomic<Duration::rep> verified_until_{Duration::min().count()};

  Mutex mu_;
  CondVar changed_;
  Epochs epochs_ GUARDED_BY(mu_);
  bool told_ GUARDED_BY(mu_) = false;
  std::uint64_t asked_ GUARDED_BY(mu_) = 0;      // Calls of CatchUp(),
  std::uint64_t caught_up_ GUARDED_BY(mu_) = 0;  // and those that a reading has come after.
  bool stopping_ GUARDED_BY(mu_) = false;
  bool failing_ = false;  // The feed's thread only.
  std::shared_ptr<void> subscription_;
  std::thread thread_;  // Last: it uses everything above.
};

}  // namespace mezzo::cache
