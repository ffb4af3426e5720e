#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::releases {

/// What aliases of versions stand for on this host. Thread-safe.
class AliasSource {
 public:
  virtual ~AliasSource() = default;
  /// Reads anew what aliases of routed models stand for. Blocks. Fails with the database's errors; what was
  /// known stays known then.
  virtual Result<void> Refresh(TimePoint deadline) {
    (void)deadline;
    return {};
  }
  /// Never blocks.
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

/// Whether versions and aliases that a route names are there, asked in the transaction that writes the route:
/// what it finds stays so until that has ended. Thread-safe.
class NameCheck {
 public:
  virtual ~NameCheck() = default;
  /// `versions`: 0 is the newest. kInvalidArgument "route_version_unknown", "route_version_not_ready",
  /// "route_alias_unknown", and the database's errors.
  [[nodiscard]] virtual Result<void> Check(storage::SqlSession& session, const std::string& model,
                                           const std::set<std::int64_t>& versions,
                                           const std::set<std::string>& aliases) = 0;
};

}  // namespace mezzo::releases
