#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"

namespace mezzo::releases {

/// What aliases of versions stand for. Thread-safe; never blocks.
class AliasSource {
 public:
  virtual ~AliasSource() = default;
  /// Nothing: nothing stands under it.
  [[nodiscard]] virtual std::optional<std::int64_t> VersionOf(std::string_view model,
                                                              std::string_view alias) const = 0;
};

/// Which versions there are. Thread-safe; may block.
class VersionSource {
 public:
  virtual ~VersionSource() = default;
  /// kInvalidArgument "route_version_unknown", naming those there are, when no host could serve the version;
  /// zero: any version at all.
  [[nodiscard]] virtual Result<void> Check(const std::string& model, std::int64_t version) = 0;
};

}  // namespace mezzo::releases
