#pragma once

#include <array>
#include <string_view>

#include "mezzo/jobs/webhook_schedule.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::jobs {

/// What a host's sending of webhooks counts. Thread-safe.
class WebhookMetrics {
 public:
  explicit WebhookMetrics(observe::Registry& registry);

  /// A try that was made and marked.
  void Tried(WebhookVerdict verdict) { tries_.at(static_cast<std::size_t>(verdict))->Add(); }
  /// A try without success; `reason` is "http_4xx" and the like, or the slug of an error.
  void Failed(std::string_view reason) { failures_.With({reason}).Add(); }

  observe::Counter& fences_lost;
  observe::Counter& closed_unsent;
  observe::Counter& store_failures;
  observe::Counter& pruned;
  observe::Gauge& in_flight;
  observe::Gauge& due;
  observe::Gauge& oldest_wait;
  observe::Histogram& send_seconds;

 private:
  observe::Family<observe::Counter>& failures_;
  std::array<observe::Counter*, 4> tries_{};  // By WebhookVerdict.
};

}  // namespace mezzo::jobs
