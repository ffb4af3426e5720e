#include <algorithm>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/lifecycle/internal/registry_rows.h"
#include "mezzo/lifecycle/registry_store.h"

namespace mezzo::lifecycle {
namespace {

using internal::FromMicros;
using internal::ToMicros;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlStatement;

/// What VersionsAt() and TagOfModels() read at most.
constexpr std::int64_t kMostRows = 100'000;

struct Standing {
  RetireStage stage = RetireStage::kServing;
  bool by_hand = false;
};

Result<Standing> StandingOf(SqlSession& session, const std::string& id, std::int64_t version) {
  MEZZO_TRY(const SqlRows rows,
            session.Run("SELECT stage, by_hand FROM version_retirements WHERE model_id = $1 AND version = $2",
                        {id, version}));
  if (rows.empty()) return Standing();
  return Standing{.stage = ParseRetireStage(rows.Text(0, 0)).value_or(RetireStage::kServing),
                  .by_hand = rows.Int(0, 1) != 0};
}

Error InUse(const std::string& alias, const std::string& model, std::int64_t version) {
  return FailedPrecondition("version_in_use", "alias '" + alias + "' points at version " +
                                                  std::to_string(version) + " of model '" + model + "'");
}

}  // namespace

Result<void> RegistryStore::TellRetirement(SqlSession& session, const Locked& model, std::int64_t version,
                                           const std::string& what, RetireStage from,
                                           const std::string& reason, const std::string& by) const {
  if (!outbox_) return {};
  const nlohmann::ordered_json data = {{"from", RetireStageName(from)}, {"reason", reason}, {"who", by}};
  return outbox_(session,
                 {.type = "version.retirement." + what,
                  .model = model.name,
                  .version = version,
                  .data = data.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace),
                  .at = clock_.WallNow()});
}

Result<void> RegistryStore::NoteTraffic(const std::vector<std::pair<std::string, std::int64_t>>& versions,
                                        TimePoint deadline) {
  std::vector<SqlStatement> statements;
  statements.reserve(versions.size());
  const std::int64_t now = NowMicros();
  for (const auto& [model, version] : versions) {
    // Of registered versions alone: what folders serve is nobody's to retire.
    statements.push_back(
        {.sql = "INSERT INTO version_traffic (model, version, served_us) "
                "SELECT m.name, v.version, CAST($3 AS BIGINT) FROM registry_versions v "
                "JOIN registry_models m ON m.id = v.model_id WHERE m.name = $1 AND v.version = $2 "
                "ON CONFLICT (model, version) DO UPDATE SET served_us = excluded.served_us "
                "WHERE version_traffic.served_us < excluded.served_us",
         .params = {model, version, now}});
  }
  if (statements.empty()) return {};
  MEZZO_TRY_VOID(db_.TransactAll(statements, {}, deadline));
  return {};
}

Result<void> RegistryStore::ForgetRetirementsOfDeleted(TimePoint deadline) {
  const std::vector<SqlStatement> statements = {
      {.sql = "DELETE FROM version_retirements WHERE NOT EXISTS (SELECT 1 FROM registry_versions v "
              "WHERE v.model_id = version_retirements.model_id AND v.version = version_retirements.version)",
       .params = {}},
      {.sql = "DELETE FROM version_traffic WHERE NOT EXISTS (SELECT 1 FROM registry_versions v "
              "JOIN registry_models m ON m.id = v.model_id WHERE m.name = version_traffic.model AND "
              "v.version = version_traffic.version)",
       .params = {}}};
  MEZZO_TRY_VOID(db_.TransactAll(statements, {}, deadline));
  return {};
}

Result<std::vector<RetireCandidate>> RegistryStore::RetireCandidates(const RetireQuery& query,
                                                                     TimePoint deadline) {
  std::vector<RetireCandidate> candidates;
  const RetireCursor after = query.after.value_or(
      RetireCursor{.since_us = std::numeric_limits<std::int64_t>::min(), .model_id = "", .version = 0});
  const auto work = [&](SqlSession& session) -> Result<void> {
    candidates.clear();
    MEZZO_TRY(
        const SqlRows rows,
        session.Run(
            "SELECT m.name, v.version, v.updated_us, COALESCE(t.served_us, 0), r.stage, r.stage_us, "
            "r.by_hand, "
            "(SELECT COUNT(*) FROM registry_versions o WHERE o.model_id = v.model_id AND o.state = 'ready'), "
            "(SELECT COUNT(*) FROM registry_aliases a WHERE a.model_id = v.model_id AND a.version = "
            "v.version), "
            "COALESCE(r.stage_us, v.updated_us), v.model_id "
            "FROM registry_versions v JOIN registry_models m ON m.id = v.model_id "
            "LEFT JOIN version_traffic t ON t.model = m.name AND t.version = v.version "
            "LEFT JOIN version_retirements r ON r.model_id = v.model_id AND r.version = v.version "
            "WHERE ((r.stage IS NOT NULL AND $3 = 1) OR (r.stage IS NULL AND $3 = 0 AND v.state = 'ready' "
            "AND v.updated_us <= $1 AND "
            "COALESCE(t.served_us, 0) <= $1 AND "
            "NOT EXISTS (SELECT 1 FROM registry_aliases b WHERE b.model_id = v.model_id AND b.version = "
            "v.version) "
            "AND EXISTS (SELECT 1 FROM registry_versions p WHERE p.model_id = v.model_id AND p.state = "
            "'ready' "
            "AND p.version <> v.version))) "
            "AND (COALESCE(r.stage_us, v.updated_us), v.model_id, v.version) > ($4, $5, $6) "
            "ORDER BY COALESCE(r.stage_us, v.updated_us), v.model_id, v.version LIMIT $2",
            {ToMicros(query.idle_before), static_cast<std::int64_t>(query.limit),
             std::int64_t{query.begun ? 1 : 0}, after.since_us, after.model_id, after.version}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      RetireCandidate one{
          .model = rows.Text(row, 0),
          .version = rows.Int(row, 1),
          .facts = {},
          .at = {.since_us = rows.Int(row, 9), .model_id = rows.Text(row, 10), .version = rows.Int(row, 1)}};
      RetireFacts& facts = one.facts;
      if (!rows.IsNull(row, 4)) {
        facts.stage = ParseRetireStage(rows.Text(row, 4)).value_or(RetireStage::kServing);
        facts.stage_since = FromMicros(rows.Int(row, 5));
        facts.by_hand = rows.Int(row, 6) != 0;
      }
      // A change that came with the stage itself is none.
      facts.idle_since = FromMicros(std::max(rows.Int(row, 2), rows.Int(row, 3)));
      if (!rows.IsNull(row, 4)) facts.idle_since = FromMicros(rows.Int(row, 3));
      facts.only_ready = rows.Int(row, 7) <= 1;
      facts.used = rows.Int(row, 8) > 0;
      if (!facts.used && uses_ != nullptr) {
        MEZZO_TRY(const std::string user, uses_->UserOf(session, one.model, one.version));
        facts.used = !user.empty();
      }
      candidates.push_back(std::move(one));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return candidates;
}

Result<bool> RegistryStore::StepRetirement(const std::string& model, std::int64_t version,
                                           const RetireStep& step, const std::string& by,
                                           TimePoint deadline) {
  bool done = false;
  std::optional<Error> refused;
  const auto work = [&](SqlSession& session) -> Result<void> {
    done = false;
    refused.reset();
    MEZZO_TRY(const Locked locked, Lock(session, model));
    MEZZO_TRY(const VersionRecord now, ReadVersion(session, model, version));
    MEZZO_TRY(const Standing standing, StandingOf(session, locked.id, version));
    if (standing.stage != step.from) return {};
    const bool before_archive = step.to != RetireStage::kServing && step.to != RetireStage::kArchived;
    if (before_archive && now.state != VersionState::kReady) {
      return FailedPrecondition("registry_version_state", "version " + std::to_string(version) +
                                                              " of model '" + model + "' is " +
                                                              std::string(VersionStateName(now.state)) +
                                                              ": only a ready one is retired");
    }
    if (before_archive) {
      const auto unused = now.aliases.empty() ? CheckUnused(session, model, version)
                                              : Result<void>(InUse(now.aliases.front(), model, version));
      if (!unused.ok()) {
        // What the housekeeper may not do it tries again; what somebody wanted and did not get is told.
        if (unused.error().reason() != "version_in_use" || !step.by_hand || !outbox_) return unused.error();
        refused = unused.error();
        return TellRetirement(session, locked, version, "refused", step.from, refused->message(), by);
      }
    }
    if (step.to == RetireStage::kServing || step.to == RetireStage::kArchived) {
      MEZZO_TRY_VOID(session.Run("DELETE FROM version_retirements WHERE model_id = $1 AND version = $2",
                                 {locked.id, version}));
      // What is needed again has its whole time before it.
      if (step.to == RetireStage::kServing) {
        MEZZO_TRY_VOID(
            session.Run("UPDATE registry_versions SET updated_us = $3 WHERE model_id = $1 AND version = $2",
                        {locked.id, version, NowMicros()}));
      }
    } else {
      MEZZO_TRY_VOID(
          session.Run("INSERT INTO version_retirements (model_id, version, stage, stage_us, by_hand, who) "
                      "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (model_id, version) DO UPDATE SET "
                      "stage = excluded.stage, stage_us = excluded.stage_us, by_hand = excluded.by_hand, who "
                      "= excluded.who",
                      {locked.id, version, std::string(RetireStageName(step.to)), NowMicros(),
                       std::int64_t{step.by_hand || standing.by_hand ? 1 : 0}, by}));
    }
    if (step.to == RetireStage::kArchiving) {
      MEZZO_TRY_VOID(session.Run(
          "UPDATE registry_versions SET state = 'archived', reason = $3, revision = revision + 1, "
          "updated_us = $4 WHERE model_id = $1 AND version = $2",
          {locked.id, version, step.reason, NowMicros()}));
      MEZZO_TRY_VOID(Note(session, locked, version, "version_state", step.reason, "ready", "archived", by));
    }
    MEZZO_TRY_VOID(Note(session, locked, version, "version_retirement", step.reason,
                        std::string(RetireStageName(step.from)), std::string(RetireStageName(step.to)), by));
    const bool undone = step.to == RetireStage::kServing;
    MEZZO_TRY_VOID(TellRetirement(session, locked, version,
                                  undone ? "undone" : std::string(RetireStageName(step.to)), step.from,
                                  step.reason, by));
    done = true;
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  if (refused) return *std::move(refused);
  return done;
}

Result<void> RegistryStore::RestoreArchived(const std::string& model, std::int64_t version,
                                            const std::string& by, TimePoint deadline) {
  constexpr const char* kReason = "restored";
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    MEZZO_TRY(const VersionRecord now, ReadVersion(session, model, version));
    if (now.state != VersionState::kArchived) {
      return FailedPrecondition("registry_version_state", "version " + std::to_string(version) +
                                                              " of model '" + model + "' is " +
                                                              std::string(VersionStateName(now.state)) +
                                                              ": only a retired one is restored");
    }
    MEZZO_TRY_VOID(
        session.Run("UPDATE registry_versions SET state = 'ready', reason = $3, revision = revision + 1, "
                    "updated_us = $4 WHERE model_id = $1 AND version = $2",
                    {locked.id, version, std::string(kReason), NowMicros()}));
    MEZZO_TRY_VOID(Note(session, locked, version, "version_state", kReason, "archived", "ready", by));
    // Of one whose files were on their way: in the same step, so that nobody goes on with what is ready.
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM version_retirements WHERE model_id = $1 AND version = $2",
                          {locked.id, version}));
    RetireStage from = RetireStage::kArchived;
    if (gone.affected() > 0) {
      from = RetireStage::kArchiving;
      MEZZO_TRY_VOID(
          Note(session, locked, version, "version_retirement", kReason, "archiving", "serving", by));
    }
    return TellRetirement(session, locked, version, "undone", from, kReason, by);
  };
  return db_.Transact(work, deadline);
}

Result<RetireStage> RegistryStore::RetirementOf(const std::string& model, std::int64_t version,
                                                TimePoint deadline) {
  RetireStage stage = RetireStage::kServing;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const VersionRecord now, ReadVersion(session, model, version));
    MEZZO_TRY(const Standing standing, StandingOf(session, now.model_id, version));
    stage = standing.stage;
    if (stage == RetireStage::kServing && now.state == VersionState::kArchived)
      stage = RetireStage::kArchived;
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return stage;
}

Result<std::vector<RegistryStore::RetiringVersion>> RegistryStore::Retirements(
    const std::optional<TenantId>& tenant, std::size_t limit, TimePoint deadline) {
  std::vector<RetiringVersion> versions;
  const auto work = [&](SqlSession& session) -> Result<void> {
    versions.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run(
                  "SELECT m.name, v.version, COALESCE(r.stage, 'archived'), COALESCE(r.by_hand, 0), "
                  "COALESCE(r.stage_us, v.updated_us), COALESCE(t.served_us, 0) "
                  "FROM registry_versions v JOIN registry_models m ON m.id = v.model_id "
                  "LEFT JOIN version_retirements r ON r.model_id = v.model_id AND r.version = v.version "
                  "LEFT JOIN version_traffic t ON t.model = m.name AND t.version = v.version "
                  "WHERE (r.stage IS NOT NULL OR v.state = 'archived') AND ($1 = 1 OR m.tenant IN ('', $2)) "
                  "ORDER BY COALESCE(r.stage_us, v.updated_us) DESC, m.name, v.version DESC LIMIT $3",
                  {std::int64_t{tenant ? 0 : 1}, tenant ? tenant->str() : std::string(),
                   static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      RetiringVersion& one = versions.emplace_back();
      one.model = rows.Text(row, 0);
      one.version = rows.Int(row, 1);
      one.stage = ParseRetireStage(rows.Text(row, 2)).value_or(RetireStage::kArchived);
      one.by_hand = rows.Int(row, 3) != 0;
      one.since = FromMicros(rows.Int(row, 4));
      if (rows.Int(row, 5) > 0) one.last_call = FromMicros(rows.Int(row, 5));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return versions;
}

Result<std::set<std::pair<std::string, std::int64_t>>> RegistryStore::VersionsAt(RetireStage stage,
                                                                                 TimePoint deadline) {
  std::set<std::pair<std::string, std::int64_t>> versions;
  const auto work = [&](SqlSession& session) -> Result<void> {
    versions.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT m.name, r.version FROM version_retirements r JOIN registry_models m "
                          "ON m.id = r.model_id WHERE r.stage = $1 LIMIT $2",
                          {std::string(RetireStageName(stage)), kMostRows}));
    for (std::size_t row = 0; row < rows.size(); ++row) versions.emplace(rows.Text(row, 0), rows.Int(row, 1));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return versions;
}

Result<std::vector<std::string>> RegistryStore::ContentsOfArchived(const std::string& model,
                                                                   std::int64_t version, TimePoint deadline) {
  std::vector<std::string> contents;
  const auto work = [&](SqlSession& session) -> Result<void> {
    contents.clear();
    MEZZO_TRY(const VersionRecord of, ReadVersion(session, model, version));
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("SELECT DISTINCT f.sha256 FROM registry_files f WHERE f.model_id = $1 AND f.version = $2 "
                    "AND NOT EXISTS (SELECT 1 FROM registry_files o JOIN registry_versions v "
                    "ON v.model_id = o.model_id AND v.version = o.version "
                    "WHERE o.sha256 = f.sha256 AND v.state <> 'archived')",
                    {of.model_id, version}));
    for (std::size_t row = 0; row < rows.size(); ++row) contents.push_back(rows.Text(row, 0));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return contents;
}

Result<std::map<std::string, std::string>> RegistryStore::TagOfModels(const std::string& key,
                                                                      TimePoint deadline) {
  std::map<std::string, std::string> tags;
  const auto work = [&](SqlSession& session) -> Result<void> {
    tags.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT m.name, t.tag_value FROM registry_model_tags t JOIN registry_models m "
                          "ON m.id = t.model_id WHERE t.tag_key = $1 LIMIT $2",
                          {key, kMostRows}));
    for (std::size_t row = 0; row < rows.size(); ++row) tags.emplace(rows.Text(row, 0), rows.Text(row, 1));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return tags;
}

}  // namespace mezzo::lifecycle
