// Routes of models as JSON: what is taken is sound, survives being written and read again, and sends every
// call to one of its targets.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/releases/route.h"
#include "mezzo/releases/route_table.h"

using namespace mezzo;            // NOLINT(google-build-using-namespace): a program of one file.
using namespace mezzo::releases;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto route = ParseRoute(text);
  if (!route.ok()) {
    MEZZO_CHECK(!route.error().message().empty());
    return 0;
  }
  MEZZO_CHECK(CheckRoute(*route).ok());
  const auto again = ParseRoute(RouteText(*route));
  MEZZO_CHECK(again.ok());
  MEZZO_CHECK(*again == *route);

  const RouteTable table(*route, [](std::string_view alias) -> std::optional<std::int64_t> {
    if (alias.size() % 2 == 0) return 7;
    return std::nullopt;
  });
  const HeaderLookup headers(&text, [](const void* from, std::string_view /*name*/) {
    return std::optional<std::string_view>(*static_cast<const std::string_view*>(from));
  });
  for (std::uint64_t random = 0; random < 8; ++random) {
    const std::size_t target =
        table.Choose({.tenant = text.substr(0, 4), .headers = headers, .random = random});
    MEZZO_CHECK(target < table.targets().size());
    MEZZO_CHECK(table.PlaceOf(text) < kWholeWeight);
  }
  return 0;
}
