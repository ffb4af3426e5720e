#include "mezzo/jobs/housekeeper.h"

#include <string>
#include <utility>

namespace mezzo::jobs {
namespace {

/// A pass makes no more transactions than this; the rest is for the next.
constexpr int kTransactionsPerPass = 200;
constexpr Duration kStepTime = std::chrono::seconds(20);

}  // namespace

Housekeeper::Housekeeper(Options options, Ports ports)
    : options_(options),
      ports_(ports),
      thread_({.name = "job-house"}, ports.clock, [this] { return Round(); }) {}

runtime::PeriodicThread::Pause Housekeeper::Round() {
  Synchronise();
  if (ports_.clock.Now() >= next_prune_) {
    for (int i = 0; i < kTransactionsPerPass && Prune() && !thread_.stopping(); ++i) {
    }
    next_prune_ = ports_.clock.Now() + options_.prune_period;
  }
  return {.longest = options_.clock_period};
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
