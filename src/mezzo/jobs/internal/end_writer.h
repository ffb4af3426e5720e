#pragma once

#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/jobs/job_store.h"
#include "mezzo/observe/log.h"

namespace mezzo::jobs::internal {

/// Writes the ends of runs, all that have come while the last were written in one transaction. While the
/// database does not answer they are kept and tried again: the dispatcher claims no more once about as many
/// ends wait here as it leases jobs for its slots. Thread-safe.
class EndWriter {
 public:
  using OnWritten = std::function<void(const RunEnd& end, bool held)>;

  /// All outlive the writer. `on_written` is called on its thread.
  EndWriter(JobStore& store, const Clock& clock, observe::Logger& log, OnWritten on_written);
  /// Calls Stop() without patience.
  ~EndWriter();

  void Add(RunEnd end) EXCLUDES(mu_);
  /// Writes what is there, for at most `limit`. What can't be written is left to the lease's expiry.
  void Stop(Duration limit) EXCLUDES(mu_);

 private:
  void Run() EXCLUDES(mu_);
  /// False when the database did not take them.
  bool Write(const std::vector<RunEnd>& ends);
  /// After a refusal that will not pass: only the end that causes it fails.
  bool WriteOneByOne(const std::vector<RunEnd>& ends, const Error& error);

  JobStore& store_;
  const Clock& clock_;
  observe::Logger& log_;
  const OnWritten on_written_;
  Mutex mu_;
  CondVar changed_;
  std::vector<RunEnd> waiting_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  TimePoint give_up_ GUARDED_BY(mu_) = kNever;
  std::thread thread_;  // Last: it uses everything above.
};

}  // namespace mezzo::jobs::internal
