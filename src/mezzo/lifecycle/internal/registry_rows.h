#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

/// A model whose row the transaction has locked.
struct RegistryStore::Locked {
  std::string id;
  std::string name;
  std::int64_t revision = 0;
  std::int64_t next_version = 0;
  std::string description;
  std::string tenant;
};

namespace internal {

inline std::int64_t ToMicros(WallTime time) {
  return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
}
inline WallTime FromMicros(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

inline constexpr std::string_view kModelColumns =
    "m.id, m.name, m.tenant, m.description, m.revision, m.created_us, m.created_by, m.updated_us";
/// Without tags, aliases and latest.
ModelRecord ModelAt(const storage::SqlRows& rows, std::size_t row);

inline constexpr std::string_view kVersionColumns =
    "v.model_id, m.name, v.version, v.state, v.reason, v.digest, v.bytes, v.files, v.description, v.stage, "
    "v.data, v.code, v.metrics, v.parent, v.run_id, v.source, v.revision, v.created_us, v.created_by, "
    "v.updated_us";
/// Without tags and aliases. An unknown state, which a newer host has written, is kArchived: not served.
VersionRecord VersionAt(const storage::SqlRows& rows, std::size_t row);

Error NoModel(std::string_view name);
Error NoVersion(std::string_view model, std::int64_t version);

}  // namespace internal
}  // namespace mezzo::lifecycle
