#include "mezzo/lifecycle/version_events.h"

#include <ctime>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace mezzo::lifecycle {

std::string EventTime(WallTime time) {
  const auto millis = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(millis / 1000)),
                     millis % 1000);
}

std::string VersionEvent::Body() const {
  nlohmann::ordered_json told = {{"model", model}, {"version", version}};
  const auto more = nlohmann::ordered_json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (more.is_object()) told.update(more);
  const nlohmann::ordered_json body = {
      {"type", type}, {"timestamp", EventTime(at)}, {"data", std::move(told)}};
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace mezzo::lifecycle
