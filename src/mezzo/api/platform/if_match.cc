#include "mezzo/api/platform/if_match.h"

#include <limits>
#include <string>

#include "mezzo/base/strings.h"

namespace mezzo::api::platform {

Result<std::optional<std::int64_t>> MatchedRevision(const net::HttpRequest& request) {
  const auto header = request.Header("If-Match");
  if (!header) return std::optional<std::int64_t>();
  std::string_view text = Trim(*header);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
    const auto number = ParseUint(text);
    if (number && *number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return std::optional<std::int64_t>(static_cast<std::int64_t>(*number));
    }
  }
  return InvalidArgument("route_if_match", "If-Match is '" + Printable(*header, 64) +
                                               "'; it must be a revision in quotes, as ETag says it");
}

void TagRevision(std::int64_t revision, net::HttpResponse* response) {
  response->headers.emplace_back("ETag", "\"" + std::to_string(revision) + "\"");
}

}  // namespace mezzo::api::platform
