#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/mutex.h"
#include "mezzo/drivers/worker/internal/worker_desk.h"
#include "mezzo/drivers/worker/internal/worker_instance.h"

namespace mezzo::drivers {

/// The thread that starts, watches, serves and ends all processes of one model. It alone does their input and
/// output, so that a process that reads nothing or writes without end holds up nobody who waits.
///
/// Wake() and the desk are for any thread; Start() and Stop() for the owner's.
class WorkerSupervisor {
 public:
  /// `clock` and `log` (which may be null) outlive it. Fails with kUnavailable "worker_start".
  static Result<std::unique_ptr<WorkerSupervisor>> Start(WorkerPlan plan, std::size_t instances,
                                                         const std::shared_ptr<SegmentBudget>& budget,
                                                         const Clock& clock, observe::Logger* log);
  /// Calls Stop().
  ~WorkerSupervisor();
  WorkerSupervisor(const WorkerSupervisor&) = delete;
  WorkerSupervisor& operator=(const WorkerSupervisor&) = delete;

  [[nodiscard]] WorkerDesk& desk() { return desk_; }
  /// What the processes hold now, all together. Blocks for as long as the supervisor takes to look.
  [[nodiscard]] ByteCount own_memory() EXCLUDES(mu_);
  /// Lets idle processes end by themselves for a second, kills what is left, waits for their ends.
  void Stop() EXCLUDES(mu_);

 private:
  WorkerSupervisor(WorkerPlan plan, std::size_t instances, const std::shared_ptr<SegmentBudget>& budget,
                   const Clock& clock, observe::Logger* log, Fd wakeup);
  void Work() EXCLUDES(mu_);
  /// Waits for events until `until` and handles them.
  void Turn(TimePoint until);
  void EndAll();
  void Wake() const;

  const WorkerPlan plan_;
  const Clock& clock_;
  const Fd wakeup_;  // An eventfd.
  WorkerDesk desk_;
  std::vector<std::unique_ptr<WorkerInstance>> instances_;  // The thread's own.
  Mutex mu_;
  CondVar measured_;
  bool stopping_ GUARDED_BY(mu_) = false;
  bool measure_ GUARDED_BY(mu_) = false;
  ByteCount own_memory_ GUARDED_BY(mu_) = 0;
  std::thread thread_;  // Last: it uses everything above.
};

}  // namespace mezzo::drivers
