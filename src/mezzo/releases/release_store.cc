#include "mezzo/releases/release_store.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

namespace mezzo::releases {
namespace {

using storage::SqlBlob;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlStatement;
using storage::SqlValue;

constexpr std::int64_t kMaxOpen = 2000;

// Times are microseconds of the shared clock. `open` is 1 until the release has ended and its route is as it
// shall stay; of one model there is one such row.
constexpr std::string_view kTables = R"sql(
CREATE TABLE releases (
  id TEXT NOT NULL PRIMARY KEY,
  model TEXT NOT NULL,
  state TEXT NOT NULL,
  open BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  body TEXT NOT NULL,
  analysis TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  updated_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX releases_open ON releases (model) WHERE open = 1;
CREATE INDEX releases_of_model ON releases (model, id);

CREATE TABLE release_events (
  release_id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  number BIGINT NOT NULL,
  at_us BIGINT NOT NULL,
  kind TEXT NOT NULL,
  who TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (release_id, revision, number)
);

CREATE TABLE release_evidence (
  release_id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  at_us BIGINT NOT NULL,
  step BIGINT NOT NULL,
  verdict TEXT NOT NULL,
  PRIMARY KEY (release_id, revision)
);

CREATE TABLE release_outcomes (
  recorder TEXT NOT NULL PRIMARY KEY,
  series TEXT NOT NULL,
  arm TEXT NOT NULL,
  host TEXT NOT NULL,
  summary {blob} NOT NULL,
  updated_us BIGINT NOT NULL
);
CREATE INDEX release_outcomes_new ON release_outcomes (updated_us);

CREATE TABLE release_hosts (
  host TEXT NOT NULL PRIMARY KEY,
  seen_us BIGINT NOT NULL
);

CREATE TABLE release_readiness (
  release_id TEXT NOT NULL,
  host TEXT NOT NULL,
  state BIGINT NOT NULL,
  reason TEXT NOT NULL,
  broken BIGINT NOT NULL,
  broken_reason TEXT NOT NULL,
  PRIMARY KEY (release_id, host)
);

CREATE TABLE release_leader (
  one BIGINT NOT NULL PRIMARY KEY,
  holder TEXT NOT NULL,
  fence BIGINT NOT NULL,
  until_us BIGINT NOT NULL
);
INSERT INTO release_leader (one, holder, fence, until_us) VALUES (1, '', 0, 0);
)sql";

constexpr std::string_view kFeedback = R"sql(
CREATE TABLE release_feedback (
  release_id TEXT NOT NULL,
  request_id TEXT NOT NULL,
  metric TEXT NOT NULL,
  arm TEXT NOT NULL,
  tenant TEXT NOT NULL,
  at_us BIGINT NOT NULL,
  value DOUBLE PRECISION NOT NULL,
  label TEXT NOT NULL,
  correction TEXT NOT NULL,
  PRIMARY KEY (release_id, request_id, metric)
);
)sql";

// How many feedbacks a release has, counted up with each; and evidence of which every row stays.
constexpr std::string_view kBounds = R"sql(
CREATE TABLE release_feedback_counts (
  release_id TEXT NOT NULL PRIMARY KEY,
  count BIGINT NOT NULL
);
INSERT INTO release_feedback_counts (release_id, count)
  SELECT release_id, COUNT(*) FROM release_feedback GROUP BY release_id;
ALTER TABLE release_evidence ADD COLUMN turning BIGINT NOT NULL DEFAULT 1;
CREATE INDEX release_evidence_looks ON release_evidence (at_us) WHERE turning = 0;
)sql";

constexpr std::array<storage::Migration, 3> kMigrations = {
    {{.version = 1, .name = "releases", .sql = kTables, .sqlite = "", .postgres = ""},
     {.version = 2, .name = "feedback", .sql = kFeedback, .sqlite = "", .postgres = ""},
     {.version = 3, .name = "bounds", .sql = kBounds, .sqlite = "", .postgres = ""}}};

/// Of looks that changed nothing: behind `age` one of each `period` stays.
struct Thinning {
  Duration age;
  Duration period;
};
constexpr std::array<Thinning, 2> kThinnings = {
    {{.age = std::chrono::hours(1), .period = std::chrono::minutes(10)},
     {.age = std::chrono::hours(24), .period = std::chrono::hours(6)}}};

std::int64_t Micros(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}
std::int64_t Micros(Duration time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}
WallTime FromMicros(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }

std::int64_t IsOpen(const Release& release) {
  return !IsEnded(release.state) || release.route_pending ? 1 : 0;
}

void AddEvents(std::vector<SqlStatement>& statements, const std::string& id, std::int64_t revision,
               const std::vector<ReleaseEvent>& events) {
  std::int64_t number = 0;
  for (const ReleaseEvent& event : events) {
    statements.push_back(
        {.sql = "INSERT INTO release_events (release_id, revision, number, at_us, kind, who, text) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
         .params = {id, revision, number++, Micros(event.at), event.kind, event.who, event.text}});
  }
}

Result<Release> ReadRelease(const SqlRows& rows, std::size_t row) {
  MEZZO_TRY(Release release, Release::FromJson(rows.Text(row, 0)));
  release.revision = rows.Int(row, 1);
  return release;
}

Result<std::vector<Release>> ReadReleases(const SqlRows& rows) {
  std::vector<Release> releases;
  releases.reserve(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    MEZZO_TRY(Release release, ReadRelease(rows, row));
    releases.push_back(std::move(release));
  }
  return releases;
}

std::int64_t Bounded(std::size_t limit) {
  return static_cast<std::int64_t>(std::clamp<std::size_t>(limit, 1, 1000));
}

}  // namespace

std::span<const storage::Migration> ReleaseMigrations() { return kMigrations; }

std::int64_t ReleaseStore::NowMicros() const { return Micros(clock_.WallNow()); }

Result<void> ReleaseStore::Create(const Transition& begun, TimePoint deadline) {
  const Release& release = begun.release;
  const std::string body = release.ToJson();
  std::vector<SqlStatement> events;
  AddEvents(events, release.id, 1, begun.events);
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows taken,
              session.Run("SELECT id FROM releases WHERE model = $1 AND open = 1", {release.spec.model}));
    if (!taken.empty()) {
      return AlreadyExists("release_exists",
                           fmt::format("model '{}' has a release already that has not ended: '{}'",
                                       release.spec.model, taken.Text(0, 0)));
    }
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO releases (id, model, state, open, revision, body, analysis, created_us, updated_us) "
        "VALUES ($1, $2, $3, 1, 1, $4, '', $5, $5)",
        {release.id, release.spec.model, std::string(StateName(release.state)), body, NowMicros()}));
    MEZZO_TRY_VOID(session.RunAll(events));
    return session.Notify({.channel = kReleasesChannel, .payload = ""});
  };
  auto created = db_.Transact(work, deadline);
  if (!created.ok() && created.error().reason() == "sql_unique") {  // Somebody else was faster.
    return AlreadyExists("release_exists", fmt::format("model '{}' has a release already that has not ended",
                                                       release.spec.model));
  }
  return created;
}

Result<KeptRelease> ReleaseStore::Load(const std::string& id, TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows, session.Run("SELECT body, revision, analysis FROM releases WHERE id = $1", {id}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  if (rows.empty()) return NotFound("release_missing", fmt::format("there is no release '{}'", id));
  KeptRelease kept;
  MEZZO_TRY(kept.release, ReadRelease(rows, 0));
  kept.analysis = rows.Text(0, 2);
  return kept;
}

Result<std::int64_t> ReleaseStore::RevisionOf(const std::string& id, TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows, session.Run("SELECT revision FROM releases WHERE id = $1", {id}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  if (rows.empty()) return NotFound("release_missing", fmt::format("there is no release '{}'", id));
  return rows.Int(0, 0);
}

Result<std::int64_t> ReleaseStore::Save(const Change& change, TimePoint deadline) {
  const Release& release = *change.release;
  const std::string body = release.ToJson();
  const std::int64_t next = release.revision + 1;
  std::vector<SqlStatement> statements;
  if (change.fence != 0) {
    // Locks the row, where the database runs transactions side by side: the next leader comes after this.
    statements.push_back(
        {.sql = "UPDATE release_leader SET fence = fence WHERE one = 1 AND fence = $1 AND until_us > $2",
         .params = {change.fence, NowMicros()}});
  }
  statements.push_back(
      {.sql = "UPDATE releases SET state = $1, open = $2, revision = $3, body = $4, updated_us = $5 "
              "WHERE id = $6 AND revision = $7",
       .params = {std::string(StateName(release.state)), IsOpen(release), next, body, NowMicros(), release.id,
                  release.revision}});
  const std::size_t guards = statements.size();
  if (change.analysis != nullptr) {
    statements.push_back(
        {.sql = "UPDATE releases SET analysis = $1 WHERE id = $2", .params = {*change.analysis, release.id}});
  }
  AddEvents(statements, release.id, next, change.events);
  if (change.evidence) {
    statements.push_back(
        {.sql = "INSERT INTO release_evidence (release_id, revision, at_us, step, verdict, turning) "
                "VALUES ($1, $2, $3, $4, $5, $6)",
         .params = {release.id, next, Micros(change.evidence->at),
                    static_cast<std::int64_t>(change.evidence->step), change.evidence->verdict,
                    static_cast<std::int64_t>(change.evidence->turning ? 1 : 0)}});
  }
  const Error changed(Code::kAborted, "release_conflict",
                      fmt::format("somebody else has changed release '{}'", release.id));
  const auto work = [&](SqlSession& session) -> Result<void> {
    // A round trip: hundreds of releases are saved each second.
    MEZZO_TRY(const std::vector<SqlRows> all, session.RunAll(statements));
    if (all[guards - 1].affected() == 0) return changed;
    if (change.fence != 0 && all[0].affected() == 0) {
      return Error(Code::kAborted, "release_conflict", "another host leads the releases by now");
    }
    if (change.events.empty()) return {};
    return session.Notify({.channel = kReleasesChannel, .payload = ""});
  };
  auto saved = db_.Transact(work, deadline);
  // Who saved the same revision has written its history, too.
  if (!saved.ok() && saved.error().reason() == "sql_unique") return changed;
  MEZZO_TRY_VOID(saved);
  return next;
}

Result<std::vector<Release>> ReleaseStore::Open(TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows, session.Run("SELECT body, revision FROM releases WHERE open = 1 ORDER BY id LIMIT $1",
                                {kMaxOpen}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return ReadReleases(rows);
}

Result<std::int64_t> ReleaseStore::Lead(const std::string& holder, Duration lifetime, TimePoint deadline) {
  std::int64_t fence = 0;
  const auto work = [&](SqlSession& session) -> Result<void> {
    fence = 0;
    const std::int64_t now = NowMicros();
    // A leader that was late begins anew: others may have led in between.
    MEZZO_TRY(const SqlRows rows,
              session.Run("UPDATE release_leader SET "
                          "fence = CASE WHEN holder = $1 AND until_us > $2 THEN fence ELSE fence + 1 END, "
                          "holder = $1, until_us = $3 WHERE one = 1 AND (holder = $1 OR until_us <= $2) "
                          "RETURNING fence",
                          {holder, now, now + Micros(lifetime)}));
    if (!rows.empty()) fence = rows.Int(0, 0);
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return fence;
}

Result<void> ReleaseStore::Report(const std::string& host, const std::vector<OutcomeRow>& outcomes,
                                  const std::vector<ReadinessRow>& readiness, TimePoint deadline) {
  const std::int64_t now = NowMicros();
  std::vector<SqlStatement> statements;
  statements.reserve(1 + outcomes.size() + readiness.size());
  statements.push_back({.sql = "INSERT INTO release_hosts (host, seen_us) VALUES ($1, $2) "
                               "ON CONFLICT (host) DO UPDATE SET seen_us = excluded.seen_us",
                        .params = {host, now}});
  for (const OutcomeRow& row : outcomes) {
    statements.push_back(
        {.sql = "INSERT INTO release_outcomes (recorder, series, arm, host, summary, updated_us) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (recorder) DO UPDATE "
                "SET summary = excluded.summary, updated_us = excluded.updated_us",
         .params = {row.recorder, row.series, row.arm, host, SqlBlob{row.summary.Serialise()}, now}});
  }
  for (const ReadinessRow& row : readiness) {
    statements.push_back(
        {.sql = "INSERT INTO release_readiness (release_id, host, state, reason, broken, broken_reason) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (release_id, host) DO UPDATE SET "
                "state = excluded.state, reason = excluded.reason, broken = excluded.broken, "
                "broken_reason = excluded.broken_reason",
         .params = {row.release, host, static_cast<std::int64_t>(row.readiness.state), row.readiness.reason,
                    static_cast<std::int64_t>(row.readiness.broken ? 1 : 0), row.readiness.broken_reason}});
  }
  MEZZO_TRY_VOID(db_.TransactAll(statements, {}, deadline));
  return {};
}

Result<ReleaseRows::Outcomes> ReleaseStore::ReadOutcomes(std::int64_t since_us, TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows, session.Run("SELECT recorder, series, arm, summary, updated_us FROM release_outcomes "
                                "WHERE updated_us >= $1 ORDER BY updated_us",
                                {since_us}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  Outcomes outcomes{.rows = {}, .latest_us = since_us};
  outcomes.rows.reserve(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    MEZZO_TRY(OutcomeSummary summary, OutcomeSummary::Parse(rows.Blob(row, 3)));
    outcomes.rows.push_back({.recorder = rows.Text(row, 0),
                             .series = rows.Text(row, 1),
                             .arm = rows.Text(row, 2),
                             .summary = std::move(summary)});
    outcomes.latest_us = rows.Int(row, 4);
  }
  return outcomes;
}

Result<ReleaseRows::Fleet> ReleaseStore::ReadFleet(Duration alive, TimePoint deadline) {
  Fleet fleet;
  const std::int64_t since = NowMicros() - Micros(alive);
  const auto work = [&](SqlSession& session) -> Result<void> {
    fleet = {};
    MEZZO_TRY(const SqlRows hosts,
              session.Run("SELECT host FROM release_hosts WHERE seen_us >= $1 ORDER BY host", {since}));
    for (std::size_t row = 0; row < hosts.size(); ++row) fleet.hosts.push_back(hosts.Text(row, 0));
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT r.release_id, r.host, r.state, r.reason, r.broken, r.broken_reason "
                          "FROM release_readiness r JOIN release_hosts h ON h.host = r.host "
                          "JOIN releases l ON l.id = r.release_id WHERE h.seen_us >= $1 AND l.open = 1",
                          {since}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      fleet.readiness.push_back({.release = rows.Text(row, 0),
                                 .host = rows.Text(row, 1),
                                 .readiness = {.state = static_cast<HostVersions::State>(rows.Int(row, 2)),
                                               .reason = rows.Text(row, 3),
                                               .broken = rows.Int(row, 4) != 0,
                                               .broken_reason = rows.Text(row, 5)}});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return fleet;
}

Result<std::vector<Release>> ReleaseStore::List(const std::string& model, const std::string& before,
                                                std::size_t limit, TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const std::string_view all =
        "SELECT body, revision FROM releases WHERE ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $1";
    const std::string_view of_model =
        "SELECT body, revision FROM releases WHERE ($2 = '' OR id < $2) AND model = $3 ORDER BY id DESC "
        "LIMIT $1";
    std::vector<SqlValue> params = {Bounded(limit), before};
    if (!model.empty()) params.emplace_back(model);
    MEZZO_TRY(rows, session.Run(model.empty() ? all : of_model, std::move(params)));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return ReadReleases(rows);
}

Result<std::vector<ReleaseEvent>> ReleaseStore::Events(const std::string& id, std::size_t limit,
                                                       TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows, session.Run("SELECT at_us, kind, who, text FROM release_events WHERE release_id = $1 "
                                "ORDER BY revision DESC, number DESC LIMIT $2",
                                {id, Bounded(limit)}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  std::vector<ReleaseEvent> events;
  for (std::size_t row = rows.size(); row-- > 0;) {
    events.push_back({.at = FromMicros(rows.Int(row, 0)),
                      .kind = rows.Text(row, 1),
                      .who = rows.Text(row, 2),
                      .text = rows.Text(row, 3)});
  }
  return events;
}

Result<std::vector<EvidenceRow>> ReleaseStore::Evidence(const std::string& id, std::size_t limit,
                                                        TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows,
              session.Run("SELECT at_us, step, verdict, turning FROM release_evidence WHERE release_id = $1 "
                          "ORDER BY revision DESC LIMIT $2",
                          {id, Bounded(limit)}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  std::vector<EvidenceRow> evidence;
  for (std::size_t row = rows.size(); row-- > 0;) {
    evidence.push_back({.at = FromMicros(rows.Int(row, 0)),
                        .step = static_cast<std::size_t>(rows.Int(row, 1)),
                        .verdict = rows.Text(row, 2),
                        .turning = rows.Int(row, 3) != 0});
  }
  return evidence;
}

Result<std::optional<Release>> ReadOpenRelease(SqlSession& session, const std::string& model) {
  MEZZO_TRY(const SqlRows rows,
            session.Run("SELECT body, revision FROM releases WHERE model = $1 AND open = 1", {model}));
  if (rows.empty()) return std::optional<Release>();
  MEZZO_TRY(Release release, ReadRelease(rows, 0));
  return std::optional<Release>(std::move(release));
}

Result<Release> ReleaseStore::OpenOf(const std::string& model, TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows,
              session.Run("SELECT body, revision FROM releases WHERE model = $1 AND open = 1", {model}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  if (rows.empty()) {
    return NotFound("release_missing", fmt::format("model '{}' has no release that has not ended", model));
  }
  return ReadRelease(rows, 0);
}

Result<bool> ReleaseStore::AddFeedback(const FeedbackRow& feedback, TimePoint deadline) {
  bool added = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("INSERT INTO release_feedback (release_id, request_id, metric, arm, tenant, at_us, "
                    "value, label, correction) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
                    "ON CONFLICT (release_id, request_id, metric) DO NOTHING",
                    {feedback.release, feedback.request_id, feedback.metric, feedback.arm, feedback.tenant,
                     NowMicros(), feedback.value, feedback.label, feedback.correction}));
    added = rows.affected() > 0;
    if (!added) return {};
    MEZZO_TRY(const SqlRows counted,
              session.Run("INSERT INTO release_feedback_counts (release_id, count) VALUES ($1, 1) "
                          "ON CONFLICT (release_id) DO UPDATE SET count = release_feedback_counts.count + 1 "
                          "WHERE release_feedback_counts.count < $2",
                          {feedback.release, options_.max_feedback}));
    if (counted.affected() > 0) return {};
    return ResourceExhausted("feedback_full", fmt::format("release '{}' has {} feedbacks, as many as it may",
                                                          feedback.release, options_.max_feedback));
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return added;
}

Result<std::vector<FeedbackRow>> ReleaseStore::ListFeedback(const std::string& release,
                                                            const std::string& after, std::size_t limit,
                                                            TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows, session.Run("SELECT request_id, metric, arm, tenant, value, label, correction FROM "
                                "release_feedback WHERE release_id = $1 AND request_id > $2 "
                                "ORDER BY request_id, metric LIMIT $3",
                                {release, after, Bounded(limit)}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  std::vector<FeedbackRow> all;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    all.push_back({.release = release,
                   .request_id = rows.Text(row, 0),
                   .metric = rows.Text(row, 1),
                   .arm = rows.Text(row, 2),
                   .tenant = rows.Text(row, 3),
                   .value = rows.Real(row, 4),
                   .label = rows.Text(row, 5),
                   .correction = rows.Text(row, 6)});
  }
  return all;
}

Result<std::int64_t> ReleaseStore::Prune(Duration older, TimePoint deadline) {
  const std::int64_t before = NowMicros() - Micros(older);
  std::int64_t deleted = 0;
  const auto work = [&](SqlSession& session) -> Result<void> {
    deleted = 0;
    const std::array<SqlStatement, 3> statements = {
        {{.sql = "DELETE FROM release_outcomes WHERE recorder IN (SELECT recorder FROM release_outcomes o "
                 "WHERE o.updated_us < $1 AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.id = o.series AND "
                 "r.open = 1) LIMIT 500)",
          .params = {before}},
         {.sql =
              "DELETE FROM release_readiness WHERE release_id IN (SELECT id FROM releases WHERE open = 0 AND "
              "updated_us < $1 AND EXISTS (SELECT 1 FROM release_readiness y WHERE y.release_id = id) LIMIT "
              "100)",
          .params = {before}},
         {.sql = "DELETE FROM release_hosts WHERE seen_us < $1", .params = {before}}}};
    MEZZO_TRY(const std::vector<SqlRows> results, session.RunAll(statements));
    for (const SqlRows& rows : results) deleted += rows.affected();
    for (const Thinning& rule : kThinnings) {
      MEZZO_TRY(
          const SqlRows rows,
          session.Run("DELETE FROM release_evidence WHERE (release_id, revision) IN (SELECT release_id, "
                      "revision FROM (SELECT release_id, revision, ROW_NUMBER() OVER (PARTITION BY "
                      "release_id, at_us / $2 ORDER BY revision) AS place FROM release_evidence WHERE "
                      "turning = 0 AND at_us < $1) looks WHERE place > 1 LIMIT 5000)",
                      {NowMicros() - Micros(rule.age), Micros(rule.period)}));
      deleted += rows.affected();
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return deleted;
}

}  // namespace mezzo::releases
