#include "mezzo/jobs/webhook_metrics.h"

namespace mezzo::jobs {

WebhookMetrics::WebhookMetrics(observe::Registry& registry)
    : fences_lost(
          registry.NewCounter("mezzo_jobs_webhook_fences_lost_total",
                              "Tries that did not count: another host or a replay had taken the event.")),
      closed_unsent(registry.NewCounter("mezzo_jobs_webhook_closed_unsent_total",
                                        "Events closed without a try because their URL had answered 410.")),
      store_failures(registry.NewCounter("mezzo_jobs_webhook_store_failures_total",
                                         "Claims, marks and prunings that the database did not take.")),
      pruned(registry.NewCounter("mezzo_jobs_webhook_pruned_total", "Old events that this host deleted.")),
      in_flight(registry.NewGauge("mezzo_jobs_webhook_in_flight", "Events that this host sends now.")),
      due(registry.NewGauge("mezzo_jobs_webhook_due",
                            "Events that are due and wait for a sender, on all hosts.")),
      oldest_wait(registry.NewGauge("mezzo_jobs_webhook_oldest_wait_seconds",
                                    "Time since the oldest waiting event became due.")),
      send_seconds(registry.NewHistogram("mezzo_jobs_webhook_send_seconds",
                                         "Time of one try, from connecting to the answer or the failure.")),
      failures_(registry.NewCounterFamily("mezzo_jobs_webhook_failures_total",
                                          "Tries without success, by what came instead.", {"reason"})) {
  auto& tries = registry.NewCounterFamily(
      "mezzo_jobs_webhook_tries_total", "Tries that were marked, by what became of the event.", {"outcome"});
  for (std::size_t i = 0; i < tries_.size(); ++i)
    tries_.at(i) = &tries.With({VerdictName(static_cast<WebhookVerdict>(i))});
}

}  // namespace mezzo::jobs
