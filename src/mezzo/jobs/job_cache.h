#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/cache/typed_cache.h"
#include "mezzo/jobs/job.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs {

/// Ended jobs with their results, so that whoever asks again costs the database nothing.
///
/// Only jobs that have ended are kept: they never change. What can happen to them is that they are forgotten,
/// by a caller (every host hears of it, kChangedChannel) or by age (they are not kept that long). A job that
/// was forgotten while it was being read is not kept either. Jobs that go on are read anew each time.
///
/// Thread-safe; Find() takes no lock.
class JobCache {
 public:
  struct Options {
    Duration keep = std::chrono::hours(24 * 7);
    Duration retention = std::chrono::hours(24 * 30);  ///< Of ended jobs, in the database.
  };
  /// All outlive the cache.
  JobCache(Options options, cache::RecentItems& items, storage::SqlDb& db, const Clock& clock);
  ~JobCache();
  JobCache(const JobCache&) = delete;
  JobCache& operator=(const JobCache&) = delete;

  /// Null when it is not kept, and for a job of another tenant, of which this says nothing more.
  [[nodiscard]] std::shared_ptr<const Job> Find(const TenantId& tenant, const JobId& id);

  /// A job is being read from the database. Made before the read; Keep() is told what came.
  class Reading {
   public:
    Reading(JobCache& cache, JobId id);
    ~Reading();
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    /// Keeps the job if it has ended and nobody has changed or forgotten it since the reading began.
    void Keep(const Job& job);

   private:
    friend class JobCache;
    JobCache& cache_;
    const JobId id_;
    bool outdated_ = false;  // By the cache's lock.
  };

  /// After the job was removed from the database here: no later Find() has it.
  void Forget(const JobId& id) EXCLUDES(mu_);

 private:
  /// Ids with spaces between; empty: any may have changed.
  void OnChanged(std::string_view payload) EXCLUDES(mu_);

  const Options options_;
  const Clock& clock_;
  cache::TypedCache<Job> kept_;
  Mutex mu_;
  std::unordered_multimap<std::string, Reading*> readings_ GUARDED_BY(mu_);
  std::shared_ptr<void> subscription_;  // Last: its calls use everything above.
};

}  // namespace mezzo::jobs
