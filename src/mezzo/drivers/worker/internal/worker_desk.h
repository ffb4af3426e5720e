#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/worker/internal/segment_arena.h"
#include "mezzo/drivers/worker/internal/worker_message.h"

namespace mezzo::drivers {

/// What a worker answered to a run: where the outputs lie, checked, and what keeps that memory.
struct WorkerAnswer {
  WorkerResult result;
  std::shared_ptr<SharedSegment> segment;
};

/// One run, shared by the thread that waits for it and the supervisor. All but `id` and `wanted` is the
/// desk's.
struct WorkerRun {
  WorkerRun(std::uint64_t number, std::vector<std::size_t> outputs)
      : id(number), wanted(std::move(outputs)) {}
  const std::uint64_t id;
  const std::vector<std::size_t> wanted;  ///< Indices into the model's outputs.
  /// Offered for the outputs; null when there is none to offer. Set by the caller before it submits, taken by
  /// the supervisor.
  std::shared_ptr<SharedSegment> room;

 private:
  friend class WorkerDesk;
  bool cancelled_ = false;
  engine::RunProgress progress_;
  std::optional<Result<WorkerAnswer>> answer_;
};
using WorkerRunPtr = std::shared_ptr<WorkerRun>;

/// Where those who want runs and the thread that looks after the processes meet. Each process has a seat:
///
/// away → free: the process is ready. free → lent: a caller has taken it and writes its inputs. lent →
/// running: the caller has submitted. running → free: there is an answer. free, running → away: the process
/// has gone; a lent seat goes away when its caller comes back with it.
///
/// A seat's arena belongs to the caller while it is lent and to the supervisor otherwise. Thread-safe.
class WorkerDesk {
 public:
  /// `wake` makes the supervisor look at its seats soon; called without the lock, on any thread.
  WorkerDesk(std::size_t seats, const Clock& clock, const std::shared_ptr<SegmentBudget>& budget,
             std::function<void()> wake);

  // For callers.

  /// Waits for a free seat and lends it. Fails with kCancelled "run_terminated", kUnavailable
  /// "worker_restarting" at `until`, or at once with the reason while every process keeps dying.
  Result<std::size_t> Take(const WorkerRunPtr& run, TimePoint until) EXCLUDES(mu_);
  [[nodiscard]] SegmentArena& arena(std::size_t seat) { return seats_[seat].arena; }
  /// A lent seat comes back unused.
  void GiveBack(std::size_t seat, std::vector<OutgoingFrame> frames) EXCLUDES(mu_);
  /// Hands the run to the lent seat's process and waits for its answer, which the supervisor owes.
  Result<WorkerAnswer> Run(std::size_t seat, const WorkerRunPtr& run, std::vector<OutgoingFrame> frames)
      EXCLUDES(mu_);
  void Cancel(const WorkerRunPtr& run) EXCLUDES(mu_);
  [[nodiscard]] engine::RunProgress ProgressOf(const WorkerRunPtr& run) const EXCLUDES(mu_);
  /// Waits until every process was ready once, or one was not: then its error.
  Result<void> AwaitAllReady(TimePoint until) EXCLUDES(mu_);
  /// What the processes said that the model is; after AwaitAllReady().
  [[nodiscard]] WorkerReady declared() const EXCLUDES(mu_);
  /// Fails while every process keeps dying.
  [[nodiscard]] Result<void> Health() const EXCLUDES(mu_);

  // For the supervisor.

  /// A process is ready. Fails with kUnavailable "model_changed" when it is not the model that the
  /// others are.
  Result<void> Open(std::size_t seat, WorkerReady ready) EXCLUDES(mu_);
  struct Work {
    std::vector<OutgoingFrame> frames;
    WorkerRunPtr begun;
    bool cancel = false;  ///< The seat's run is wanted no more.
  };
  /// What a seat's callers have asked for since the last call.
  Work TakeWork(std::size_t seat) EXCLUDES(mu_);
  void SetProgress(const WorkerRunPtr& run, engine::RunProgress progress) EXCLUDES(mu_);
  /// The seat's run has ended; the seat is free.
  void Finish(std::size_t seat, Result<WorkerAnswer> answer) EXCLUDES(mu_);
  /// The process has gone; its run, if any, fails with `why`. `broken`: it does so again and again.
  void Close(std::size_t seat, const Error& why, bool broken) EXCLUDES(mu_);
  /// True once nobody holds the seat of a process that has gone: another may be started.
  [[nodiscard]] bool IsAway(std::size_t seat) const EXCLUDES(mu_);

 private:
  enum class State : std::uint8_t { kAway, kFree, kLent, kRunning };
  struct Seat {
    explicit Seat(std::shared_ptr<SegmentBudget> budget) : arena(std::move(budget)) {}
    State state = State::kAway;
    bool gone = false;  ///< Its process has, while it was lent.
    bool was_open = false;
    std::optional<Error> broken;
    std::optional<Error> gone_why;
    WorkerRunPtr run;
    bool begun = false;  ///< The supervisor has not taken `run` yet.
    std::vector<OutgoingFrame> frames;
    SegmentArena arena;
  };

  [[nodiscard]] const Error* Broken() const REQUIRES(mu_);

  const Clock& clock_;
  const std::function<void()> wake_;
  mutable Mutex mu_;
  CondVar changed_;
  std::vector<Seat> seats_;  // Its size is fixed; states are guarded by mu_, arenas by the rule above.
  std::optional<WorkerReady> declared_ GUARDED_BY(mu_);
  std::optional<Error> load_error_ GUARDED_BY(mu_);
};

}  // namespace mezzo::drivers
