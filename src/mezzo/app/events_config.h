#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mezzo::app {

/// Kinds of events that are no job's and no pipeline's.
enum class EventKind : std::uint8_t { kDrift, kRetirement };

struct EventWebhookConfig {
  std::string url;
  std::string tenant;
  std::vector<EventKind> kinds;
};

/// The section `events` of mezzo.yaml; see events_schema.h.
struct EventsConfig {
  std::vector<EventWebhookConfig> webhooks;
};

}  // namespace mezzo::app
