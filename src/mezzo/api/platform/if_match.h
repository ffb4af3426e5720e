#pragma once

#include <cstdint>
#include <optional>

#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api::platform {

// Revisions as HTTP's entity tags, for what people change at the same time.

/// The revision that a change is about: If-Match has it in quotes. Nothing without the header: whatever the
/// revision is. kInvalidArgument "route_if_match".
Result<std::optional<std::int64_t>> MatchedRevision(const net::HttpRequest& request);

/// Puts the revision into ETag.
void TagRevision(std::int64_t revision, net::HttpResponse* response);

}  // namespace mezzo::api::platform
