#pragma once

#include "mezzo/observe/metrics.h"

namespace mezzo::drivers {

/// Of the processes of all Python models.
struct WorkerMetrics {
  explicit WorkerMetrics(observe::Registry& registry)
      : ready(registry.NewGaugeFamily("mezzo_worker_ready_processes", "Processes that can run their model.",
                                      {"model"}, 256)),
        deaths(registry.NewCounterFamily("mezzo_worker_deaths_total",
                                         "Processes that died or had to be ended, by reason.",
                                         {"model", "reason"}, 1024)) {}
  observe::Family<observe::Gauge>& ready;
  observe::Family<observe::Counter>& deaths;
};

}  // namespace mezzo::drivers
