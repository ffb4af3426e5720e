#include "mezzo/jobs/dispatcher.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/uuid.h"
#include "mezzo/jobs/internal/active_run.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::jobs {
namespace {

using internal::ActiveRun;
using SteadyClock = std::chrono::steady_clock;

constexpr Duration kStoreTimeout = std::chrono::seconds(5);
constexpr std::int64_t kFirstLane = static_cast<std::int64_t>(Tier::kPaid);
constexpr Duration kPauseAfterFailure = std::chrono::milliseconds(500);

}  // namespace

Dispatcher::Dispatcher(Options options, Ports ports, std::map<std::string, JobHandler*, std::less<>> handlers)
    : options_(std::move(options)),
      ports_(ports),
      handlers_(std::move(handlers)),
      host_("host_" + NewUuidV7(ports.clock.WallNow())),
      ends_(ports.store, ports.clock, ports.log, [this](const RunEnd& end, bool held) { Ended(end, held); }) {
}

Dispatcher::~Dispatcher() { Stop(Duration::zero()); }

void Dispatcher::Start() {
  subscriptions_.push_back(
      ports_.db.Listen(std::string(kQueuedChannel), [this](std::string_view) { Poke(); }));
  subscriptions_.push_back(ports_.db.Listen(std::string(kCancelChannel),
                                            [this](std::string_view payload) { CancelByPayload(payload); }));
  claim_thread_ = std::thread([this] { ClaimLoop(); });
  threads_.emplace_back([this] { KeeperLoop(); });
  for (std::size_t i = 0; i < options_.slots + options_.express; ++i)
    threads_.emplace_back([this] { SlotLoop(); });
}

void Dispatcher::Poke() {
  MutexLock lock(mu_);
  look_.poked = express_look_.poked = true;
  claim_.NotifyOne();
}

std::size_t Dispatcher::running() const {
  MutexLock lock(mu_);
  return busy_;
}

// --- Leasing
// ---------------------------------------------------------------------------------------------------------

Dispatcher::Room Dispatcher::RoomNow() const {
  // What runs in the express slots leaves the others theirs.
  const std::size_t express = std::min(busy_urgent_ + waiting_urgent_, options_.express);
  const std::size_t most = options_.slots * (1 + options_.prefetch);
  const std::size_t here = waiting_.size() + busy_ - express;
  // A run whose end is being written holds no slot: claims and ends overlap. As many such, and no more.
  if (active_.size() >= 2 * most + options_.express) return {};
  if (here >= most) return {.jobs = options_.express - express, .first_lane_only = true};
  const std::size_t room = std::min(most - here, 2 * most + options_.express - active_.size());
  // Not one by one while every slot has work and nothing is new: a claim costs the database about as much for
  // one as for many.
  const bool idle = waiting_.empty() && busy_ < options_.slots;
  if (idle || look_.poked || 2 * room >= options_.slots * options_.prefetch) return {.jobs = room};
  return {};
}

bool Dispatcher::MayStart() const {
  if (waiting_.empty()) return false;
  const std::size_t others = busy_ - std::min(busy_urgent_, options_.express);
  return waiting_.front()->job().lane <= kFirstLane || others < options_.slots;
}

std::optional<Dispatcher::Room> Dispatcher::AwaitRoom() {
  MutexLock lock(mu_);
  while (claiming_) {
    const Room room = RoomNow();
    if (room.jobs == 0) {
      claim_.Wait(mu_);
      continue;
    }
    const Look& look = room.first_lane_only ? express_look_ : look_;
    if (look.poked || SteadyClock::now() >= look.next) {
      // A look for urgent jobs alone says nothing about the others.
      express_look_.poked = false;
      if (!room.first_lane_only) look_.poked = false;
      return room;
    }
    claim_.WaitUntil(mu_, look.next);
  }
  return std::nullopt;
}

void Dispatcher::ClaimLoop() {
  runtime::SetThreadName("job-claim");
  while (const auto room = AwaitRoom()) {
    JobStore::ClaimRequest request{
        .host = host_, .limit = room->jobs, .only_host = options_.warm_models == nullptr};
    if (room->first_lane_only) request.last_lane = kFirstLane;
    if (options_.warm_models) request.warm_models = options_.warm_models();
    auto jobs = ports_.store.Claim(request, ports_.clock.Now() + kStoreTimeout);
    if (!jobs.ok()) {
      ports_.metrics.store_failures.Add();
      ports_.log.Warn("jobs could not be claimed", {{"reason", jobs.error().message()}});
      MutexLock lock(mu_);
      look_.next = express_look_.next = SteadyClock::now() + kPauseAfterFailure;
      continue;
    }
    // A full hand means that there is more; of the first lane, when all in it are of that.
    const bool more = jobs->size() == room->jobs;
    const bool more_urgent = more && std::all_of(jobs->begin(), jobs->end(),
                                                 [](const LeasedJob& job) { return job.lane <= kFirstLane; });
    {
      MutexLock lock(mu_);
      const auto later = SteadyClock::now() + options_.poll;
      express_look_.next = more_urgent ? SteadyClock::time_point{} : later;
      if (!room->first_lane_only) look_.next = more ? SteadyClock::time_point{} : later;
    }
    ports_.metrics.claimed.Add(jobs->size());
    Take(std::move(*jobs));
  }
}

void Dispatcher::Take(std::vector<LeasedJob> jobs) {
  MutexLock lock(mu_);
  for (LeasedJob& job : jobs) {
    const bool cancelled = job.cancel_requested;
    auto run = std::make_shared<ActiveRun>(std::move(job), ports_.store, ports_.clock);
    if (cancelled) run->Tell(ActiveRun::Stop::kCancelled);
    active_[run->job().fence.id.str()] = run;
    if (run->job().lane <= kFirstLane) ++waiting_urgent_;
    // Before what was leased ahead of it and is less urgent.
    const auto before = [](std::int64_t lane, const Run& other) { return lane < other->job().lane; };
    waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), run->job().lane, before),
                    std::move(run));
  }
  WakeSlot();
  ports_.metrics.prefetched.Set(static_cast<double>(waiting_.size()));
}

// --- Running
// ---------------------------------------------------------------------------------------------------------

void Dispatcher::WakeSlot() {
  if (waking_ || resting_ == 0 || !MayStart()) return;
  waking_ = true;
  work_.NotifyOne();
}

void Dispatcher::SlotLoop() {
  runtime::SetThreadName("job-slot");
  while (true) {
    Run run;
    {
      MutexLock lock(mu_);
      while (!MayStart() && !stopping_) {
        ++resting_;
        work_.Wait(mu_);
        --resting_;
        waking_ = false;
      }
      if (!MayStart()) return;
      run = std::move(waiting_.front());
      waiting_.pop_front();
      ++busy_;
      if (run->job().lane <= kFirstLane) {
        ++busy_urgent_;
        --waiting_urgent_;
      }
      WakeSlot();
      ports_.metrics.running.Set(static_cast<double>(busy_));
      ports_.metrics.prefetched.Set(static_cast<double>(waiting_.size()));
    }
    Execute(run);
    MutexLock lock(mu_);
    --busy_;
    if (run->job().lane <= kFirstLane) --busy_urgent_;
    ports_.metrics.running.Set(static_cast<double>(busy_));
    idle_.NotifyAll();
    if (RoomNow().jobs > 0) claim_.NotifyOne();
  }
}

void Dispatcher::Execute(const Run& run) {
  const LeasedJob& job = run->job();
  Result<std::string> answer = Cancelled("job_cancelled", "the job was cancelled before it ran");
  if (!run->cancelled()) {
    const auto handler = handlers_.find(job.kind);
    const TimePoint started = ports_.clock.Now();
    answer = handler == handlers_.end()
                 ? Unimplemented("job_kind_unknown",
                                 "this host has no handler for jobs of kind '" + job.kind + "'")
                 : handler->second->Run(*run);
    ports_.metrics.run_seconds.Observe(ports_.clock.Now() - started);
  }
  ends_.Add(run->EndOf(answer, ports_.store.options().retry, ports_.clock.WallNow()));
}

void Dispatcher::Ended(const RunEnd& end, bool held) {
  ports_.metrics.Ended(end, held);
  if (end.kind == RunEnd::Kind::kFailed || !held) {
    ports_.log.Info(
        held ? "job failed" : "job's end did not count: the lease had been lost",
        {{"job", end.fence.id.str()}, {"attempt", end.fence.attempt}, {"reason", end.error.reason}});
  }
  if (held && ports_.on_end) {
    Run run;
    {
      MutexLock lock(mu_);
      const auto found = active_.find(end.fence.id.str());
      if (found != active_.end() && found->second->job().fence.attempt == end.fence.attempt)
        run = found->second;
    }
    if (run != nullptr) ports_.on_end(run->job(), end);
  }
  MutexLock lock(mu_);
  const auto found = active_.find(end.fence.id.str());
  // The job may be here again already, in a later attempt.
  if (found != active_.end() && found->second->job().fence.attempt == end.fence.attempt) {
    const bool ended = end.kind != RunEnd::Kind::kRetry && end.kind != RunEnd::Kind::kReleased;
    if (held && ended && ports_.ledger != nullptr)
      found->second->ChargeTo(*ports_.ledger, end.kind == RunEnd::Kind::kSucceeded);
    active_.erase(found);
  }
  if (RoomNow().jobs > 0) claim_.NotifyOne();
}

// --- Keeping leases
// --------------------------------------------------------------------------------------------------

std::vector<Dispatcher::Run> Dispatcher::Active() const {
  MutexLock lock(mu_);
  std::vector<Run> runs;
  runs.reserve(active_.size());
  for (const auto& [id, run] : active_) runs.push_back(run);
  return runs;
}

void Dispatcher::KeeperLoop() {
  runtime::SetThreadName("job-leases");
  const Duration renew_gap = ports_.store.options().lease / 3;
  auto next_renewal = SteadyClock::now() + renew_gap;
  while (true) {
    {
      MutexLock lock(mu_);
      if (stopped_) return;
      keeper_.WaitUntil(mu_, std::min(next_renewal, SteadyClock::now() + options_.sweep));
      if (stopped_) return;
    }
    if (SteadyClock::now() >= next_renewal) {
      next_renewal = SteadyClock::now() + renew_gap;
      Renew();
    }
    Sweep();
  }
}

void Dispatcher::Renew() {
  const std::vector<Run> runs = Active();
  if (runs.empty()) return;
  std::vector<Fence> fences;
  fences.reserve(runs.size());
  for (const Run& run : runs) fences.push_back(run->job().fence);
  // From before the call: the database counts from when it got it.
  const TimePoint until = AddSaturating(ports_.clock.Now(), ports_.store.options().lease);
  const auto renewed = ports_.store.Renew(host_, fences, ports_.clock.Now() + kStoreTimeout);
  if (!renewed.ok()) {
    ports_.metrics.store_failures.Add();
    ports_.log.Warn("leases could not be renewed",
                    {{"jobs", runs.size()}, {"reason", renewed.error().message()}});
    for (const Run& run : runs) {
      if (ports_.clock.Now() < run->lease_until) continue;
      ports_.metrics.leases_lost.Add();
      run->Tell(ActiveRun::Stop::kLeaseLost);
    }
    return;
  }
  std::map<std::string, bool> held;
  for (const auto& job : *renewed) held[job.id.str()] = job.cancel_requested;
  for (const Run& run : runs) {
    const auto found = held.find(run->job().fence.id.str());
    if (found == held.end()) {
      // Also what has ended since Active(): telling it then changes nothing.
      run->Tell(ActiveRun::Stop::kLeaseLost);
      continue;
    }
    run->lease_until = until;
    if (found->second) run->Tell(ActiveRun::Stop::kCancelled);
  }
}

void Dispatcher::Sweep() {
  const auto swept = ports_.store.Sweep(options_.sweep_limit, ports_.clock.Now() + kStoreTimeout);
  if (!swept.ok()) {
    ports_.metrics.store_failures.Add();
    ports_.log.Warn("the queue could not be swept", {{"reason", swept.error().message()}});
    return;
  }
  ports_.metrics.Swept(*swept);
  if (swept->quarantined > 0) ports_.log.Warn("jobs were quarantined", {{"jobs", swept->quarantined}});
}

void Dispatcher::CancelByPayload(std::string_view payload) {
  if (payload.empty()) return;  // The next renewal says which.
  std::vector<Run> runs;
  {
    MutexLock lock(mu_);
    while (!payload.empty()) {
      const std::size_t end = std::min(payload.find(' '), payload.size());
      const auto found = active_.find(std::string(payload.substr(0, end)));
      if (found != active_.end()) runs.push_back(found->second);
      payload.remove_prefix(std::min(end + 1, payload.size()));
    }
  }
  // Without the lock: cancelling runs callbacks of the handlers.
  for (const Run& run : runs) run->Tell(ActiveRun::Stop::kCancelled);
}

// --- Ending
// ----------------------------------------------------------------------------------------------------------

void Dispatcher::Stop(Duration grace) {
  std::deque<Run> unstarted;
  {
    MutexLock lock(mu_);
    if (stopped_) return;
    claiming_ = false;
    claim_.NotifyAll();
  }
  if (claim_thread_.joinable()) claim_thread_.join();
  {
    MutexLock lock(mu_);
    unstarted.swap(waiting_);
    waiting_urgent_ = 0;
  }
  for (const Run& run : unstarted) ends_.Add({.fence = run->job().fence, .kind = RunEnd::Kind::kReleased});
  const auto limit = SteadyClock::now() + grace;
  {
    MutexLock lock(mu_);
    while (busy_ > 0 && SteadyClock::now() < limit) idle_.WaitUntil(mu_, limit);
  }
  for (const Run& run : Active()) run->Tell(ActiveRun::Stop::kShutdown);
  {
    MutexLock lock(mu_);
    stopping_ = true;
    work_.NotifyAll();
    while (busy_ > 0) idle_.Wait(mu_);
  }
  ends_.Stop(kStoreTimeout);
  {
    MutexLock lock(mu_);
    stopped_ = true;
    keeper_.NotifyAll();
  }
  for (auto& thread : threads_) thread.join();
  threads_.clear();
  subscriptions_.clear();
}

}  // namespace mezzo::jobs
