#include "mezzo/jobs/job_metrics.h"

#include <string_view>

namespace mezzo::jobs {

JobMetrics::JobMetrics(observe::Registry& registry)
    : running(registry.NewGauge("mezzo_jobs_running", "Jobs that this host runs.")),
      prefetched(
          registry.NewGauge("mezzo_jobs_prefetched", "Leased jobs that wait on this host for a slot.")),
      claimed(registry.NewCounter("mezzo_jobs_claimed_total", "Jobs that this host leased.")),
      leases_lost(registry.NewCounter("mezzo_jobs_leases_lost_total",
                                      "Leases that ended while this host still worked on the job.")),
      store_failures(registry.NewCounter("mezzo_jobs_store_failures_total",
                                         "Claims, renewals and sweeps that the database did not take.")),
      run_seconds(registry.NewHistogram("mezzo_jobs_run_seconds", "Time of one attempt on this host.")) {
  auto& ended = registry.NewCounterFamily("mezzo_jobs_runs_total",
                                          "Attempts that ended on this host, by how.", {"outcome"});
  static constexpr std::array<std::string_view, 6> kOutcomes = {"succeeded", "failed",   "retry",
                                                                "cancelled", "released", "lease_lost"};
  for (std::size_t i = 0; i < kOutcomes.size(); ++i) ended_.at(i) = &ended.With({kOutcomes.at(i)});
  auto& swept = registry.NewCounterFamily("mezzo_jobs_swept_total",
                                          "Jobs that time moved, seen by this host.", {"event"});
  static constexpr std::array<std::string_view, 5> kEvents = {"due", "rescued", "quarantined", "expired",
                                                              "promoted"};
  for (std::size_t i = 0; i < kEvents.size(); ++i) swept_.at(i) = &swept.With({kEvents.at(i)});
}

void JobMetrics::Ended(const RunEnd& end, bool held) {
  ended_.at(held ? static_cast<std::size_t>(end.kind) : ended_.size() - 1)->Add();
}

void JobMetrics::Swept(const JobStore::Swept& swept) {
  swept_[0]->Add(swept.due);
  swept_[1]->Add(swept.rescued);
  swept_[2]->Add(swept.quarantined);
  swept_[3]->Add(swept.expired);
  swept_[4]->Add(swept.promoted);
}

}  // namespace mezzo::jobs
