#include "mezzo/api/page_limit.h"

#include <string>

#include "mezzo/base/strings.h"

namespace mezzo::api {
namespace {

constexpr std::size_t kShown = 64;  // Of a value that is refused.

}  // namespace

Result<std::size_t> PageLimit(const net::HttpRequest& request, std::size_t usual, std::size_t most) {
  const auto text = request.QueryValue("limit");
  if (!text) return usual;
  const auto number = ParseUint(*text);
  if (number && *number >= 1 && *number <= most) return static_cast<std::size_t>(*number);
  return InvalidArgument("query_value", "query parameter 'limit' must be in [1, " + std::to_string(most) +
                                            "], got '" + Printable(*text, kShown) + "'");
}

}  // namespace mezzo::api
