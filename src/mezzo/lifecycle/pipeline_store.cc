#include "mezzo/lifecycle/pipeline_store.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/internal/pipeline_rows.h"

namespace mezzo::lifecycle {
namespace {

using internal::FromMicros;
using internal::MaybeMicros;
using internal::Micros;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlValue;
using Kind = PipelineDocument::Kind;

// Times are microseconds of the shared clock. `body` is what a pipeline's text comes to with its template. Of
// one pipeline one run is `queued` at most and one `active` (running or waiting); `open` runs are driven.
constexpr std::string_view kTables = R"sql(
CREATE TABLE pipelines (
  name TEXT NOT NULL PRIMARY KEY,
  kind BIGINT NOT NULL,
  description TEXT NOT NULL,
  model TEXT NOT NULL,
  tenant TEXT NOT NULL,
  template TEXT NOT NULL,
  revision BIGINT NOT NULL,
  text TEXT NOT NULL,
  body TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  updated_us BIGINT NOT NULL,
  updated_by TEXT NOT NULL
);
CREATE INDEX pipelines_of_template ON pipelines (template, name);
CREATE INDEX pipelines_of_model ON pipelines (model, name);

CREATE TABLE pipeline_revisions (
  name TEXT NOT NULL,
  revision BIGINT NOT NULL,
  at_us BIGINT NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (name, revision)
);

CREATE TABLE pipeline_triggers (
  pipeline TEXT NOT NULL,
  number BIGINT NOT NULL,
  kind TEXT NOT NULL,
  model TEXT NOT NULL,
  text TEXT NOT NULL,
  next_us BIGINT,
  PRIMARY KEY (pipeline, number)
);
CREATE INDEX pipeline_triggers_of ON pipeline_triggers (kind, model);
CREATE INDEX pipeline_triggers_next ON pipeline_triggers (next_us) WHERE next_us IS NOT NULL;

CREATE TABLE pipeline_runs (
  id TEXT NOT NULL PRIMARY KEY,
  pipeline TEXT NOT NULL,
  model TEXT NOT NULL,
  state TEXT NOT NULL,
  active BIGINT NOT NULL,
  open BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  text TEXT NOT NULL,
  body TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  updated_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX pipeline_runs_queued ON pipeline_runs (pipeline) WHERE state = 'queued';
CREATE UNIQUE INDEX pipeline_runs_active ON pipeline_runs (pipeline) WHERE active = 1;
CREATE INDEX pipeline_runs_open ON pipeline_runs (active, id) WHERE open = 1;
CREATE INDEX pipeline_runs_of_pipeline ON pipeline_runs (pipeline, id);
CREATE INDEX pipeline_runs_of_model ON pipeline_runs (model, id);

CREATE TABLE pipeline_run_events (
  run_id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  number BIGINT NOT NULL,
  at_us BIGINT NOT NULL,
  kind TEXT NOT NULL,
  stage TEXT NOT NULL,
  who TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (run_id, revision, number)
);

CREATE TABLE pipeline_events (
  kind TEXT NOT NULL,
  model TEXT NOT NULL,
  event_key TEXT NOT NULL,
  at_us BIGINT NOT NULL,
  PRIMARY KEY (kind, model, event_key)
);
CREATE INDEX pipeline_events_at ON pipeline_events (at_us);

CREATE TABLE pipeline_leader (
  one BIGINT NOT NULL PRIMARY KEY,
  holder TEXT NOT NULL,
  until_us BIGINT NOT NULL
);
INSERT INTO pipeline_leader (one, holder, until_us) VALUES (1, '', 0);
)sql";

// `dataset` is empty of triggers that watch none; `below` is the prefix. What is known of a watched folder
// (`state`, JSON) stays when a pipeline's text changes and still watches it. Of `pipeline_leader`, 2 looks at
// data.
constexpr std::string_view kData = R"sql(
ALTER TABLE pipeline_triggers ADD COLUMN dataset TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_triggers ADD COLUMN below TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_triggers ADD COLUMN settle_us BIGINT NOT NULL DEFAULT 0;
CREATE INDEX pipeline_triggers_data ON pipeline_triggers (pipeline, dataset, below) WHERE dataset <> '';

CREATE TABLE pipeline_watches (
  pipeline TEXT NOT NULL,
  dataset TEXT NOT NULL,
  below TEXT NOT NULL,
  revision BIGINT NOT NULL,
  state TEXT NOT NULL,
  error TEXT NOT NULL,
  updated_us BIGINT NOT NULL,
  PRIMARY KEY (pipeline, dataset, below)
);
INSERT INTO pipeline_leader (one, holder, until_us) VALUES (2, '', 0);
)sql";

constexpr std::array<storage::Migration, 2> kMigrations = {
    {{.version = 1, .name = "pipelines", .sql = kTables, .sqlite = "", .postgres = ""},
     {.version = 2, .name = "data", .sql = kData, .sqlite = "", .postgres = ""}}};

constexpr std::string_view kColumns =
    "name, kind, description, model, tenant, template, revision, text, body, created_us, created_by, "
    "updated_us, "
    "updated_by";

PipelineRecord RecordAt(const SqlRows& rows, std::size_t row) {
  return {.name = rows.Text(row, 0),
          .kind = static_cast<Kind>(rows.Int(row, 1)),
          .description = rows.Text(row, 2),
          .model = rows.Text(row, 3),
          .tenant = TenantId(rows.Text(row, 4)),
          .template_name = rows.Text(row, 5),
          .revision = rows.Int(row, 6),
          .text = rows.Text(row, 7),
          .body = rows.Text(row, 8),
          .created = FromMicros(rows.Int(row, 9)),
          .created_by = rows.Text(row, 10),
          .updated = FromMicros(rows.Int(row, 11)),
          .updated_by = rows.Text(row, 12)};
}

Error Missing(const std::string& name) {
  return NotFound("pipeline_missing", "there is no pipeline '" + Printable(name, 128) + "'");
}

std::int64_t Bounded(std::size_t limit) {
  return static_cast<std::int64_t>(std::clamp<std::size_t>(limit, 1, 1001));
}

}  // namespace

std::span<const storage::Migration> PipelineMigrations() { return kMigrations; }

std::int64_t PipelineStore::NowMicros() const { return Micros(ports_.clock.WallNow()); }

Result<void> PipelineStore::CheckWebhook(const TenantId& tenant, const PipelineSpec& spec) const {
  if (spec.webhook.empty()) return {};
  if (!ports_.outbox || !ports_.check_webhook)
    return FailedPrecondition("pipeline_webhook", "this server sends no webhooks for pipelines");
  const auto checked = ports_.check_webhook(tenant, spec.webhook);
  if (checked.ok()) return {};
  return FailedPrecondition("pipeline_webhook", "webhook: " + checked.error().message());
}

Result<PipelineStore::Expanded> PipelineStore::ExpandedOf(SqlSession& session,
                                                          const PipelineDocument& document,
                                                          const std::string& text,
                                                          const PipelineRules& rules) const {
  if (document.kind == Kind::kPipeline) return Expanded{.spec = *document.spec, .body = text};
  MEZZO_TRY(const SqlRows rows,
            session.Run("SELECT kind, text FROM pipelines WHERE name = $1", {document.template_name}));
  if (rows.empty() || static_cast<Kind>(rows.Int(0, 0)) != Kind::kTemplate) {
    return NotFound("pipeline_template_missing",
                    "there is no template '" + Printable(document.template_name, 128) + "'");
  }
  MEZZO_TRY(const PipelineDocument of, ParsePipeline(rows.Text(0, 1), rules));
  MEZZO_TRY(std::string body, Expand(of, document.values, document.template_name));
  MEZZO_TRY(PipelineSpec spec, ParseSpec(body, document.template_name, rules));
  return Expanded{.spec = std::move(spec), .body = std::move(body)};
}

Result<void> PipelineStore::Note(SqlSession& session, const std::string& name, std::int64_t revision,
                                 const std::string& kind, const std::string& text, const PutBy& by) const {
  MEZZO_TRY_VOID(
      session.Run("INSERT INTO pipeline_revisions (name, revision, at_us, who, why, kind, text) "
                  "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                  {name, revision, NowMicros(), by.who, by.why, kind, text}));
  return {};
}

/// Times of schedules that did not change go on.
Result<void> PipelineStore::WriteTriggers(SqlSession& session, const std::string& name,
                                          const PipelineSpec& spec) const {
  MEZZO_TRY(const SqlRows before,
            session.Run("SELECT kind, text, next_us FROM pipeline_triggers WHERE pipeline = $1", {name}));
  MEZZO_TRY_VOID(session.Run("DELETE FROM pipeline_triggers WHERE pipeline = $1", {name}));
  const WallTime now = ports_.clock.WallNow();
  std::int64_t number = 0;
  for (const TriggerSpec& trigger : spec.triggers) {
    SqlValue next;
    const std::string kind(TriggerKindName(trigger.kind));
    if (const auto time = trigger.Next(now, now)) next = Micros(*time);
    for (std::size_t row = 0; row < before.size(); ++row) {
      if (before.Text(row, 0) == kind && before.Text(row, 1) == trigger.text) next = before.At(row, 2);
    }
    MEZZO_TRY_VOID(
        session.Run("INSERT INTO pipeline_triggers (pipeline, number, kind, model, text, next_us, dataset, "
                    "below, settle_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    {name, number++, kind, spec.model, trigger.text, next, trigger.dataset, trigger.prefix,
                     Micros(trigger.settle)}));
  }
  MEZZO_TRY_VOID(session.Run(
      "DELETE FROM pipeline_watches WHERE pipeline = $1 AND NOT EXISTS (SELECT 1 FROM pipeline_triggers t "
      "WHERE t.pipeline = pipeline_watches.pipeline AND t.dataset = pipeline_watches.dataset AND "
      "t.below = pipeline_watches.below)",
      {name}));
  return {};
}

/// A pipeline of a template that has changed.
Result<void> PipelineStore::Rebuild(SqlSession& session, const std::string& name, const std::string& text,
                                    const PipelineRules& rules, const PutBy& by) const {
  MEZZO_TRY(const PipelineDocument document, ParsePipeline(text, rules));
  auto expanded = ExpandedOf(session, document, text, rules);
  if (!expanded.ok())
    return InvalidArgument("pipeline_template",
                           "pipeline '" + name + "' of this template: " + expanded.error().message());
  MEZZO_TRY(const SqlRows row,
            session.Run("UPDATE pipelines SET revision = revision + 1, body = $2, model = $3, "
                        "updated_us = $4, updated_by = $5 WHERE name = $1 RETURNING revision, tenant",
                        {name, expanded->body, expanded->spec.model, NowMicros(), by.who}));
  if (row.empty()) return Missing(name);
  MEZZO_TRY_VOID(CheckWebhook(TenantId(row.Text(0, 1)), expanded->spec));
  MEZZO_TRY_VOID(WriteTriggers(session, name, expanded->spec));
  return Note(session, name, row.Int(0, 0), "template", text, by);
}

Result<PipelineRecord> PipelineStore::Put(const std::string& name, const std::string& text,
                                          const PipelineRules& rules, const PutBy& by, TimePoint deadline) {
  if (!IsSafeName(name)) {
    return InvalidArgument("pipeline_name",
                           "'" + Printable(name, 128) +
                               "' is no pipeline's name: 1 to 128 letters, digits and '._-', not "
                               "beginning with '.'");
  }
  MEZZO_TRY(const PipelineDocument document, ParsePipeline(text, rules));
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(
        const SqlRows now,
        session.Run(
            "UPDATE pipelines SET updated_us = updated_us WHERE name = $1 RETURNING kind, revision, tenant",
            {name}));
    const std::int64_t current = now.empty() ? 0 : now.Int(0, 1);
    if (by.expected && *by.expected != current) {
      return FailedPrecondition("pipeline_revision", fmt::format("pipeline '{}' is at revision {}, not {}",
                                                                 name, current, *by.expected));
    }
    const bool was_template = !now.empty() && static_cast<Kind>(now.Int(0, 0)) == Kind::kTemplate;
    if (!now.empty() && was_template != (document.kind == Kind::kTemplate)) {
      return FailedPrecondition(
          "pipeline_kind", "'" + name + "' is a " + (was_template ? "template" : "pipeline") +
                               ": delete it first to make it a " + (was_template ? "pipeline" : "template"));
    }
    if (now.empty()) {
      MEZZO_TRY(const SqlRows count, session.Run("SELECT COUNT(*) FROM pipelines", {}));
      if (count.Int(0, 0) >= static_cast<std::int64_t>(options_.max_pipelines)) {
        return ResourceExhausted(
            "pipelines_full", fmt::format("there are {} pipelines already; the limit is {}", count.Int(0, 0),
                                          options_.max_pipelines));
      }
    }
    // One that was there before goes on counting.
    MEZZO_TRY(
        const SqlRows last,
        session.Run("SELECT COALESCE(MAX(revision), 0) FROM pipeline_revisions WHERE name = $1", {name}));
    const std::int64_t revision = last.Int(0, 0) + 1;
    const TenantId tenant = now.empty() ? by.tenant : TenantId(now.Text(0, 2));
    Expanded expanded;
    if (document.kind != Kind::kTemplate) {
      MEZZO_TRY(expanded, ExpandedOf(session, document, text, rules));
      MEZZO_TRY_VOID(CheckWebhook(tenant, expanded.spec));
    }
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO pipelines (name, kind, description, model, tenant, template, revision, text, body, "
        "created_us, "
        "created_by, updated_us, updated_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $10, $11) "
        "ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, description = excluded.description, "
        "model = excluded.model, template = excluded.template, revision = excluded.revision, text = "
        "excluded.text, "
        "body = excluded.body, updated_us = excluded.updated_us, updated_by = excluded.updated_by",
        {name, static_cast<std::int64_t>(document.kind), document.description, expanded.spec.model,
         tenant.str(), document.template_name, revision, text, expanded.body, NowMicros(), by.who}));
    MEZZO_TRY_VOID(Note(session, name, revision, "put", text, by));
    MEZZO_TRY_VOID(WriteTriggers(session, name, expanded.spec));
    MEZZO_TRY_VOID(session.Run("DELETE FROM pipeline_revisions WHERE name = $1 AND revision <= $2",
                               {name, revision - options_.kept_revisions}));
    if (was_template) {
      MEZZO_TRY(const SqlRows of,
                session.Run("SELECT name, text FROM pipelines WHERE template = $1 ORDER BY name LIMIT $2",
                            {name, static_cast<std::int64_t>(options_.max_of_template) + 1}));
      for (std::size_t row = 0; row < of.size(); ++row)
        MEZZO_TRY_VOID(Rebuild(session, of.Text(row, 0), of.Text(row, 1), rules, by));
    } else if (document.kind == Kind::kInstance) {
      MEZZO_TRY(const SqlRows of,
                session.Run("SELECT COUNT(*) FROM pipelines WHERE template = $1", {document.template_name}));
      if (of.Int(0, 0) > static_cast<std::int64_t>(options_.max_of_template)) {
        return ResourceExhausted(
            "pipelines_full",
            fmt::format("template '{}' has {} pipelines; the limit is {}", document.template_name,
                        of.Int(0, 0) - 1, options_.max_of_template));
      }
    }
    return session.Notify({.channel = kPipelinesChannel, .payload = ""});
  };
  MEZZO_TRY_VOID(ports_.db.Transact(work, deadline));
  return Get(name, deadline);
}

Result<void> PipelineStore::Complete(SqlSession& session, std::vector<PipelineRecord>& records) const {
  for (PipelineRecord& record : records) {
    MEZZO_TRY(
        const SqlRows triggers,
        session.Run("SELECT t.kind, t.text, t.next_us, t.dataset, t.below, w.state, w.error "
                    "FROM pipeline_triggers t LEFT JOIN pipeline_watches w ON w.pipeline = t.pipeline AND "
                    "w.dataset = t.dataset AND w.below = t.below AND t.dataset <> '' "
                    "WHERE t.pipeline = $1 ORDER BY t.number",
                    {record.name}));
    record.triggers.clear();
    for (std::size_t row = 0; row < triggers.size(); ++row) {
      record.triggers.push_back({.kind = triggers.Text(row, 0),
                                 .text = triggers.Text(row, 1),
                                 .next = MaybeMicros(triggers, row, 2)});
      if (triggers.Text(row, 3).empty()) continue;
      auto& watched = record.triggers.back().watched.emplace();
      watched.dataset = triggers.Text(row, 3);
      watched.prefix = triggers.Text(row, 4);
      if (triggers.IsNull(row, 5)) continue;
      MEZZO_TRY(watched.seen, DataWatch::FromJson(triggers.Text(row, 5)));
      watched.error = triggers.Text(row, 6);
    }
    MEZZO_TRY(
        const SqlRows latest,
        session.Run(
            "SELECT id, state, created_us FROM pipeline_runs WHERE pipeline = $1 ORDER BY id DESC LIMIT 1",
            {record.name}));
    if (!latest.empty()) {
      record.latest = {
          .id = latest.Text(0, 0), .state = latest.Text(0, 1), .created = FromMicros(latest.Int(0, 2))};
    }
  }
  return {};
}

Result<PipelineRecord> PipelineStore::Get(const std::string& name, TimePoint deadline) {
  std::vector<PipelineRecord> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    static const std::string sql = fmt::format("SELECT {} FROM pipelines WHERE name = $1", kColumns);
    MEZZO_TRY(const SqlRows rows, session.Run(sql, {name}));
    if (rows.empty()) return Missing(name);
    found = {RecordAt(rows, 0)};
    return Complete(session, found);
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  return std::move(found.front());
}

Result<std::vector<PipelineRecord>> PipelineStore::List(const ListQuery& query, TimePoint deadline) {
  std::vector<PipelineRecord> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    static const std::string sql = fmt::format(
        "SELECT {} FROM pipelines WHERE name > $1 AND ($2 = '' OR model = $2) AND ($3 = '' OR template = "
        "$3) ORDER BY name LIMIT $4",
        kColumns);
    MEZZO_TRY(const SqlRows rows,
              session.Run(sql, {query.after, query.model, query.template_name, Bounded(query.limit)}));
    found.clear();
    for (std::size_t row = 0; row < rows.size(); ++row) found.push_back(RecordAt(rows, row));
    return Complete(session, found);
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  return found;
}

Result<void> PipelineStore::Delete(const std::string& name, const std::string& who, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM pipelines WHERE name = $1 RETURNING text, kind", {name}));
    if (gone.empty()) return Missing(name);
    MEZZO_TRY(const SqlRows runs,
              session.Run("SELECT id FROM pipeline_runs WHERE pipeline = $1 AND open = 1 LIMIT 1", {name}));
    if (!runs.empty()) {
      return FailedPrecondition("pipeline_running", "run '" + runs.Text(0, 0) + "' of pipeline '" + name +
                                                        "' has not ended: cancel it first");
    }
    MEZZO_TRY(const SqlRows of,
              session.Run("SELECT name FROM pipelines WHERE template = $1 ORDER BY name LIMIT 1", {name}));
    if (!of.empty()) {
      return FailedPrecondition("pipeline_template_used",
                                "pipeline '" + of.Text(0, 0) + "' is made of the template '" + name + "'");
    }
    MEZZO_TRY_VOID(session.Run("DELETE FROM pipeline_triggers WHERE pipeline = $1", {name}));
    MEZZO_TRY_VOID(session.Run("DELETE FROM pipeline_watches WHERE pipeline = $1", {name}));
    MEZZO_TRY(
        const SqlRows last,
        session.Run("SELECT COALESCE(MAX(revision), 0) FROM pipeline_revisions WHERE name = $1", {name}));
    return Note(session, name, last.Int(0, 0) + 1, "deleted", gone.Text(0, 0), {.who = who});
  };
  return ports_.db.Transact(work, deadline);
}

Result<std::vector<PipelineRevision>> PipelineStore::History(const std::string& name, std::int64_t before,
                                                             std::size_t limit, TimePoint deadline) {
  std::vector<PipelineRevision> history;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows,
              session.Run(
                  "SELECT revision, at_us, who, why, kind, text FROM pipeline_revisions WHERE name = $1 AND "
                  "($2 = 0 OR revision < $2) ORDER BY revision DESC LIMIT $3",
                  {name, before, Bounded(limit)}));
    history.clear();
    for (std::size_t row = 0; row < rows.size(); ++row) {
      history.push_back({.revision = rows.Int(row, 0),
                         .at = FromMicros(rows.Int(row, 1)),
                         .who = rows.Text(row, 2),
                         .why = rows.Text(row, 3),
                         .kind = rows.Text(row, 4),
                         .text = rows.Text(row, 5)});
    }
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  if (history.empty() && before == 0) return Missing(name);
  return history;
}

Result<bool> PipelineStore::Lead(const std::string& holder, Duration lifetime, TimePoint deadline) {
  return TakeLease(1, holder, lifetime, deadline);
}

Result<bool> PipelineStore::LeadWatching(const std::string& holder, Duration lifetime, TimePoint deadline) {
  return TakeLease(2, holder, lifetime, deadline);
}

Result<bool> PipelineStore::TakeLease(std::int64_t which, const std::string& holder, Duration lifetime,
                                      TimePoint deadline) {
  bool leads = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const std::int64_t now = NowMicros();
    MEZZO_TRY(const SqlRows rows,
              session.Run(
                  "UPDATE pipeline_leader SET holder = $1, until_us = $3 WHERE one = $4 AND (holder = $1 OR "
                  "until_us <= $2)",
                  {holder, now, now + Micros(lifetime), which}));
    leads = rows.affected() > 0;
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Transact(work, deadline));
  return leads;
}

}  // namespace mezzo::lifecycle
