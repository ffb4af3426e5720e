#include "mezzo/drivers/worker/internal/worker_desk.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "mezzo/base/check.h"

namespace mezzo::drivers {
namespace {

/// Waits look at their conditions at least so often, whatever happens to notifications.
constexpr auto kLook = std::chrono::milliseconds(500);

bool SameSpecs(const std::vector<engine::TensorSpec>& a, const std::vector<engine::TensorSpec>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.name == y.name && x.dtype == y.dtype && x.shape == y.shape && x.optional == y.optional;
  });
}

void Append(std::vector<OutgoingFrame>& to, std::vector<OutgoingFrame> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

WorkerDesk::WorkerDesk(std::size_t seats, const Clock& clock, const std::shared_ptr<SegmentBudget>& budget,
                       std::function<void()> wake)
    : clock_(clock), wake_(std::move(wake)) {
  seats_.reserve(seats);
  for (std::size_t i = 0; i < seats; ++i) seats_.emplace_back(budget);
}

const Error* WorkerDesk::Broken() const {
  const bool all =
      std::all_of(seats_.begin(), seats_.end(), [](const Seat& s) { return s.broken.has_value(); });
  return all ? &*seats_.front().broken : nullptr;
}

Result<std::size_t> WorkerDesk::Take(const WorkerRunPtr& run, TimePoint until) {
  MutexLock lock(mu_);
  while (true) {
    if (run->cancelled_) return Cancelled("run_terminated", "the run was ended before it began");
    for (std::size_t i = 0; i < seats_.size(); ++i) {
      if (seats_[i].state != State::kFree) continue;
      seats_[i].state = State::kLent;
      return i;
    }
    if (const Error* broken = Broken()) return *broken;
    const TimePoint now = clock_.Now();
    if (now >= until) {
      return Unavailable("worker_restarting", "no worker of the model became ready in time")
          .WithRetryAfter(std::chrono::seconds(1));
    }
    changed_.WaitUntil(mu_, std::chrono::steady_clock::now() + std::min<Duration>(kLook, until - now));
  }
}

void WorkerDesk::GiveBack(std::size_t index, std::vector<OutgoingFrame> frames) {
  {
    MutexLock lock(mu_);
    Seat& seat = seats_[index];
    MEZZO_CHECK(seat.state == State::kLent);
    seat.state = seat.gone ? State::kAway : State::kFree;
    if (!seat.gone) Append(seat.frames, std::move(frames));
    seat.gone = false;
    changed_.NotifyAll();
  }
  wake_();
}

Result<WorkerAnswer> WorkerDesk::Run(std::size_t index, const WorkerRunPtr& run,
                                     std::vector<OutgoingFrame> frames) {
  {
    MutexLock lock(mu_);
    Seat& seat = seats_[index];
    MEZZO_CHECK(seat.state == State::kLent);
    if (seat.gone) {
      seat.state = State::kAway;
      seat.gone = false;
      run->answer_.emplace(*seat.gone_why);
    } else {
      seat.state = State::kRunning;
      seat.run = run;
      seat.begun = true;
      Append(seat.frames, std::move(frames));
    }
  }
  wake_();
  MutexLock lock(mu_);
  while (!run->answer_.has_value()) {
    changed_.WaitUntil(mu_, std::chrono::steady_clock::now() + kLook);
  }
  return *std::move(run->answer_);
}

void WorkerDesk::Cancel(const WorkerRunPtr& run) {
  {
    MutexLock lock(mu_);
    run->cancelled_ = true;
    changed_.NotifyAll();
  }
  wake_();
}

engine::RunProgress WorkerDesk::ProgressOf(const WorkerRunPtr& run) const {
  MutexLock lock(mu_);
  return run->progress_;
}

Result<void> WorkerDesk::AwaitAllReady(TimePoint until) {
  MutexLock lock(mu_);
  while (true) {
    if (load_error_.has_value()) return *load_error_;
    if (std::all_of(seats_.begin(), seats_.end(), [](const Seat& seat) { return seat.was_open; })) return {};
    const TimePoint now = clock_.Now();
    if (now >= until) return DeadlineExceeded("worker_start_timeout", "the workers were not ready in time");
    changed_.WaitUntil(mu_, std::chrono::steady_clock::now() + std::min<Duration>(kLook, until - now));
  }
}

WorkerReady WorkerDesk::declared() const {
  MutexLock lock(mu_);
  return declared_.value_or(WorkerReady());
}

Result<void> WorkerDesk::Health() const {
  MutexLock lock(mu_);
  const Error* broken = Broken();
  if (broken == nullptr) return {};
  return *broken;
}

Result<void> WorkerDesk::Open(std::size_t index, WorkerReady ready) {
  MutexLock lock(mu_);
  if (!declared_.has_value()) {
    declared_ = std::move(ready);
  } else if (!SameSpecs(declared_->inputs, ready.inputs) || !SameSpecs(declared_->outputs, ready.outputs)) {
    return Unavailable("model_changed", "the model's inputs or outputs are not those it was loaded with");
  }
  Seat& seat = seats_[index];
  MEZZO_CHECK(seat.state == State::kAway);
  seat.arena.Reset();
  seat.frames.clear();
  seat.broken.reset();
  seat.was_open = true;
  seat.state = State::kFree;
  changed_.NotifyAll();
  return {};
}

WorkerDesk::Work WorkerDesk::TakeWork(std::size_t index) {
  MutexLock lock(mu_);
  Seat& seat = seats_[index];
  Work work;
  // Frames of a lent seat are still being made; those of the one before are all here.
  work.frames = std::exchange(seat.frames, {});
  if (seat.state != State::kRunning) return work;
  if (std::exchange(seat.begun, false)) work.begun = seat.run;
  work.cancel = seat.run->cancelled_;
  return work;
}

void WorkerDesk::SetProgress(const WorkerRunPtr& run, engine::RunProgress progress) {
  MutexLock lock(mu_);
  run->progress_ = progress;
}

void WorkerDesk::Finish(std::size_t index, Result<WorkerAnswer> answer) {
  MutexLock lock(mu_);
  Seat& seat = seats_[index];
  MEZZO_CHECK(seat.state == State::kRunning);
  std::exchange(seat.run, nullptr)->answer_.emplace(std::move(answer));
  seat.state = State::kFree;
  changed_.NotifyAll();
}

void WorkerDesk::Close(std::size_t index, const Error& why, bool broken) {
  MutexLock lock(mu_);
  Seat& seat = seats_[index];
  if (seat.state == State::kLent) {
    seat.gone = true;
    seat.gone_why = why;
  } else {
    if (seat.run != nullptr) std::exchange(seat.run, nullptr)->answer_.emplace(why);
    seat.begun = false;
    seat.state = State::kAway;
  }
  if (broken) seat.broken = Unavailable("worker_broken", why.message());
  if (!seat.was_open && !load_error_.has_value()) load_error_ = why;
  changed_.NotifyAll();
}

bool WorkerDesk::IsAway(std::size_t index) const {
  MutexLock lock(mu_);
  return seats_[index].state == State::kAway;
}

}  // namespace mezzo::drivers
