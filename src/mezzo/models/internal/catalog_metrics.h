#pragma once

#include "mezzo/observe/metrics.h"

namespace mezzo::models::internal {

/// What the catalog counts. Labels: `cause` is why a load was made, `reason` an error's slug, `state` a
/// version's.
struct CatalogMetrics {
  explicit CatalogMetrics(observe::Registry& r)
      : loads(r.NewCounterFamily("mezzo_models_loads_total", "Loads of model versions that ended.",
                                 {"cause", "outcome"})),
        failures(r.NewCounterFamily("mezzo_models_load_failures_total", "Failed loads of model versions.",
                                    {"reason"}, 64)),
        load_seconds(
            r.NewHistogram("mezzo_models_load_seconds", "Duration of successful loads with warm-up.")),
        evictions(r.NewCounter("mezzo_models_evictions_total", "Versions evicted for the memory budget.")),
        unloads(r.NewCounter("mezzo_models_frees_total", "Sessions freed.")),
        used_bytes(
            r.NewGauge("mezzo_models_memory_bytes", "Memory of sessions: loaded, in load, being freed.")),
        budget_bytes(r.NewGauge("mezzo_models_memory_budget_bytes", "The memory budget; 0: none.")),
        draining_bytes(
            r.NewGauge("mezzo_models_memory_draining_bytes", "Memory of unloaded sessions still in use.")),
        waiters(r.NewGauge("mezzo_models_load_waiters", "Calls waiting for a load.")),
        refused_waiters(r.NewCounter("mezzo_models_load_waiters_refused_total",
                                     "Calls refused: too many wait for the load.")),
        queued_loads(r.NewGauge("mezzo_models_loads_queued", "Loads that have not begun.")),
        active_loads(r.NewGauge("mezzo_models_loads_active", "Loads in progress.")),
        versions(r.NewGaugeFamily("mezzo_models_versions", "Model versions by state.", {"state"}, 8)) {}

  observe::Family<observe::Counter>& loads;
  observe::Family<observe::Counter>& failures;
  observe::Histogram& load_seconds;
  observe::Counter& evictions;
  observe::Counter& unloads;
  observe::Gauge& used_bytes;
  observe::Gauge& budget_bytes;
  observe::Gauge& draining_bytes;
  observe::Gauge& waiters;
  observe::Counter& refused_waiters;
  observe::Gauge& queued_loads;
  observe::Gauge& active_loads;
  observe::Family<observe::Gauge>& versions;
};

}  // namespace mezzo::models::internal
