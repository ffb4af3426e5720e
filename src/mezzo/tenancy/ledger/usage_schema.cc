#include "mezzo/tenancy/ledger/usage_schema.h"

#include <array>

namespace mezzo::tenancy {
namespace {

// `start_us` is when the hour or day (UTC) began, microseconds of the wall clock. `usage_writers` has a row
// for each run of a server: the last of its journal's records that are in the tables.
constexpr std::string_view kTables = R"sql(
CREATE TABLE usage_hourly (
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
CREATE INDEX usage_hourly_by_time ON usage_hourly (start_us);

CREATE TABLE usage_daily (
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
CREATE INDEX usage_daily_by_time ON usage_daily (start_us);

CREATE TABLE usage_writers (
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

constexpr std::array<storage::Migration, 1> kMigrations = {
    {{.version = 1, .name = "usage", .sql = kTables, .sqlite = "", .postgres = ""}}};

}  // namespace

std::span<const storage::Migration> UsageMigrations() { return kMigrations; }

}  // namespace mezzo::tenancy
