#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "mezzo/base/result.h"

namespace mezzo::api {

/// The JSON object in `text`. Nothing deeper than `max_depth` levels, of which the object itself is the
/// first, is ever built. `Json` is nlohmann::json or its ordered form; `bad` makes an Error of a message, so
/// that each protocol refuses by its own reason.
template <typename Json, typename Bad>
Result<Json> ParseJsonObject(std::string_view text, int max_depth, Bad bad) {
  bool too_deep = false;
  const auto watch = [&too_deep, max_depth](int depth, typename Json::parse_event_t event, Json&) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= max_depth) too_deep = true;
    return !too_deep;
  };
  Json json = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (too_deep) return bad("the body nests deeper than " + std::to_string(max_depth) + " levels");
  if (json.is_discarded()) return bad("the body is not valid JSON");
  if (!json.is_object()) return bad("the body must be a JSON object");
  return json;
}

}  // namespace mezzo::api
