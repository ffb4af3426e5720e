#include "mezzo/drivers/worker/internal/worker_supervisor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace mezzo::drivers {
namespace {

constexpr auto kLongestSleep = std::chrono::seconds(1);
constexpr auto kStopGrace = std::chrono::seconds(1);
constexpr auto kMeasureLimit = std::chrono::seconds(5);

}  // namespace

Result<std::unique_ptr<WorkerSupervisor>> WorkerSupervisor::Start(
    WorkerPlan plan, std::size_t instances, const std::shared_ptr<SegmentBudget>& budget, const Clock& clock,
    observe::Logger* log) {
  Fd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup.ok()) {
    return Unavailable("worker_start", std::string("no event descriptor: ") + std::strerror(errno));
  }
  return std::unique_ptr<WorkerSupervisor>(
      new WorkerSupervisor(std::move(plan), instances, budget, clock, log, std::move(wakeup)));
}

WorkerSupervisor::WorkerSupervisor(WorkerPlan plan, std::size_t instances,
                                   const std::shared_ptr<SegmentBudget>& budget, const Clock& clock,
                                   observe::Logger* log, Fd wakeup)
    : plan_(std::move(plan)),
      clock_(clock),
      wakeup_(std::move(wakeup)),
      desk_(instances, clock, budget, [this] { Wake(); }) {
  for (std::size_t i = 0; i < instances; ++i) {
    instances_.push_back(std::make_unique<WorkerInstance>(plan_, i, desk_, clock_, log));
  }
  thread_ = std::thread([this] { Work(); });
}

WorkerSupervisor::~WorkerSupervisor() { Stop(); }

void WorkerSupervisor::Wake() const {
  const std::uint64_t one = 1;
  (void)!::write(wakeup_.get(), &one, sizeof(one));  // Full means that it is awake anyway.
}

void WorkerSupervisor::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  Wake();
  if (thread_.joinable()) thread_.join();
}

ByteCount WorkerSupervisor::own_memory() {
  const auto until = std::chrono::steady_clock::now() + kMeasureLimit;
  MutexLock lock(mu_);
  measure_ = true;
  Wake();
  while (measure_ && !stopping_) {
    if (!measured_.WaitUntil(mu_, until)) break;
  }
  return own_memory_;
}

void WorkerSupervisor::Turn(TimePoint until) {
  std::vector<pollfd> polls{{.fd = wakeup_.get(), .events = POLLIN, .revents = 0}};
  for (const auto& instance : instances_) instance->AddPolls(polls);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      std::clamp<Duration>(until - clock_.Now(), Duration::zero(), kLongestSleep));
  if (::poll(polls.data(), polls.size(), static_cast<int>(left.count())) <= 0) return;
  if (polls[0].revents != 0) {
    std::uint64_t count = 0;
    (void)!::read(wakeup_.get(), &count, sizeof(count));
  }
  std::size_t next = 1;
  for (const auto& instance : instances_) instance->HandlePolls(polls, next);
}

void WorkerSupervisor::Work() {
  while (true) {
    TimePoint until = kNever;
    for (const auto& instance : instances_) {
      instance->Tick();
      until = std::min(until, instance->next_tick());
    }
    {
      MutexLock lock(mu_);
      if (stopping_) break;
      if (measure_) {
        own_memory_ = 0;
        for (const auto& instance : instances_) own_memory_ += instance->own_memory();
        measure_ = false;
        measured_.NotifyAll();
      }
    }
    Turn(until);
  }
  EndAll();
}

void WorkerSupervisor::EndAll() {
  const TimePoint until = clock_.Now() + kStopGrace;
  for (const auto& instance : instances_) instance->AskToStop();
  const auto lives = [](const auto& instance) { return instance->has_process(); };
  while (clock_.Now() < until && std::any_of(instances_.begin(), instances_.end(), lives)) Turn(until);
  instances_.clear();  // Kills what is left.
}

}  // namespace mezzo::drivers
