#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/lifecycle/tracking_store.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

/// By how much the counts of a tenant change.
struct TrackingStore::Growth {
  std::int64_t experiments = 0;
  std::int64_t runs = 0;
  std::int64_t models = 0;
  std::int64_t files = 0;
  std::int64_t bytes = 0;
};

namespace internal {

inline constexpr const char* kParam = "param";
inline constexpr const char* kTag = "tag";
inline constexpr const char* kDefaultName = "Default";

/// Whose facts those of an experiment are. The default one is no row: each tenant has its own tags of it.
std::string OwnerOf(const TenantId& tenant, std::int64_t experiment);

inline constexpr std::string_view kExperimentColumns = "id, name, created_us, updated_us, deleted_us";
/// Without tags.
ExperimentRecord ExperimentAt(const storage::SqlRows& rows, std::size_t row);

inline constexpr std::string_view kTrackedRunColumns =
    "r.id, r.experiment, r.name, r.user_name, r.status, r.started_ms, r.ended_ms, r.deleted_us";
/// Without facts and metrics.
RunRecord TrackedRunAt(const storage::SqlRows& rows, std::size_t row);

struct Fact {
  std::string owner;
  std::string kind;
  std::string key;
  std::string value;
};
/// Of all the owners, by owner, kind and key.
Result<std::vector<Fact>> FactsOf(storage::SqlSession& session, storage::SqlDialect dialect,
                                  std::vector<std::string> owners);

Error NoExperiment(const std::string& which);
Error NoTrackedRun(const std::string& id);
Error NoTag(const std::string& key);

}  // namespace internal
}  // namespace mezzo::lifecycle
