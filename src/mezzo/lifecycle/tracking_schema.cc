#include "mezzo/lifecycle/tracking_schema.h"

#include <array>

namespace mezzo::lifecycle {
namespace {

// An owner is a run, a logged model, or "e" and the number of an experiment. Its parameters, tags, data sets
// and outputs are facts. `sha256` of an artifact is what is there, `next_sha256` what is being brought;
// either may be empty. A run's `deleted_us` is 0 unless it is deleted. Counts of tenants and runs are kept
// beside what they count, so that limits hold without a walk.
constexpr std::string_view kTables = R"sql(
CREATE TABLE tracking_tenants (
  tenant TEXT NOT NULL PRIMARY KEY,
  experiments BIGINT NOT NULL,
  runs BIGINT NOT NULL,
  models BIGINT NOT NULL,
  files BIGINT NOT NULL,
  bytes BIGINT NOT NULL
);

CREATE TABLE tracking_experiments (
  id {identity},
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  updated_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX tracking_experiments_by_name ON tracking_experiments (tenant, name);

CREATE TABLE tracking_runs (
  id TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  experiment BIGINT NOT NULL,
  name TEXT NOT NULL,
  user_name TEXT NOT NULL,
  status TEXT NOT NULL,
  started_ms BIGINT NOT NULL,
  ended_ms BIGINT,
  deleted_us BIGINT NOT NULL,
  facts BIGINT NOT NULL,
  points BIGINT NOT NULL,
  created_us BIGINT NOT NULL
);
CREATE INDEX tracking_runs_of_experiment ON tracking_runs (tenant, experiment, id);
CREATE INDEX tracking_runs_by_deletion ON tracking_runs (deleted_us);

CREATE TABLE tracking_models (
  id TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  experiment BIGINT NOT NULL,
  name TEXT NOT NULL,
  run_id TEXT NOT NULL,
  type TEXT NOT NULL,
  status TEXT NOT NULL,
  facts BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  updated_us BIGINT NOT NULL,
  created_by TEXT NOT NULL
);
CREATE INDEX tracking_models_of_experiment ON tracking_models (tenant, experiment, id);

CREATE TABLE tracking_facts (
  owner TEXT NOT NULL,
  kind TEXT NOT NULL,
  fact_key TEXT NOT NULL,
  fact_value TEXT NOT NULL,
  PRIMARY KEY (owner, kind, fact_key)
);

CREATE TABLE tracking_points (
  seq {identity},
  run_id TEXT NOT NULL,
  metric TEXT NOT NULL,
  metric_value TEXT NOT NULL,
  at_ms BIGINT NOT NULL,
  step BIGINT NOT NULL,
  model_id TEXT NOT NULL
);
CREATE INDEX tracking_points_of_run ON tracking_points (run_id, metric, seq);

CREATE TABLE tracking_artifacts (
  owner TEXT NOT NULL,
  path TEXT NOT NULL,
  tenant TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  next_sha256 TEXT NOT NULL,
  next_bytes BIGINT NOT NULL,
  touched_us BIGINT NOT NULL,
  PRIMARY KEY (owner, path)
);
CREATE INDEX tracking_artifacts_by_content ON tracking_artifacts (sha256);
CREATE INDEX tracking_artifacts_by_next ON tracking_artifacts (next_sha256);
CREATE INDEX tracking_artifacts_by_time ON tracking_artifacts (touched_us);

CREATE TABLE tracking_uploads (
  id TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  owner TEXT NOT NULL,
  path TEXT NOT NULL,
  parts BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  created_us BIGINT NOT NULL
);
CREATE INDEX tracking_uploads_of_tenant ON tracking_uploads (tenant);
CREATE INDEX tracking_uploads_by_time ON tracking_uploads (created_us);
)sql";

// Of each metric of a run that of the last step, so that runs are found and ordered by it without a walk over
// all measurements; its number is NULL when it is none. `experiment` and `tenant` of a run never change.
constexpr std::string_view kSearches = R"sql(
ALTER TABLE tracking_experiments ADD COLUMN deleted_us BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tracking_experiments_by_deletion ON tracking_experiments (deleted_us);

CREATE TABLE tracking_latest (
  run_id TEXT NOT NULL,
  metric TEXT NOT NULL,
  tenant TEXT NOT NULL,
  experiment BIGINT NOT NULL,
  metric_number DOUBLE PRECISION,
  at_ms BIGINT NOT NULL,
  step BIGINT NOT NULL,
  model_id TEXT NOT NULL,
  PRIMARY KEY (run_id, metric)
);
CREATE INDEX tracking_latest_by_number ON tracking_latest (tenant, experiment, metric, metric_number, run_id);
CREATE INDEX tracking_runs_by_start ON tracking_runs (tenant, experiment, started_ms DESC, id);
)sql";

// What was measured before the table was.
constexpr std::string_view kLatestSqlite = R"sql(
INSERT INTO tracking_latest (run_id, metric, tenant, experiment, metric_number, at_ms, step, model_id)
SELECT l.run_id, l.metric, r.tenant, r.experiment, CASE l.metric_value WHEN 'nan' THEN NULL
  WHEN '-nan' THEN NULL WHEN 'inf' THEN 9e999 WHEN '-inf' THEN -9e999 ELSE CAST(l.metric_value AS REAL) END,
  l.at_ms, l.step, l.model_id
FROM (SELECT p.*, ROW_NUMBER() OVER (PARTITION BY run_id, metric ORDER BY step DESC, at_ms DESC, seq DESC)
  AS place FROM tracking_points p) l JOIN tracking_runs r ON r.id = l.run_id WHERE l.place = 1;
)sql";
constexpr std::string_view kLatestPostgres = R"sql(
INSERT INTO tracking_latest (run_id, metric, tenant, experiment, metric_number, at_ms, step, model_id)
SELECT l.run_id, l.metric, r.tenant, r.experiment, CASE WHEN l.metric_value IN ('nan', '-nan') THEN NULL
  ELSE CAST(l.metric_value AS DOUBLE PRECISION) END, l.at_ms, l.step, l.model_id
FROM (SELECT p.*, ROW_NUMBER() OVER (PARTITION BY run_id, metric ORDER BY step DESC, at_ms DESC, seq DESC)
  AS place FROM tracking_points p) l JOIN tracking_runs r ON r.id = l.run_id WHERE l.place = 1;
)sql";

constexpr std::array<storage::Migration, 2> kMigrations = {
    {{.version = 1, .name = "tracking", .sql = kTables, .sqlite = "", .postgres = ""},
     {.version = 2,
      .name = "searches",
      .sql = kSearches,
      .sqlite = kLatestSqlite,
      .postgres = kLatestPostgres}}};

}  // namespace

std::span<const storage::Migration> TrackingMigrations() { return kMigrations; }

}  // namespace mezzo::lifecycle
