#pragma once

#include <cstddef>

#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api {

/// How many entries of a list the query parameter `limit` asks for; `usual` without it. kInvalidArgument
/// "query_value" unless it is in [1, `most`].
Result<std::size_t> PageLimit(const net::HttpRequest& request, std::size_t usual, std::size_t most);

}  // namespace mezzo::api
