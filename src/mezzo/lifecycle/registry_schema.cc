#include "mezzo/lifecycle/registry_schema.h"

#include <array>

namespace mezzo::lifecycle {
namespace {

// Times are microseconds of the wall clock. Everything of a model hangs on its id, so that a new name is one
// row. `changes` is counted up first by every transaction that changes something of the model: its row's lock
// lets one at a time through. `registry_events` is only ever added to, and outlives what it is about.
constexpr std::string_view kTables = R"sql(
CREATE TABLE registry_models (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  description TEXT NOT NULL,
  revision BIGINT NOT NULL,
  changes BIGINT NOT NULL,
  next_version BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  updated_us BIGINT NOT NULL
);
CREATE INDEX registry_models_by_time ON registry_models (updated_us, name);

CREATE TABLE registry_model_tags (
  model_id TEXT NOT NULL,
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  PRIMARY KEY (model_id, tag_key)
);
CREATE INDEX registry_model_tags_by_key ON registry_model_tags (tag_key, model_id);

CREATE TABLE registry_versions (
  model_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  digest TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  files BIGINT NOT NULL,
  description TEXT NOT NULL,
  stage TEXT NOT NULL,
  data TEXT NOT NULL,
  code TEXT NOT NULL,
  metrics TEXT NOT NULL,
  parent BIGINT,
  run_id TEXT NOT NULL,
  source TEXT NOT NULL,
  revision BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  updated_us BIGINT NOT NULL,
  PRIMARY KEY (model_id, version)
);
CREATE INDEX registry_versions_by_state ON registry_versions (state, updated_us);
CREATE INDEX registry_versions_of_state ON registry_versions (model_id, state, version);
CREATE INDEX registry_versions_by_digest ON registry_versions (digest);
CREATE INDEX registry_versions_by_run ON registry_versions (run_id);
CREATE INDEX registry_versions_by_time ON registry_versions (updated_us, model_id, version);

CREATE TABLE registry_version_tags (
  model_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  tag_key TEXT NOT NULL,
  tag_value TEXT NOT NULL,
  PRIMARY KEY (model_id, version, tag_key)
);
CREATE INDEX registry_version_tags_by_key ON registry_version_tags (tag_key, model_id, version);

CREATE TABLE registry_files (
  model_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  PRIMARY KEY (model_id, version, path)
);
CREATE INDEX registry_files_by_content ON registry_files (sha256);

CREATE TABLE registry_aliases (
  model_id TEXT NOT NULL,
  alias TEXT NOT NULL,
  version BIGINT NOT NULL,
  updated_us BIGINT NOT NULL,
  updated_by TEXT NOT NULL,
  PRIMARY KEY (model_id, alias)
);
CREATE INDEX registry_aliases_of_version ON registry_aliases (model_id, version);
CREATE INDEX registry_aliases_by_name ON registry_aliases (alias, model_id);

CREATE TABLE registry_events (
  seq {identity},
  model_id TEXT NOT NULL,
  model TEXT NOT NULL,
  version BIGINT,
  kind TEXT NOT NULL,
  field TEXT NOT NULL,
  before_text TEXT NOT NULL,
  after_text TEXT NOT NULL,
  at_us BIGINT NOT NULL,
  who TEXT NOT NULL
);
CREATE INDEX registry_events_of_model ON registry_events (model_id, seq);
CREATE INDEX registry_events_of_kind ON registry_events (model_id, kind, at_us);
CREATE INDEX registry_events_by_name ON registry_events (model, seq);

CREATE TABLE registry_garbage (
  sha256 TEXT NOT NULL PRIMARY KEY,
  since_us BIGINT NOT NULL
);
CREATE INDEX registry_garbage_by_time ON registry_garbage (since_us);
)sql";

constexpr std::array<storage::Migration, 1> kMigrations = {
    {{.version = 1, .name = "registry", .sql = kTables, .sqlite = "", .postgres = ""}}};

// A row while a version is warned, draining or archiving. `version_traffic` has the name that a version is
// served under, and the last minute that any host has answered by it.
constexpr std::string_view kRetirement = R"sql(
CREATE TABLE version_retirements (
  model_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  stage TEXT NOT NULL,
  stage_us BIGINT NOT NULL,
  by_hand BIGINT NOT NULL,
  who TEXT NOT NULL,
  PRIMARY KEY (model_id, version)
);

CREATE TABLE version_traffic (
  model TEXT NOT NULL,
  version BIGINT NOT NULL,
  served_us BIGINT NOT NULL,
  PRIMARY KEY (model, version)
);
)sql";

constexpr std::array<storage::Migration, 1> kRetirementMigrations = {
    {{.version = 1, .name = "retirement", .sql = kRetirement, .sqlite = "", .postgres = ""}}};

}  // namespace

std::span<const storage::Migration> RegistryMigrations() { return kMigrations; }
std::span<const storage::Migration> RetirementMigrations() { return kRetirementMigrations; }

}  // namespace mezzo::lifecycle
