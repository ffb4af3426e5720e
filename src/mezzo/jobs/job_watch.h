#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "mezzo/base/mutex.h"
#include "mezzo/jobs/job.h"
#include "mezzo/runtime/context.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs {

/// Wakes who waits for changes of a job, on whatever host they happen. Thread-safe.
class JobWatch {
 public:
  /// One who waits. wake() is cancelled at the first change after Add(); the watch forgets waiters that died.
  class Waiter {
   public:
    [[nodiscard]] const runtime::Context& wake() const { return wake_; }

   private:
    runtime::Context wake_;
  };

  /// `db` outlives the watch.
  explicit JobWatch(storage::SqlDb& db);
  ~JobWatch();

  /// Look at the job after this call, or a change between the two is missed.
  std::shared_ptr<Waiter> Add(const JobId& id) EXCLUDES(mu_);

 private:
  /// Ids with spaces between; empty: any may have changed.
  void OnChanged(std::string_view payload) EXCLUDES(mu_);

  Mutex mu_;
  std::unordered_multimap<std::string, std::weak_ptr<Waiter>> waiters_ GUARDED_BY(mu_);
  std::size_t until_cleaning_ GUARDED_BY(mu_) = 64;
  std::shared_ptr<void> subscription_;  // Last: its calls use everything above.
};

}  // namespace mezzo::jobs
