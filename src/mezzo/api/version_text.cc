#include "mezzo/api/version_text.h"

#include <cstdint>
#include <limits>
#include <string>

#include "mezzo/base/strings.h"

namespace mezzo::api {

Result<void> CheckVersion(std::string_view version) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (version.empty()) return {};
  const auto number = ParseUint(version);
  if (number && *number <= kMax) return {};
  return InvalidArgument("version_invalid", "failed to get model version from specified version string '" +
                                                Printable(version) +
                                                "', version should be an integral value > 0");
}

}  // namespace mezzo::api
