#include "mezzo/lifecycle/pipeline_controller.h"

#include <utility>

namespace mezzo::lifecycle {

PipelineController::PipelineController(const Options& options, const Ports& ports, std::string host)
    : options_(options),
      ports_(ports),
      driver_(options.driver, ports.driver, std::move(host)),
      open_(ports.registry.NewGauge("mezzo_pipelines_open",
                                    "Runs of pipelines that have not ended, on the host that drives them.")),
      waiting_(
          ports.registry.NewGauge("mezzo_pipelines_waiting", "Of them, those that wait for an approval.")),
      leads_(ports.registry.NewGauge("mezzo_pipelines_leads", "1 on the host that drives pipelines.")),
      failures_(ports.registry.NewCounter("mezzo_pipelines_failures_total",
                                          "Rounds, or runs in a round, that could not be driven.")),
      failing_(ports.log, "pipelines could not be driven", "pipelines are driven again"),
      thread_({.name = "pipelines"}, ports.driver.clock, [this] { return Round(); }) {}

void PipelineController::Start() {
  subscription_ = ports_.db.Listen(kPipelinesChannel, [this](std::string_view) { thread_.Wake(); });
  thread_.Start();
}

void PipelineController::Stop() {
  subscription_.reset();
  thread_.Stop();
}

runtime::PeriodicThread::Pause PipelineController::Round() {
  const Clock& clock = ports_.driver.clock;
  const auto round = driver_.Run(clock.Now() + options_.limit);
  std::optional<Error> error;
  if (!round.ok()) {
    error = round.error();
    failures_.Add();
  } else {
    open_.Set(static_cast<double>(round->open));
    waiting_.Set(static_cast<double>(round->waiting));
    leads_.Set(round->leads ? 1 : 0);
    failures_.Add(round->errors.size());
    if (!round->errors.empty()) error = round->errors.front();
    if (round->leads && clock.Now() >= next_prune_) {
      next_prune_ = clock.Now() + options_.prune;
      const auto pruned = ports_.driver.store.Prune(clock.Now() + options_.limit);
      if (!pruned.ok()) error = pruned.error();
    }
  }
  if (error) {
    failing_.Failed({{"reason", error->reason()}, {"error", error->message()}});
  } else {
    failing_.Worked();
  }
  return {.longest = options_.period};
}

}  // namespace mezzo::lifecycle
