#include "mezzo/tenancy/ledger/usage_schema.h"

#include <array>
#include <string>

namespace mezzo::tenancy {
namespace {

// Sums by hour and by day are kept alike. `start_us` is when the hour or day (UTC) began, microseconds of the
// wall clock.
constexpr std::string_view kSums = R"sql(CREATE TABLE {table} (
  start_us BIGINT NOT NULL,
  tenant TEXT NOT NULL,
  project TEXT NOT NULL,
  key_id TEXT NOT NULL,
  model TEXT NOT NULL,
  version TEXT NOT NULL,
  kind TEXT NOT NULL,
  requests BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  device_ns BIGINT NOT NULL,
  images BIGINT NOT NULL,
  video_ms BIGINT NOT NULL,
  bytes_in BIGINT NOT NULL,
  bytes_out BIGINT NOT NULL,
  cache_hits BIGINT NOT NULL,
  saved_ns BIGINT NOT NULL,
  PRIMARY KEY (tenant, start_us, project, key_id, model, version, kind)
);
CREATE INDEX {table}_by_time ON {table} (start_us);
)sql";

// `usage_writers` has a row for each run of a server: the last of its journal's records that are in the
// tables.
constexpr std::string_view kOthers = R"sql(CREATE TABLE usage_writers (
  epoch TEXT NOT NULL PRIMARY KEY,
  sequence BIGINT NOT NULL,
  updated_us BIGINT NOT NULL
);

CREATE TABLE prices (
  model TEXT NOT NULL,
  unit TEXT NOT NULL,
  amount_micros BIGINT NOT NULL,
  currency TEXT NOT NULL,
  valid_from_us BIGINT NOT NULL,
  PRIMARY KEY (model, unit, valid_from_us)
);
)sql";

std::string SumsIn(std::string_view table) {
  constexpr std::string_view kPlace = "{table}";
  std::string sql(kSums);
  for (std::size_t at = sql.find(kPlace); at != std::string::npos; at = sql.find(kPlace, at))
    sql.replace(at, kPlace.size(), table);
  return sql;
}

}  // namespace

std::span<const storage::Migration> UsageMigrations() {
  static const std::string tables =
      "\n" + SumsIn("usage_hourly") + "\n" + SumsIn("usage_daily") + "\n" + std::string(kOthers);
  static const std::array<storage::Migration, 1> migrations = {
      {{.version = 1, .name = "usage", .sql = tables, .sqlite = "", .postgres = ""}}};
  return migrations;
}

}  // namespace mezzo::tenancy
