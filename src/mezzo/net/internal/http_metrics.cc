#include "mezzo/net/internal/http_metrics.h"

namespace mezzo::net {

HttpMetrics::HttpMetrics(observe::Registry& registry, std::string_view listener)
    : open(registry.NewGaugeFamily("mezzo_net_connections", "Open connections.", {"listener"})
               .With({listener})),
      accepted(
          registry
              .NewCounterFamily("mezzo_net_connections_accepted_total", "Connections accepted.", {"listener"})
              .With({listener})),
      received_bytes(registry
                         .NewCounterFamily("mezzo_net_received_bytes_total",
                                           "Bytes of requests, transport encryption not counted.",
                                           {"listener"})
                         .With({listener})),
      sent_bytes(registry
                     .NewCounterFamily("mezzo_net_sent_bytes_total",
                                       "Bytes of responses, transport encryption not counted.", {"listener"})
                     .With({listener})),
      disconnected(registry
                       .NewCounterFamily("mezzo_net_disconnects_total",
                                         "Clients that left while their request ran.", {"listener"})
                       .With({listener})),
      read_seconds(registry
                       .NewHistogramFamily("mezzo_net_request_read_seconds",
                                           "From the first byte of a request to its last.", {"listener"})
                       .With({listener})) {
  auto& answered = registry.NewCounterFamily("mezzo_net_responses_total", "Responses by class of status.",
                                             {"listener", "class"});
  static constexpr std::array<std::string_view, 6> kClasses = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
  for (std::size_t i = 0; i < kClasses.size(); ++i) answered_[i] = &answered.With({listener, kClasses[i]});
  auto& refused = registry.NewCounterFamily("mezzo_net_refusals_total",
                                            "Connections and requests refused before a handler saw them.",
                                            {"listener", "reason"});
  static constexpr std::array<std::string_view, 6> kReasons = {
      "connection_limit", "peer_limit", "file_descriptors", "protocol", "timeout", "bytes_in_flight"};
  for (std::size_t i = 0; i < kReasons.size(); ++i) refused_[i] = &refused.With({listener, kReasons[i]});
}

}  // namespace mezzo::net
