#include "mezzo/jobs/housekeeper.h"

#include <string>
#include <utility>

#include "mezzo/runtime/loop.h"

namespace mezzo::jobs {
namespace {

/// A pass makes no more transactions than this; the rest is for the next.
constexpr int kTransactionsPerPass = 200;
constexpr Duration kStepTime = std::chrono::seconds(20);

}  // namespace

void Housekeeper::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Housekeeper::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    end_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Housekeeper::Loop() {
  runtime::SetThreadName("job-house");
  TimePoint next_prune{};
  while (true) {
    Synchronise();
    if (ports_.clock.Now() >= next_prune) {
      for (int i = 0; i < kTransactionsPerPass && Prune(); ++i) {
        MutexLock lock(mu_);
        if (stopping_) return;
      }
      next_prune = ports_.clock.Now() + options_.prune_period;
    }
    const TimePoint wake = ports_.clock.Now() + options_.clock_period;
    MutexLock lock(mu_);
    while (!stopping_ && end_.WaitUntil(mu_, wake)) {
    }
    if (stopping_) return;
  }
}

void Housekeeper::Synchronise() {
  const auto done = ports_.clock.Synchronise(ports_.db, ports_.clock.Now() + kStepTime);
  if (!done.ok()) ports_.log.Warn("the database's clock was not read", {{"reason", done.error().message()}});
}

bool Housekeeper::Prune() {
  const auto pruned = ports_.pruner.Prune(ports_.clock.Now() + kStepTime);
  if (!pruned.ok()) {
    ports_.log.Warn("the queue was not pruned", {{"reason", pruned.error().message()}});
    return false;
  }
  for (const auto& [what, count] :
       {std::pair("jobs", pruned->jobs), std::pair("partitions made", pruned->partitions_made),
        std::pair("partitions dropped", pruned->partitions_dropped)}) {
    if (count > 0)
      ports_.log.Info("the queue was pruned", {{"what", what}, {"count", std::to_string(count)}});
  }
  return pruned->more;
}

}  // namespace mezzo::jobs
