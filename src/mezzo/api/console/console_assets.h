#pragma once

#include <span>
#include <string_view>

#include "mezzo/base/bytes.h"

namespace mezzo::api::console {

/// A file of the console, as it lies in the binary.
struct ConsoleAsset {
  std::string_view path;  ///< "/console/assets/index-Cx3f.js"; "/console/" is the page.
  std::string_view content_type;
  std::string_view etag;  ///< Strong, with its quotes.
  BytesView plain;
  BytesView gzip;  ///< Empty where compressing does not pay.
};

/// All files, sorted by path; empty in a build without the console (MEZZO_CONSOLE=OFF).
[[nodiscard]] std::span<const ConsoleAsset> ConsoleAssets();

}  // namespace mezzo::api::console
