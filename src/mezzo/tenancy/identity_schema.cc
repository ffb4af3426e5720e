#include "mezzo/tenancy/identity_schema.h"

#include <array>

namespace mezzo::tenancy {
namespace {

// Times are microseconds of the wall clock. `tenancy_revision` has one row, which every change counts up: a
// host that sees another number than the one it has read reads everything again.
constexpr std::string_view kTables = R"sql(
CREATE TABLE tenants (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  weight DOUBLE PRECISION NOT NULL,
  classes TEXT NOT NULL,
  platform BIGINT NOT NULL,
  suspended BIGINT NOT NULL,
  created_us BIGINT NOT NULL
);

CREATE TABLE tenant_projects (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);

CREATE TABLE tenant_users (
  tenant TEXT NOT NULL,
  issuer TEXT NOT NULL,
  subject TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, issuer, subject)
);

CREATE TABLE api_keys (
  id TEXT NOT NULL PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  project TEXT NOT NULL,
  name TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  expires_us BIGINT,
  revoked_us BIGINT,
  last_used_us BIGINT
);
CREATE INDEX api_keys_of_tenant ON api_keys (tenant, id);

CREATE TABLE tenancy_revision (
  one BIGINT NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL
);
INSERT INTO tenancy_revision (one, revision) VALUES (1, 1);
)sql";

// Tenants from before may use the tier that everybody may.
constexpr std::string_view kLimits = R"sql(
ALTER TABLE tenants ADD COLUMN tiers TEXT NOT NULL DEFAULT 'free';

CREATE TABLE tenant_limits (
  name TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  project TEXT NOT NULL,
  api_key TEXT NOT NULL,
  model TEXT NOT NULL,
  per TEXT NOT NULL,
  kind TEXT NOT NULL,
  rate DOUBLE PRECISION NOT NULL,
  burst DOUBLE PRECISION NOT NULL,
  amount DOUBLE PRECISION NOT NULL,
  created_us BIGINT NOT NULL
);
)sql";

constexpr std::array<storage::Migration, 2> kMigrations = {
    {{.version = 1, .name = "identities", .sql = kTables, .sqlite = "", .postgres = ""},
     {.version = 2, .name = "limits", .sql = kLimits, .sqlite = "", .postgres = ""}}};

}  // namespace

std::span<const storage::Migration> IdentityMigrations() { return kMigrations; }

}  // namespace mezzo::tenancy
