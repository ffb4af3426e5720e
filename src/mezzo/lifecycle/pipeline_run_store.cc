// The runs and triggers of PipelineStore.
#include <algorithm>
#include <set>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/lifecycle/internal/pipeline_rows.h"
#include "mezzo/lifecycle/pipeline_store.h"

namespace mezzo::lifecycle {
namespace {

using internal::FromMicros;
using internal::Micros;
using internal::RunAt;
using storage::SqlRows;
using storage::SqlSession;

constexpr int kTries = 5;
constexpr std::int64_t kPruned = 500;

std::int64_t IsActive(const PipelineRun& run) {
  return run.state == RunState::kRunning || run.state == RunState::kWaiting ? 1 : 0;
}
std::int64_t IsOpen(const PipelineRun& run) { return !IsEnded(run.state) || !run.stops.empty() ? 1 : 0; }

Error Conflict(const std::string& why) { return Error(Code::kAborted, "pipeline_conflict", why); }

std::string Iso8601(WallTime time) {
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(millis / 1000)),
                     millis % 1000);
}

std::string NoticeBody(const PipelineRun& run, const RunEvent& event) {
  nlohmann::ordered_json data = {{"run", run.id},      {"pipeline", run.pipeline},
                                 {"model", run.model}, {"state", RunStateName(run.state)},
                                 {"who", event.who},   {"text", event.text}};
  if (!event.stage.empty()) data["stage"] = event.stage;
  if (run.version) data["version"] = *run.version;
  if (!run.release.empty()) data["release"] = run.release;
  if (!run.reason.empty()) data["reason"] = run.reason;
  const nlohmann::ordered_json body = {
      {"type", "pipeline." + event.kind}, {"timestamp", Iso8601(event.at)}, {"data", std::move(data)}};
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Error BadEvent(const std::string& why) { return InvalidArgument("pipeline_event", why); }

Result<void> CheckEvent(const TriggerEvent& event) {
  constexpr std::size_t kMaxKey = 256;
  constexpr std::size_t kMaxDetail = 8192;
  if (event.kind != "data" && event.kind != "drift" && event.kind != "objective")
    return BadEvent("'kind' is '" + Printable(event.kind, 32) + "': it must be data, drift or objective");
  if (!IsSafeName(event.model))
    return BadEvent("'model' is '" + Printable(event.model, 64) + "': it must be a model's name");
  if (event.key.empty() || event.key.size() > kMaxKey)
    return BadEvent(fmt::format("'key' has {} bytes: it must have 1 to {}", event.key.size(), kMaxKey));
  if (event.detail.size() > kMaxDetail)
    return BadEvent(fmt::format("'detail' has {} bytes; the limit is {}", event.detail.size(), kMaxDetail));
  if (!event.detail.empty() &&
      !nlohmann::json::parse(event.detail, nullptr, /*allow_exceptions=*/false).is_object())
    return BadEvent("'detail' must be an object");
  return {};
}

}  // namespace

/// The history and the webhooks of a change.
Result<void> PipelineStore::Tell(SqlSession& session, const PipelineRun& run, std::int64_t revision,
                                 const std::vector<RunEvent>& events) const {
  std::int64_t number = 0;
  std::vector<PipelineNotice> notices;
  for (const RunEvent& event : events) {
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO pipeline_run_events (run_id, revision, number, at_us, kind, stage, who, text) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        {run.id, revision, number, Micros(event.at), event.kind, event.stage, event.who, event.text}));
    if (!run.spec->webhook.empty() && ports_.outbox) {
      notices.push_back({.id = fmt::format("evt_{}_{}_{}", run.id, revision, number),
                         .run = run.id,
                         .tenant = run.tenant,
                         .url = run.spec->webhook,
                         .type = "pipeline." + event.kind,
                         .body = NoticeBody(run, event)});
    }
    ++number;
  }
  if (!notices.empty()) MEZZO_TRY_VOID(ports_.outbox(session, notices));
  if (events.empty()) return {};
  return session.Notify({.channel = kPipelinesChannel, .payload = ""});
}

Result<void> PipelineStore::Insert(SqlSession& session, const RunTransition& begun) const {
  const PipelineRun& run = begun.run;
  MEZZO_TRY_VOID(
      session.Run("INSERT INTO pipeline_runs (id, pipeline, model, state, active, open, revision, text, "
                  "body, created_us, "
                  "updated_us) VALUES ($1, $2, $3, $4, 0, 1, 1, $5, $6, $7, $7)",
                  {run.id, run.pipeline, run.model, std::string(RunStateName(run.state)), run.text,
                   run.ToJson(), NowMicros()}));
  return Tell(session, run, 1, begun.events);
}

Result<std::int64_t> PipelineStore::SaveIn(SqlSession& session, const RunTransition& next) const {
  const PipelineRun& run = next.run;
  const std::int64_t revision = run.revision + 1;
  MEZZO_TRY(
      const SqlRows saved,
      session.Run("UPDATE pipeline_runs SET state = $1, active = $2, open = $3, revision = $4, body = $5, "
                  "updated_us = $6 WHERE id = $7 AND revision = $8",
                  {std::string(RunStateName(run.state)), IsActive(run), IsOpen(run), revision, run.ToJson(),
                   NowMicros(), run.id, run.revision}));
  if (saved.affected() == 0) return Conflict("somebody else has changed run '" + run.id + "'");
  MEZZO_TRY_VOID(Tell(session, run, revision, next.events));
  return revision;
}

Result<std::int64_t> PipelineStore::Save(const RunTransition& next, TimePoint deadline) {
  std::int64_t revision = 0;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(revision, SaveIn(session, next));
    return {};
  };
  const auto saved = ports_.db.Transact(work, deadline);
  if (saved.ok()) return revision;
  if (saved.error().reason() == "sql_unique") {
    return Conflict("another run of pipeline '" + next.run.pipeline + "' is under way or queued");
  }
  return saved.error();
}

Result<PipelineStore::Started> PipelineStore::StartIn(SqlSession& session, const std::string& name,
                                                      const RunTrigger& trigger) const {
  // Locks the pipeline, so that one run is queued at most.
  MEZZO_TRY(
      const SqlRows row,
      session.Run(
          "UPDATE pipelines SET updated_us = updated_us WHERE name = $1 RETURNING kind, revision, tenant, "
          "body",
          {name}));
  if (row.empty()) return NotFound("pipeline_missing", "there is no pipeline '" + Printable(name, 128) + "'");
  if (static_cast<PipelineDocument::Kind>(row.Int(0, 0)) == PipelineDocument::Kind::kTemplate) {
    return FailedPrecondition("pipeline_is_template",
                              "'" + name + "' is a template: run a pipeline that is made of it");
  }
  const WallTime now = ports_.clock.WallNow();
  MEZZO_TRY(
      const SqlRows queued,
      session.Run("SELECT body, revision, text FROM pipeline_runs WHERE pipeline = $1 AND state = 'queued'",
                  {name}));
  if (!queued.empty()) {
    MEZZO_TRY(const PipelineRun run, RunAt(queued, 0));
    Started started{.joined = true};
    RunTransition joined = JoinRun(run, trigger, now);
    MEZZO_TRY(const std::int64_t revision, SaveIn(session, joined));
    started.run = std::move(joined.run);
    started.run.revision = revision;
    return started;
  }
  MEZZO_TRY(PipelineSpec spec, ParseKeptSpec(row.Text(0, 3)));
  RunTransition begun = BeginRun({.id = NewUuidV7(now),
                                  .pipeline = name,
                                  .pipeline_revision = row.Int(0, 1),
                                  .tenant = TenantId(row.Text(0, 2)),
                                  .spec = std::make_shared<const PipelineSpec>(std::move(spec)),
                                  .text = row.Text(0, 3),
                                  .trigger = trigger},
                                 now);
  MEZZO_TRY_VOID(Insert(session, begun));
  begun.run.revision = 1;
  return Started{.run = std::move(begun.run), .joined = false};
}

Result<PipelineStore::Started> PipelineStore::Start(const std::string& name, const RunTrigger& trigger,
                                                    TimePoint deadline) {
  Started started;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(started, StartIn(session, name, trigger));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Transact(work, deadline));
  return started;
}

Result<PipelineRun> PipelineStore::Load(const std::string& id, TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows, session.Run("SELECT body, revision, text FROM pipeline_runs WHERE id = $1", {id}));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  if (rows.empty()) return NotFound("pipeline_run_missing", "there is no run '" + Printable(id, 64) + "'");
  return RunAt(rows, 0);
}

Result<PipelineRun> PipelineStore::Command(const std::string& id, const RunDecision& decision,
                                           TimePoint deadline) {
  for (int tried = 1;; ++tried) {
    MEZZO_TRY(const PipelineRun run, Load(id, deadline));
    MEZZO_TRY(RunTransition next, Obey(run, decision, ports_.clock.WallNow()));
    auto saved = Save(next, deadline);
    if (saved.ok()) {
      next.run.revision = *saved;
      return std::move(next.run);
    }
    if (saved.error().reason() != "pipeline_conflict") return std::move(saved).error();
    if (tried < kTries) continue;
    if (decision.command == RunCommand::kRetry) {
      return FailedPrecondition("pipeline_run_queued",
                                "another run of pipeline '" + run.pipeline + "' is queued already");
    }
    return std::move(saved).error();
  }
}

Result<PipelineStore::OpenRuns> PipelineStore::Open(std::size_t limit, TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(
        rows,
        session.Run(
            "SELECT body, revision, text, id FROM pipeline_runs WHERE open = 1 ORDER BY active DESC, id "
            "LIMIT $1",
            {static_cast<std::int64_t>(limit)}));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  OpenRuns open;
  open.runs.reserve(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    auto run = RunAt(rows, row);
    if (run.ok()) {
      open.runs.push_back(*std::move(run));
    } else {
      open.unreadable.push_back(InvalidArgument(
          "pipeline_run_invalid", "run '" + rows.Text(row, 3) + "' can't be read: " + run.error().message()));
    }
  }
  return open;
}

Result<std::vector<PipelineRun>> PipelineStore::Runs(const RunQuery& query, TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const std::string state = query.state ? std::string(RunStateName(*query.state)) : "";
    MEZZO_TRY(
        rows,
        session.Run(
            "SELECT body, revision, text FROM pipeline_runs WHERE ($1 = '' OR pipeline = $1) AND ($2 = '' OR "
            "model = $2) AND ($3 = '' OR state = $3) AND ($4 = '' OR id < $4) ORDER BY id DESC LIMIT $5",
            {query.pipeline, query.model, state, query.before,
             static_cast<std::int64_t>(std::clamp<std::size_t>(query.limit, 1, 1001))}));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  std::vector<PipelineRun> runs;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    MEZZO_TRY(PipelineRun run, RunAt(rows, row));
    runs.push_back(std::move(run));
  }
  return runs;
}

Result<std::vector<RunEvent>> PipelineStore::Events(const std::string& id, std::size_t limit,
                                                    TimePoint deadline) {
  SqlRows rows;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows,
              session.Run(
                  "SELECT at_us, kind, stage, who, text FROM pipeline_run_events WHERE run_id = $1 ORDER BY "
                  "revision DESC, number DESC LIMIT $2",
                  {id, static_cast<std::int64_t>(std::clamp<std::size_t>(limit, 1, 1000))}));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  std::vector<RunEvent> events;
  for (std::size_t row = rows.size(); row-- > 0;) {
    events.push_back({.at = FromMicros(rows.Int(row, 0)),
                      .kind = rows.Text(row, 1),
                      .stage = rows.Text(row, 2),
                      .who = rows.Text(row, 3),
                      .text = rows.Text(row, 4)});
  }
  return events;
}

Result<PipelineStore::Fired> PipelineStore::FireEvent(const TriggerEvent& event, const std::string& who,
                                                      TimePoint deadline) {
  MEZZO_TRY_VOID(CheckEvent(event));
  nlohmann::ordered_json detail =
      event.detail.empty() ? nlohmann::ordered_json::object() : nlohmann::ordered_json::parse(event.detail);
  if (event.version) detail["version"] = *event.version;
  const RunTrigger trigger{
      .kind = event.kind, .who = who, .at = event.at, .key = event.key, .detail = detail.dump()};
  Fired fired;
  const auto work = [&](SqlSession& session) -> Result<void> {
    fired = {};
    MEZZO_TRY(
        const SqlRows fresh,
        session.Run("INSERT INTO pipeline_events (kind, model, event_key, at_us) VALUES ($1, $2, $3, $4) "
                    "ON CONFLICT (kind, model, event_key) DO NOTHING",
                    {event.kind, event.model, event.key, NowMicros()}));
    fired.known = fresh.affected() == 0;
    if (fired.known) return {};
    MEZZO_TRY(
        const SqlRows rows,
        session.Run(
            "SELECT pipeline, text FROM pipeline_triggers WHERE kind = $1 AND model = $2 AND dataset = '' "
            "ORDER BY pipeline",
            {event.kind, event.model}));
    std::set<std::string> begun;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const std::string& pipeline = rows.Text(row, 0);
      if (begun.contains(pipeline) || !TriggerSpec{.key = rows.Text(row, 1)}.Takes(event.key)) continue;
      begun.insert(pipeline);
      MEZZO_TRY(const Started started, StartIn(session, pipeline, trigger));
      fired.runs.push_back(started.run.id);
    }
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Transact(work, deadline));
  return fired;
}

Result<void> PipelineStore::Fire(const TriggerEvent& event, TimePoint deadline) {
  MEZZO_TRY_VOID(FireEvent(event, "mezzo", deadline));
  return {};
}

Result<std::size_t> PipelineStore::FireDue(std::size_t limit, TimePoint deadline) {
  SqlRows due;
  const auto look = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(
        due,
        session.Run("SELECT pipeline, number, kind, text, next_us FROM pipeline_triggers WHERE next_us <= $1 "
                    "ORDER BY next_us LIMIT $2",
                    {NowMicros(), static_cast<std::int64_t>(limit)}));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(look, deadline));
  std::size_t fired = 0;
  for (std::size_t row = 0; row < due.size(); ++row) {
    const WallTime last = FromMicros(due.Int(row, 4));
    bool mine = false;
    const auto work = [&](SqlSession& session) -> Result<void> {
      mine = false;
      // The pipeline's row first, as everybody locks them.
      MEZZO_TRY(const SqlRows body,
                session.Run("UPDATE pipelines SET updated_us = updated_us WHERE name = $1 RETURNING body",
                            {due.Text(row, 0)}));
      if (body.empty()) return {};
      MEZZO_TRY(const PipelineSpec spec, ParseKeptSpec(body.Text(0, 0)));
      const auto number = static_cast<std::size_t>(due.Int(row, 1));
      if (number >= spec.triggers.size()) return {};  // Another text by now.
      const WallTime now = ports_.clock.WallNow();
      const auto next = spec.triggers[number].Next(last, now);
      if (!next) return {};
      MEZZO_TRY(const SqlRows moved,
                session.Run("UPDATE pipeline_triggers SET next_us = $4 WHERE pipeline = $1 AND number = $2 "
                            "AND next_us = $3",
                            {due.Text(row, 0), due.Int(row, 1), due.Int(row, 4), Micros(*next)}));
      if (moved.affected() == 0) return {};
      MEZZO_TRY_VOID(StartIn(
          session, due.Text(row, 0),
          {.kind = due.Text(row, 2), .who = "mezzo", .at = last, .key = due.Text(row, 3), .detail = "{}"}));
      mine = true;
      return {};
    };
    MEZZO_TRY_VOID(ports_.db.Transact(work, deadline));
    if (mine) ++fired;
  }
  return fired;
}

Result<std::int64_t> PipelineStore::Prune(TimePoint deadline) {
  std::int64_t deleted = 0;
  const auto work = [&](SqlSession& session) -> Result<void> {
    deleted = 0;
    MEZZO_TRY(const SqlRows events, session.Run("DELETE FROM pipeline_events WHERE (kind, model, event_key) "
                                                "IN (SELECT kind, model, event_key FROM "
                                                "pipeline_events WHERE at_us < $1 LIMIT $2)",
                                                {NowMicros() - Micros(options_.kept_events), kPruned}));
    MEZZO_TRY(
        const SqlRows old,
        session.Run(
            "SELECT id FROM (SELECT id, open, ROW_NUMBER() OVER (PARTITION BY pipeline ORDER BY id DESC) AS "
            "place FROM pipeline_runs) AS r WHERE place > $1 AND open = 0 LIMIT $2",
            {options_.kept_runs, kPruned}));
    deleted = events.affected();
    for (std::size_t row = 0; row < old.size(); ++row) {
      MEZZO_TRY_VOID(session.Run("DELETE FROM pipeline_run_events WHERE run_id = $1", {old.Text(row, 0)}));
      MEZZO_TRY_VOID(session.Run("DELETE FROM pipeline_runs WHERE id = $1", {old.Text(row, 0)}));
      ++deleted;
    }
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Transact(work, deadline));
  return deleted;
}

}  // namespace mezzo::lifecycle
