#include "mezzo/lifecycle/data_watcher.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace mezzo::lifecycle {
namespace {

constexpr std::size_t kShownError = 500;

}  // namespace

DataWatcher::DataWatcher(Options options, const Ports& ports, observe::Family<observe::Counter>& looks)
    : options_(std::move(options)),
      ports_(ports),
      looks_(looks.With({"ok"})),
      failures_(looks.With({"failed"})),
      runs_(ports.metrics.NewCounter("mezzo_pipelines_data_runs_total",
                                     "Runs of pipelines that new data has begun or joined.")),
      thread_({.name = "data", .longest_sleep = options_.period}, ports_.clock, [this] {
        RunAndLog();
        return runtime::PeriodicThread::Pause{.longest = options_.period};
      }) {}

Result<void> DataWatcher::Keep(const PipelineStore::DataTrigger& trigger, const Result<DataSight>& sight,
                               Round& round) {
  DataStep step{.next = trigger.watch};
  std::string error;
  if (sight.ok()) {
    step = Watch(trigger.watch, *sight, trigger.settle, ports_.clock.WallNow());
  } else {
    error = std::string(sight.error().reason()) + ": " + std::string(sight.error().message());
    error.resize(std::min(error.size(), kShownError));
  }
  if (step.next == trigger.watch && error == trigger.error && trigger.revision != 0) return {};
  MEZZO_TRY(const bool kept, ports_.store.KeepWatch(trigger, step.next, error, step.fire, Soon()));
  if (!kept) return {};
  const observe::LogFields where = {
      {"pipeline", trigger.pipeline}, {"dataset", trigger.dataset}, {"prefix", trigger.prefix}};
  if (!error.empty() && trigger.error.empty()) {
    ports_.log.Warn("data can't be looked at", {{"pipeline", trigger.pipeline},
                                                {"dataset", trigger.dataset},
                                                {"prefix", trigger.prefix},
                                                {"error", error}});
  }
  if (error.empty() && !trigger.error.empty()) ports_.log.Info("data can be looked at again", where);
  if (step.fire) {
    ++round.runs;
    runs_.Add();
    ports_.log.Info("new data begins a run", where);
  }
  return {};
}

Result<DataWatcher::Round> DataWatcher::RunOnce() {
  Round round;
  std::map<std::pair<std::string, std::string>, Result<DataSight>> seen;
  PipelineStore::DataTrigger last;
  while (!thread_.stopping()) {
    MEZZO_TRY(round.leads, ports_.store.LeadWatching(options_.host, options_.lease, Soon()));
    if (!round.leads) return round;
    MEZZO_TRY(const auto page, ports_.store.DataTriggers(last, options_.page, Soon()));
    for (const PipelineStore::DataTrigger& trigger : page) {
      if (thread_.stopping()) return round;
      const std::pair key(trigger.dataset, trigger.prefix);
      auto found = seen.find(key);
      if (found == seen.end()) {
        // A look may take long: the lease is to outlast it.
        MEZZO_TRY(round.leads, ports_.store.LeadWatching(options_.host, options_.lease, Soon()));
        if (!round.leads) return round;
        found =
            seen.emplace(key, ports_.datasets.Look(trigger.dataset, trigger.prefix,
                                                   AddSaturating(ports_.clock.Now(), options_.look_limit)))
                .first;
        ++round.looks;
        if (!found->second.ok()) ++round.failed;
        (found->second.ok() ? looks_ : failures_).Add();
      }
      MEZZO_TRY_VOID(Keep(trigger, found->second, round));
    }
    if (page.size() < options_.page) return round;
    last = page.back();
  }
  return round;
}

void DataWatcher::RunAndLog() {
  const auto round = RunOnce();
  if (round.ok()) return;
  ports_.log.Limited("data_watch")
      .Warn("pipelines' data can't be watched",
            {{"reason", round.error().reason()}, {"message", round.error().message()}});
}

}  // namespace mezzo::lifecycle
