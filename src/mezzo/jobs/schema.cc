#include "mezzo/jobs/schema.h"

#include <array>

namespace mezzo::jobs {
namespace {

// Times are microseconds of the wall clock. What is claimed lies in a partial index of its own, so that a
// million finished jobs cost the queue nothing.
//
// On PostgreSQL `jobs` is partitioned by its id: a UUIDv7 begins with the time, so a month is a range of ids,
// a month that has passed is dropped whole, and the id alone stays the primary key.
constexpr std::string_view kTables = R"sql(
CREATE TABLE jobs (
  id TEXT NOT NULL PRIMARY KEY,
  tenant TEXT NOT NULL,
  kind TEXT NOT NULL,
  model TEXT NOT NULL,
  tier BIGINT NOT NULL,
  lane BIGINT NOT NULL,
  start_tag DOUBLE PRECISION NOT NULL,
  cost DOUBLE PRECISION NOT NULL,
  weight DOUBLE PRECISION NOT NULL,
  state TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  queued_us BIGINT NOT NULL,
  run_after_us BIGINT,
  deadline_us BIGINT,
  started_us BIGINT,
  finished_us BIGINT,
  attempt BIGINT NOT NULL,
  errors BIGINT NOT NULL,
  crashes BIGINT NOT NULL,
  host TEXT,
  lease_until_us BIGINT,
  cancel_requested_us BIGINT,
  progress DOUBLE PRECISION NOT NULL,
  stage TEXT NOT NULL,
  request TEXT NOT NULL,
  checkpoint TEXT NOT NULL,
  result TEXT NOT NULL,
  error_reason TEXT,
  error_message TEXT,
  webhook_url TEXT,
  webhook_secret TEXT,
  version BIGINT NOT NULL
){by_range_of_id};
CREATE INDEX jobs_queued ON jobs (lane, start_tag, id) WHERE state = 'queued';
CREATE INDEX jobs_scheduled ON jobs (run_after_us) WHERE state = 'scheduled';
CREATE INDEX jobs_running ON jobs (lease_until_us) WHERE state = 'running';
CREATE INDEX jobs_waiting_since ON jobs (queued_us) WHERE state = 'queued';
CREATE INDEX jobs_deadline ON jobs (deadline_us) WHERE deadline_us IS NOT NULL AND state IN ('queued', 'scheduled');
CREATE INDEX jobs_of_tenant ON jobs (tenant, id);

CREATE TABLE job_lanes (
  lane BIGINT NOT NULL,
  tenant TEXT NOT NULL,
  tag DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (lane, tenant)
);

CREATE TABLE job_idempotency (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  job_id TEXT NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, key)
);
CREATE INDEX job_idempotency_expiry ON job_idempotency (expires_us);

CREATE TABLE job_usage (
  job_id TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  tenant TEXT NOT NULL,
  kind TEXT NOT NULL,
  model TEXT NOT NULL,
  device_us BIGINT NOT NULL,
  ended_us BIGINT NOT NULL,
  PRIMARY KEY (job_id, attempt)
);

CREATE TABLE job_outbox (
  id TEXT NOT NULL PRIMARY KEY,
  job_id TEXT NOT NULL,
  tenant TEXT NOT NULL,
  event TEXT NOT NULL,
  body TEXT NOT NULL,
  url TEXT NOT NULL,
  secret TEXT NOT NULL,
  state TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  due_us BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  host TEXT,
  last_answer TEXT NOT NULL
);
CREATE INDEX job_outbox_due ON job_outbox (due_us) WHERE state = 'pending';
CREATE INDEX job_outbox_of_job ON job_outbox (job_id);
)sql";

// `first_try` is the number of tries before the newest replay, so that `tries` only ever grows and fences.
// `endpoint` is EndpointKey(): a claim goes from endpoint to endpoint by its index, so that what one of them
// has waiting costs the others nothing. URLs are at most kMaxWebhookUrlBytes long where they become a key.
constexpr std::string_view kWebhooks = R"sql(
ALTER TABLE job_outbox ADD COLUMN first_try BIGINT NOT NULL DEFAULT 0;
ALTER TABLE job_outbox ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';
CREATE INDEX job_outbox_endpoint ON job_outbox (endpoint, due_us) WHERE state = 'pending';
CREATE INDEX job_outbox_of_tenant ON job_outbox (tenant, id);
CREATE INDEX job_outbox_ended ON job_outbox (created_us) WHERE state <> 'pending';

CREATE TABLE job_webhook_gone (
  tenant TEXT NOT NULL,
  url TEXT NOT NULL,
  since_us BIGINT NOT NULL,
  PRIMARY KEY (tenant, url)
);
CREATE INDEX job_webhook_gone_since ON job_webhook_gone (since_us);
)sql";

// Whom a job is charged to, below its tenant; null: nobody, and in rows from before.
constexpr std::string_view kOwners = R"sql(
ALTER TABLE jobs ADD COLUMN project TEXT;
ALTER TABLE jobs ADD COLUMN key_id TEXT;
)sql";

constexpr std::array<storage::Migration, 3> kMigrations = {
    {{.version = 1,
      .name = "queue",
      .sql = kTables,
      .sqlite = "",
      .postgres = "CREATE TABLE jobs_default PARTITION OF jobs DEFAULT;\n"},
     {.version = 2, .name = "webhooks", .sql = kWebhooks, .sqlite = "", .postgres = ""},
     {.version = 3, .name = "owners", .sql = kOwners, .sqlite = "", .postgres = ""}}};

}  // namespace

std::span<const storage::Migration> Migrations() { return kMigrations; }

}  // namespace mezzo::jobs
