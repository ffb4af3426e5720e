#pragma once

#include <algorithm>
#include <string_view>

#include "mezzo/base/strings.h"

namespace mezzo::api {

/// Whether a request's Cache-Control (RFC 9111, section 5.2) has the directive no-store.
inline bool SaysNoStore(std::string_view cache_control) {
  while (!cache_control.empty()) {
    const std::size_t comma = std::min(cache_control.find(','), cache_control.size());
    if (EqualsIgnoreCase(Trim(cache_control.substr(0, comma)), "no-store")) return true;
    cache_control.remove_prefix(std::min(comma + 1, cache_control.size()));
  }
  return false;
}

}  // namespace mezzo::api
