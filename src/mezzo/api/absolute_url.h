#pragma once

#include <string>

#include "mezzo/net/http_types.h"

namespace mezzo::api {

/// A URL that names a path only, with the scheme and the host in front under which the caller has reached
/// this server; other URLs as they are. A Host header that can't stand in a URL leaves the path.
[[nodiscard]] std::string AbsoluteUrl(const net::HttpRequest& request, std::string url);

}  // namespace mezzo::api
