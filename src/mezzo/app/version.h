#pragma once

#include <string_view>

namespace mezzo::app {

/// "0.1.0", from CMakeLists.txt.
inline constexpr std::string_view kVersion = MEZZO_VERSION;
/// The commit it was built from, or "unknown".
inline constexpr std::string_view kCommit = MEZZO_COMMIT;

}  // namespace mezzo::app
