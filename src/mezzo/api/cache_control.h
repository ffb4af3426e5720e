#pragma once

#include <algorithm>
#include <string_view>

#include "mezzo/base/strings.h"
#include "mezzo/inference/inference_call.h"

namespace mezzo::api {

/// Whether a request's Cache-Control (RFC 9111, section 5.2) has the directive, with the argument if it is
/// given one ("max-age=0"; it may be quoted).
inline bool HasDirective(std::string_view cache_control, std::string_view name,
                         std::string_view argument = {}) {
  while (!cache_control.empty()) {
    const std::size_t comma = std::min(cache_control.find(','), cache_control.size());
    const std::string_view directive = Trim(cache_control.substr(0, comma));
    const std::size_t equals = std::min(directive.find('='), directive.size());
    std::string_view value = Trim(directive.substr(std::min(equals + 1, directive.size())));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    if (EqualsIgnoreCase(Trim(directive.substr(0, equals)), name) &&
        (argument.empty() || value == argument)) {
      return true;
    }
    cache_control.remove_prefix(std::min(comma + 1, cache_control.size()));
  }
  return false;
}

/// What a request's Cache-Control asks of the model's cache: `no-store` neither answers from it nor keeps;
/// `no-cache` and `max-age=0` compute anew and keep that. Other directives are preferences that a cache may
/// leave aside.
inline void TakeCacheControl(std::string_view cache_control, inference::InferenceCall& call) {
  if (cache_control.empty()) return;
  call.no_store = HasDirective(cache_control, "no-store");
  call.no_cache = HasDirective(cache_control, "no-cache") || HasDirective(cache_control, "max-age", "0");
}

}  // namespace mezzo::api
