#include <utility>

#include "mezzo/lifecycle/internal/registry_rows.h"
#include "mezzo/lifecycle/registry_store.h"

namespace mezzo::lifecycle {
namespace {

using internal::kVersionColumns;
using internal::ToMicros;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlValue;

std::string Which(const std::string& model, std::int64_t version) {
  return "version " + std::to_string(version) + " of model '" + model + "'";
}

}  // namespace

Result<VersionRecord> RegistryStore::ReadVersion(SqlSession& session, const std::string& model,
                                                 std::int64_t version) const {
  static const std::string sql = "SELECT " + std::string(kVersionColumns) +
                                 " FROM registry_versions v JOIN registry_models m ON m.id = v.model_id "
                                 "WHERE m.name = $1 AND v.version = $2";
  MEZZO_TRY(const SqlRows rows, session.Run(sql, {model, version}));
  if (rows.empty()) {
    MEZZO_TRY(const SqlRows known, session.Run("SELECT 1 FROM registry_models WHERE name = $1", {model}));
    if (known.empty()) return internal::NoModel(model);
    return internal::NoVersion(model, version);
  }
  MEZZO_TRY(std::vector<VersionRecord> versions, Complete(session, {internal::VersionAt(rows, 0)}));
  return std::move(versions.front());
}

Result<VersionRecord> RegistryStore::CreateVersion(const std::string& model, const NewVersion& version,
                                                   const std::string& by, TimePoint deadline) {
  const Lineage& lineage = version.lineage;
  MEZZO_TRY_VOID(CheckTags(version.tags));
  MEZZO_TRY_VOID(CheckText("the description", version.description));
  MEZZO_TRY_VOID(CheckText("the stage", version.stage));
  for (const std::string* text :
       {&lineage.data, &lineage.code, &lineage.metrics, &lineage.run_id, &lineage.source}) {
    MEZZO_TRY_VOID(CheckText("the lineage", *text));
  }
  const auto& files = version.manifest.files();
  const VersionState state = files.empty() ? VersionState::kReady : VersionState::kUploading;
  const std::string state_name(VersionStateName(state));
  std::optional<VersionRecord> made;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    MEZZO_TRY(const SqlRows count,
              session.Run("SELECT COUNT(*) FROM registry_versions WHERE model_id = $1", {locked.id}));
    if (static_cast<std::size_t>(count.Int(0, 0)) >= options_.max_versions) {
      return ResourceExhausted("registry_full", "model '" + model +
                                                    "' has all the versions that it may have: " +
                                                    std::to_string(options_.max_versions));
    }
    if (lineage.parent) MEZZO_TRY_VOID(ReadVersion(session, model, *lineage.parent));
    const std::int64_t number = locked.next_version;
    const std::int64_t now = NowMicros();
    MEZZO_TRY_VOID(
        session.Run("UPDATE registry_models SET next_version = next_version + 1 WHERE id = $1", {locked.id}));
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO registry_versions (model_id, version, state, reason, digest, bytes, files, description, "
        "stage, data, code, metrics, parent, run_id, source, revision, created_us, created_by, updated_us) "
        "VALUES ($1, $2, $3, '', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1, $15, $16, $15)",
        {locked.id, number, state_name, version.manifest.Digest(),
         static_cast<std::int64_t>(version.manifest.bytes()), static_cast<std::int64_t>(files.size()),
         version.description, version.stage, lineage.data, lineage.code, lineage.metrics,
         lineage.parent ? SqlValue(*lineage.parent) : SqlValue(), lineage.run_id, lineage.source, now, by}));
    for (const ManifestFile& file : files) {
      // Before the file is there: who collects garbage holds this row's lock, and is waited for.
      MEZZO_TRY_VOID(session.Run("DELETE FROM registry_garbage WHERE sha256 = $1", {file.sha256}));
      MEZZO_TRY_VOID(session.Run(
          "INSERT INTO registry_files (model_id, version, path, sha256, bytes) VALUES ($1, $2, $3, $4, $5)",
          {locked.id, number, file.path, file.sha256, static_cast<std::int64_t>(file.bytes)}));
    }
    for (const auto& [key, value] : version.tags) {
      MEZZO_TRY_VOID(session.Run(
          "INSERT INTO registry_version_tags (model_id, version, tag_key, tag_value) VALUES ($1, $2, $3, $4)",
          {locked.id, number, key, value}));
    }
    MEZZO_TRY_VOID(Note(session, locked, number, "version_created", "state", "", state_name, by));
    MEZZO_TRY(made, ReadVersion(session, model, number));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *std::move(made);
}

Result<VersionRecord> RegistryStore::GetVersion(const std::string& model, std::int64_t version,
                                                TimePoint deadline) {
  std::optional<VersionRecord> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(found, ReadVersion(session, model, version));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return *std::move(found);
}

Result<VersionRecord> RegistryStore::ChangeVersion(const std::string& model, std::int64_t version,
                                                   const VersionChange& change, const std::string& by,
                                                   TimePoint deadline) {
  if (change.description) MEZZO_TRY_VOID(CheckText("the description", *change.description));
  if (change.stage) MEZZO_TRY_VOID(CheckText("the stage", *change.stage));
  std::optional<VersionRecord> changed;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    MEZZO_TRY(const VersionRecord now, ReadVersion(session, model, version));
    if (change.if_revision && *change.if_revision != now.revision) {
      return FailedPrecondition("registry_conflict", Which(model, version) + " is at revision " +
                                                         std::to_string(now.revision) + ", not " +
                                                         std::to_string(*change.if_revision));
    }
    const std::string description = change.description.value_or(now.description);
    const std::string stage = change.stage.value_or(now.stage);
    MEZZO_TRY_VOID(
        session.Run("UPDATE registry_versions SET description = $3, stage = $4, revision = revision + 1, "
                    "updated_us = $5 WHERE model_id = $1 AND version = $2",
                    {locked.id, version, description, stage, NowMicros()}));
    if (description != now.description) {
      MEZZO_TRY_VOID(
          Note(session, locked, version, "version_updated", "description", now.description, description, by));
    }
    if (stage != now.stage) {
      MEZZO_TRY_VOID(Note(session, locked, version, "version_updated", "stage", now.stage, stage, by));
    }
    MEZZO_TRY(changed, ReadVersion(session, model, version));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *std::move(changed);
}

Result<VersionRecord> RegistryStore::SetState(const std::string& model, std::int64_t version,
                                              const StateChange& change, const std::string& by,
                                              TimePoint deadline) {
  MEZZO_TRY_VOID(CheckText("the reason", change.reason));
  const std::string from(VersionStateName(change.from));
  const std::string to(VersionStateName(change.to));
  std::optional<VersionRecord> changed;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    MEZZO_TRY(const VersionRecord now, ReadVersion(session, model, version));
    if (now.state != change.from || !IsLegalStep(change.from, change.to)) {
      return FailedPrecondition("registry_version_state", Which(model, version) + " is " +
                                                              std::string(VersionStateName(now.state)) +
                                                              ": it can't go from " + from + " to " + to);
    }
    if (change.to == VersionState::kArchived && !now.aliases.empty()) {
      return FailedPrecondition("registry_version_aliased", "alias '" + now.aliases.front() + "' points at " +
                                                                Which(model, version) +
                                                                ": it can't be archived");
    }
    if (change.to == VersionState::kArchived) MEZZO_TRY_VOID(CheckUnused(session, model, version));
    MEZZO_TRY_VOID(
        session.Run("UPDATE registry_versions SET state = $3, reason = $4, "
                    "revision = revision + 1, updated_us = $5 WHERE model_id = $1 AND version = $2",
                    {locked.id, version, to, change.reason, NowMicros()}));
    MEZZO_TRY_VOID(Note(session, locked, version, "version_state", change.reason, from, to, by));
    MEZZO_TRY(changed, ReadVersion(session, model, version));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *std::move(changed);
}

Result<void> RegistryStore::RemoveVersion(SqlSession& session, const Locked& model, std::int64_t version,
                                          const std::string& by) const {
  MEZZO_TRY(const SqlRows aliases, session.Run("DELETE FROM registry_aliases WHERE model_id = $1 AND "
                                               "version = $2 RETURNING alias",
                                               {model.id, version}));
  for (std::size_t row = 0; row < aliases.size(); ++row) {
    MEZZO_TRY_VOID(Note(session, model, version, "alias_deleted", aliases.Text(row, 0),
                        std::to_string(version), "", by));
  }
  MEZZO_TRY_VOID(session.Run(
      "INSERT INTO registry_garbage (sha256, since_us) SELECT DISTINCT sha256, CAST($3 AS BIGINT) "
      "FROM registry_files WHERE model_id = $1 AND version = $2 "
      "ON CONFLICT (sha256) DO UPDATE SET since_us = excluded.since_us",
      {model.id, version, NowMicros()}));
  MEZZO_TRY_VOID(
      session.Run("DELETE FROM registry_files WHERE model_id = $1 AND version = $2", {model.id, version}));
  MEZZO_TRY_VOID(session.Run("DELETE FROM registry_version_tags WHERE model_id = $1 AND version = $2",
                             {model.id, version}));
  MEZZO_TRY(const SqlRows gone, session.Run("DELETE FROM registry_versions WHERE model_id = $1 AND "
                                            "version = $2 RETURNING state",
                                            {model.id, version}));
  if (gone.empty()) return internal::NoVersion(model.name, version);
  return Note(session, model, version, "version_deleted", "state", gone.Text(0, 0), "", by);
}

Result<void> RegistryStore::DeleteVersion(const std::string& model, std::int64_t version,
                                          const std::string& by, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    MEZZO_TRY_VOID(CheckUnused(session, model, version));
    return RemoveVersion(session, locked, version, by);
  };
  return db_.Transact(work, deadline);
}

Result<std::map<std::int64_t, VersionState>> RegistryStore::StatesOf(const std::string& model,
                                                                     TimePoint deadline) {
  std::map<std::int64_t, VersionState> states;
  const auto work = [&](SqlSession& session) -> Result<void> {
    states.clear();
    MEZZO_TRY(const SqlRows of, session.Run("SELECT id FROM registry_models WHERE name = $1", {model}));
    if (of.empty()) return internal::NoModel(model);
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("SELECT version, state FROM registry_versions WHERE model_id = $1", {of.Text(0, 0)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      // What a newer host has written is not served.
      states.emplace(rows.Int(row, 0),
                     ParseVersionState(rows.Text(row, 1)).value_or(VersionState::kArchived));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return states;
}

Result<std::vector<ManifestFile>> RegistryStore::FilesOf(const std::string& model, std::int64_t version,
                                                         TimePoint deadline) {
  std::vector<ManifestFile> files;
  const auto work = [&](SqlSession& session) -> Result<void> {
    files.clear();
    MEZZO_TRY(const VersionRecord of, ReadVersion(session, model, version));
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT path, sha256, bytes FROM registry_files WHERE model_id = $1 AND "
                          "version = $2 ORDER BY path",
                          {of.model_id, version}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      files.push_back({.path = rows.Text(row, 0),
                       .sha256 = rows.Text(row, 1),
                       .bytes = static_cast<ByteCount>(rows.Int(row, 2))});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return files;
}

// --- Uploads and garbage

Result<std::optional<ByteCount>> RegistryStore::ExpectContent(const std::string& sha256, TimePoint deadline) {
  std::optional<ByteCount> size;
  const auto work = [&](SqlSession& session) -> Result<void> {
    size.reset();
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("SELECT f.model_id, f.version, f.bytes, v.updated_us FROM registry_files f "
                    "JOIN registry_versions v ON v.model_id = f.model_id AND v.version = f.version "
                    "WHERE f.sha256 = $1 AND v.state = 'uploading' ORDER BY f.model_id, f.version LIMIT 100",
                    {sha256}));
    constexpr std::int64_t kMinuteMicros = 60'000'000;
    const std::int64_t now = NowMicros();
    for (std::size_t row = 0; row < rows.size(); ++row) {
      size = static_cast<ByteCount>(rows.Int(row, 2));
      if (now - rows.Int(row, 3) < kMinuteMicros) continue;  // Once a minute is life enough.
      MEZZO_TRY_VOID(
          session.Run("UPDATE registry_versions SET updated_us = $3 WHERE model_id = $1 AND "
                      "version = $2 AND state = 'uploading'",
                      {rows.Text(row, 0), rows.Int(row, 1), now}));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return size;
}

Result<std::size_t> RegistryStore::ExpireUploads(WallTime before, std::size_t limit, TimePoint deadline) {
  struct Dead {
    std::string model;
    std::int64_t version;
  };
  std::vector<Dead> dead;
  const auto look = [&](SqlSession& session) -> Result<void> {
    dead.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT m.name, v.version FROM registry_versions v JOIN registry_models m "
                          "ON m.id = v.model_id WHERE v.state = 'uploading' AND v.updated_us < $1 "
                          "ORDER BY v.updated_us LIMIT $2",
                          {ToMicros(before), static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      dead.push_back({.model = rows.Text(row, 0), .version = rows.Int(row, 1)});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(look, deadline));
  std::size_t removed = 0;
  for (const Dead& one : dead) {
    bool gone = false;
    const auto work = [&](SqlSession& session) -> Result<void> {
      gone = false;
      MEZZO_TRY(const Locked locked, Lock(session, one.model));
      // Whoever went on with it meanwhile has it.
      MEZZO_TRY(const SqlRows still,
                session.Run("SELECT 1 FROM registry_versions WHERE model_id = $1 AND version = $2 AND "
                            "state = 'uploading' AND updated_us < $3",
                            {locked.id, one.version, ToMicros(before)}));
      if (still.empty()) return {};
      gone = true;
      return RemoveVersion(session, locked, one.version, "housekeeper");
    };
    auto done = db_.Transact(work, deadline);
    if (!done.ok() && done.error().code() == Code::kNotFound) continue;  // Deleted with its model.
    MEZZO_TRY_VOID(done);
    if (gone) ++removed;
  }
  return removed;
}

Result<std::size_t> RegistryStore::CollectGarbage(
    WallTime before, std::size_t limit, const std::function<Result<void>(const std::string&)>& remove,
    TimePoint deadline) {
  std::vector<std::string> candidates;
  const auto look = [&](SqlSession& session) -> Result<void> {
    candidates.clear();
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("SELECT sha256 FROM registry_garbage WHERE since_us < $1 ORDER BY since_us LIMIT $2",
                    {ToMicros(before), static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) candidates.push_back(rows.Text(row, 0));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(look, deadline));
  std::size_t removed = 0;
  for (const std::string& sha256 : candidates) {
    bool gone = false;
    const auto work = [&](SqlSession& session) -> Result<void> {
      gone = false;
      MEZZO_TRY(const SqlRows mine,
                session.Run("DELETE FROM registry_garbage WHERE sha256 = $1 AND since_us < $2",
                            {sha256, ToMicros(before)}));
      if (mine.affected() == 0) return {};
      MEZZO_TRY(const SqlRows used,
                session.Run("SELECT 1 FROM registry_files WHERE sha256 = $1 LIMIT 1", {sha256}));
      if (!used.empty()) return {};
      if (options_.tracked) {
        MEZZO_TRY(
            const SqlRows tracked,
            session.Run("SELECT 1 FROM tracking_artifacts WHERE sha256 = $1 OR next_sha256 = $1 LIMIT 1",
                        {sha256}));
        if (!tracked.empty()) return {};
      }
      MEZZO_TRY_VOID(remove(sha256));
      gone = true;
      return {};
    };
    MEZZO_TRY_VOID(db_.Transact(work, deadline));
    if (gone) ++removed;
  }
  return removed;
}

}  // namespace mezzo::lifecycle
