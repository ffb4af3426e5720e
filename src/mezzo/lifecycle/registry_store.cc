#include "mezzo/lifecycle/registry_store.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/lifecycle/internal/registry_rows.h"

// Models, tags and aliases; registry_versions.cc has versions and uploads, registry_lists.cc lists and the
// history.

namespace mezzo::lifecycle {
namespace {

using internal::kModelColumns;
using internal::kVersionColumns;
using internal::ToMicros;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlValue;

constexpr std::size_t kMaxTagKey = 250;

Result<void> CheckModelName(std::string_view name) {
  if (IsSafeName(name)) return {};
  return InvalidArgument("registry_model_name", "'" + Printable(name) +
                                                    "' is not a model's name: 1 to 128 of letters, digits, "
                                                    "'.', '_' and '-', not beginning with '.'");
}

bool IsDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Not to be taken for a version: no number, no number after a 'v'.
Result<void> CheckAlias(std::string_view alias) {
  if (EqualsIgnoreCase(alias, kLatest)) {
    return InvalidArgument("registry_alias_reserved",
                           "the alias 'latest' is computed: the newest version that is ready");
  }
  const bool version =
      IsDigits(alias) || ((alias.starts_with('v') || alias.starts_with('V')) && IsDigits(alias.substr(1)));
  if (IsSafeName(alias) && !version) return {};
  return InvalidArgument("registry_alias_name",
                         "'" + Printable(alias) +
                             "' is not an alias: 1 to 128 of letters, digits, '.', '_' and '-', not "
                             "beginning with '.', and not a version's number");
}

Error Exists(const std::string& name) {
  return AlreadyExists("registry_model_exists", "the registry has a model '" + name + "' already");
}

}  // namespace

RegistryStore::RegistryStore(Options options, storage::SqlDb& db, const Clock& clock)
    : options_(options), db_(db), clock_(clock) {}

std::int64_t RegistryStore::NowMicros() const { return ToMicros(clock_.WallNow()); }

Result<void> RegistryStore::CheckText(std::string_view what, std::string_view text) const {
  if (text.size() <= options_.max_text) return {};
  return InvalidArgument("registry_text_too_long", std::string(what) + " has " + std::to_string(text.size()) +
                                                       " bytes; the limit is " +
                                                       std::to_string(options_.max_text));
}

Result<void> RegistryStore::CheckTags(const Tags& tags) const {
  if (tags.size() > options_.max_tags) {
    return ResourceExhausted("registry_full", "there are " + std::to_string(tags.size()) +
                                                  " tags; the limit is " + std::to_string(options_.max_tags));
  }
  for (const auto& [key, value] : tags) {
    if (key.empty() || key.size() > kMaxTagKey || value.size() > options_.max_tag_value) {
      return InvalidArgument("registry_tag", "the tag '" + Printable(key) + "': a key has 1 to " +
                                                 std::to_string(kMaxTagKey) + " bytes, a value at most " +
                                                 std::to_string(options_.max_tag_value));
    }
  }
  return {};
}

Result<RegistryStore::Locked> RegistryStore::Lock(SqlSession& session, const std::string& model) const {
  MEZZO_TRY(const SqlRows rows,
            session.Run("UPDATE registry_models SET changes = changes + 1, updated_us = $2 WHERE name = $1 "
                        "RETURNING id, name, revision, next_version, description, tenant",
                        {model, NowMicros()}));
  if (rows.empty()) return internal::NoModel(model);
  return Locked{.id = rows.Text(0, 0),
                .name = rows.Text(0, 1),
                .revision = rows.Int(0, 2),
                .next_version = rows.Int(0, 3),
                .description = rows.Text(0, 4),
                .tenant = rows.Text(0, 5)};
}

Result<void> RegistryStore::Note(SqlSession& session, const Locked& model,
                                 std::optional<std::int64_t> version, std::string kind, std::string field,
                                 std::string before, std::string after, const std::string& by) const {
  const SqlValue number = version ? SqlValue(*version) : SqlValue();
  MEZZO_TRY_VOID(
      session.Run("INSERT INTO registry_events (model_id, model, version, kind, field, before_text, "
                  "after_text, at_us, who) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                  {model.id, model.name, number, std::move(kind), std::move(field), std::move(before),
                   std::move(after), NowMicros(), by}));
  return session.Notify({.channel = kRegistryChannel, .payload = model.name});
}

Result<ModelRecord> RegistryStore::ReadModel(SqlSession& session, const std::string& name) const {
  static const std::string sql =
      "SELECT " + std::string(kModelColumns) + " FROM registry_models m WHERE m.name = $1";
  MEZZO_TRY(const SqlRows rows, session.Run(sql, {name}));
  if (rows.empty()) return internal::NoModel(name);
  MEZZO_TRY(std::vector<ModelRecord> models, Complete(session, {internal::ModelAt(rows, 0)}));
  return std::move(models.front());
}

Result<std::string> RegistryStore::UserOf(const std::string& model, std::int64_t version,
                                          TimePoint deadline) {
  std::string user;
  const auto work = [&](SqlSession& session) -> Result<void> {
    user.clear();
    if (uses_ == nullptr) return {};
    MEZZO_TRY(user, uses_->UserOf(session, model, version));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return user;
}

Result<void> RegistryStore::CheckUnused(SqlSession& session, const std::string& model,
                                        std::optional<std::int64_t> version) const {
  if (uses_ == nullptr) return {};
  MEZZO_TRY(const std::string user, uses_->UserOf(session, model, version));
  if (user.empty()) return {};
  if (version) {
    return FailedPrecondition("version_in_use", user + " needs version " + std::to_string(*version) +
                                                    " of model '" + Printable(model) + "'");
  }
  return FailedPrecondition("registry_model_in_use", user + " names model '" + Printable(model) + "'");
}

// --- Models

Result<ModelRecord> RegistryStore::CreateModel(const NewModel& model, const std::string& by,
                                               TimePoint deadline) {
  MEZZO_TRY_VOID(CheckModelName(model.name));
  MEZZO_TRY_VOID(CheckText("the description", model.description));
  MEZZO_TRY_VOID(CheckTags(model.tags));
  const std::string id = NewUuidV7(clock_.WallNow());
  std::optional<ModelRecord> made;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows count, session.Run("SELECT COUNT(*) FROM registry_models", {}));
    if (static_cast<std::size_t>(count.Int(0, 0)) >= options_.max_models) {
      return ResourceExhausted("registry_full", "the registry has all the models that it may have: " +
                                                    std::to_string(options_.max_models));
    }
    const std::int64_t now = NowMicros();
    MEZZO_TRY(const SqlRows put,
              session.Run("INSERT INTO registry_models (id, name, tenant, description, revision, changes, "
                          "next_version, created_us, created_by, updated_us) "
                          "VALUES ($1, $2, $3, $4, 1, 1, 1, $5, $6, $5) ON CONFLICT (name) DO NOTHING",
                          {id, model.name, model.tenant.str(), model.description, now, by}));
    if (put.affected() == 0) return Exists(model.name);
    for (const auto& [key, value] : model.tags) {
      MEZZO_TRY_VOID(
          session.Run("INSERT INTO registry_model_tags (model_id, tag_key, tag_value) VALUES ($1, $2, $3)",
                      {id, key, value}));
    }
    const Locked locked{.id = id, .name = model.name, .description = "", .tenant = ""};
    MEZZO_TRY_VOID(Note(session, locked, {}, "model_created", "", "", model.name, by));
    MEZZO_TRY(made, ReadModel(session, model.name));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *std::move(made);
}

Result<ModelRecord> RegistryStore::GetModel(const std::string& name, TimePoint deadline) {
  std::optional<ModelRecord> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(found, ReadModel(session, name));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return *std::move(found);
}

Result<ModelRecord> RegistryStore::ChangeModel(const std::string& name, const ModelChange& change,
                                               const std::string& by, TimePoint deadline) {
  if (change.description) MEZZO_TRY_VOID(CheckText("the description", *change.description));
  std::optional<ModelRecord> changed;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked model, Lock(session, name));
    if (change.if_revision && *change.if_revision != model.revision) {
      return FailedPrecondition("registry_conflict", "model '" + name + "' is at revision " +
                                                         std::to_string(model.revision) + ", not " +
                                                         std::to_string(*change.if_revision));
    }
    const std::string description = change.description.value_or(model.description);
    const std::string tenant = change.tenant ? change.tenant->str() : model.tenant;
    MEZZO_TRY_VOID(session.Run(
        "UPDATE registry_models SET description = $2, tenant = $3, revision = revision + 1 WHERE id = $1",
        {model.id, description, tenant}));
    if (description != model.description) {
      MEZZO_TRY_VOID(
          Note(session, model, {}, "model_updated", "description", model.description, description, by));
    }
    if (tenant != model.tenant) {
      MEZZO_TRY_VOID(Note(session, model, {}, "model_updated", "tenant", model.tenant, tenant, by));
    }
    MEZZO_TRY(changed, ReadModel(session, name));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *std::move(changed);
}

Result<ModelRecord> RegistryStore::RenameModel(const std::string& name, const std::string& to,
                                               const std::string& by, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckModelName(to));
  std::optional<ModelRecord> renamed;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(Locked model, Lock(session, name));
    if (to != name) {
      MEZZO_TRY(const SqlRows taken, session.Run("SELECT 1 FROM registry_models WHERE name = $1", {to}));
      if (!taken.empty()) return Exists(to);
      MEZZO_TRY_VOID(CheckUnused(session, name, {}));
      MEZZO_TRY_VOID(session.Run(
          "UPDATE registry_models SET name = $2, revision = revision + 1 WHERE id = $1", {model.id, to}));
      MEZZO_TRY_VOID(Note(session, model, {}, "model_renamed", "name", name, to, by));
    }
    MEZZO_TRY(renamed, ReadModel(session, to));
    return {};
  };
  auto done = db_.Transact(work, deadline);
  // Two renames to one name at once: the second one's UPDATE meets the constraint.
  if (!done.ok() && done.error().reason() == "sql_unique") return Exists(to);
  MEZZO_TRY_VOID(done);
  return *std::move(renamed);
}

Result<void> RegistryStore::DeleteModel(const std::string& name, const std::string& by, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked model, Lock(session, name));
    MEZZO_TRY_VOID(CheckUnused(session, name, {}));
    MEZZO_TRY(const SqlRows versions,
              session.Run("SELECT version FROM registry_versions WHERE model_id = $1 ORDER BY version",
                          {model.id}));
    for (std::size_t row = 0; row < versions.size(); ++row) {
      MEZZO_TRY_VOID(RemoveVersion(session, model, versions.Int(row, 0), by));
    }
    MEZZO_TRY_VOID(session.Run("DELETE FROM registry_model_tags WHERE model_id = $1", {model.id}));
    MEZZO_TRY_VOID(session.Run("DELETE FROM registry_models WHERE id = $1", {model.id}));
    return Note(session, model, {}, "model_deleted", "", name, "", by);
  };
  return db_.Transact(work, deadline);
}

// --- Tags

Result<void> RegistryStore::SetTag(const std::string& model, std::optional<std::int64_t> version,
                                   const std::string& key, const std::string& value, const std::string& by,
                                   TimePoint deadline) {
  MEZZO_TRY_VOID(CheckTags({{key, value}}));
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    std::vector<SqlValue> of = {locked.id};
    if (version) {
      MEZZO_TRY_VOID(ReadVersion(session, model, *version));
      of.emplace_back(*version);
    }
    MEZZO_TRY(
        const SqlRows all,
        session.Run(version ? "SELECT tag_key, tag_value FROM registry_version_tags WHERE model_id = $1 "
                              "AND version = $2"
                            : "SELECT tag_key, tag_value FROM registry_model_tags WHERE model_id = $1",
                    of));
    std::string before;
    bool known = false;
    for (std::size_t row = 0; row < all.size(); ++row) {
      if (all.Text(row, 0) != key) continue;
      known = true;
      before = all.Text(row, 1);
    }
    if (!known && all.size() >= options_.max_tags) {
      return ResourceExhausted("registry_full",
                               "it has all the tags that it may have: " + std::to_string(options_.max_tags));
    }
    of.emplace_back(key);
    of.emplace_back(value);
    MEZZO_TRY_VOID(session.Run(
        version ? "INSERT INTO registry_version_tags (model_id, version, tag_key, tag_value) "
                  "VALUES ($1, $2, $3, $4) ON CONFLICT (model_id, version, tag_key) "
                  "DO UPDATE SET tag_value = excluded.tag_value"
                : "INSERT INTO registry_model_tags (model_id, tag_key, tag_value) VALUES ($1, $2, $3) "
                  "ON CONFLICT (model_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value",
        of));
    return Note(session, locked, version, "tag_set", key, before, value, by);
  };
  return db_.Transact(work, deadline);
}

Result<void> RegistryStore::DeleteTag(const std::string& model, std::optional<std::int64_t> version,
                                      const std::string& key, const std::string& by, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    std::vector<SqlValue> of = {locked.id, key};
    if (version) {
      MEZZO_TRY_VOID(ReadVersion(session, model, *version));
      of.emplace_back(*version);
    }
    MEZZO_TRY(const SqlRows gone,
              session.Run(version ? "DELETE FROM registry_version_tags WHERE model_id = $1 AND tag_key = $2 "
                                    "AND version = $3 RETURNING tag_value"
                                  : "DELETE FROM registry_model_tags WHERE model_id = $1 AND tag_key = $2 "
                                    "RETURNING tag_value",
                          of));
    if (gone.empty()) {
      return NotFound("registry_tag_unknown", "there is no tag '" + Printable(key) + "'");
    }
    return Note(session, locked, version, "tag_deleted", key, gone.Text(0, 0), "", by);
  };
  return db_.Transact(work, deadline);
}

// --- Aliases

Result<void> RegistryStore::SetAlias(const std::string& model, const std::string& alias, std::int64_t version,
                                     std::optional<std::int64_t> if_version, const std::string& by,
                                     TimePoint deadline) {
  MEZZO_TRY_VOID(CheckAlias(alias));
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    MEZZO_TRY(const VersionRecord to, ReadVersion(session, model, version));
    if (to.state != VersionState::kReady) {
      return FailedPrecondition("registry_version_not_ready",
                                "version " + std::to_string(version) + " of model '" + model + "' is " +
                                    std::string(VersionStateName(to.state)) +
                                    ": an alias can point at a ready one alone");
    }
    MEZZO_TRY(const SqlRows all,
              session.Run("SELECT alias, version FROM registry_aliases WHERE model_id = $1", {locked.id}));
    std::int64_t before = 0;
    for (std::size_t row = 0; row < all.size(); ++row) {
      if (all.Text(row, 0) == alias) before = all.Int(row, 1);
    }
    if (if_version && *if_version != before) {
      return FailedPrecondition("registry_conflict",
                                before == 0
                                    ? "model '" + model + "' has no alias '" + alias + "'"
                                    : "alias '" + alias + "' of model '" + model + "' is at version " +
                                          std::to_string(before) + ", not " + std::to_string(*if_version));
    }
    if (before == 0 && all.size() >= options_.max_aliases) {
      return ResourceExhausted("registry_full", "model '" + model +
                                                    "' has all the aliases that it may have: " +
                                                    std::to_string(options_.max_aliases));
    }
    if (before == version) return {};
    MEZZO_TRY_VOID(
        session.Run("INSERT INTO registry_aliases (model_id, alias, version, updated_us, updated_by) "
                    "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (model_id, alias) DO UPDATE "
                    "SET version = excluded.version, updated_us = excluded.updated_us, "
                    "updated_by = excluded.updated_by",
                    {locked.id, alias, version, NowMicros(), by}));
    if (uses_ != nullptr) MEZZO_TRY_VOID(uses_->AliasMoved(session, model, alias));
    return Note(session, locked, version, "alias_set", alias, before == 0 ? "" : std::to_string(before),
                std::to_string(version), by);
  };
  return db_.Transact(work, deadline);
}

Result<void> RegistryStore::DeleteAlias(const std::string& model, const std::string& alias,
                                        const std::string& by, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    MEZZO_TRY(const SqlRows gone, session.Run("DELETE FROM registry_aliases WHERE model_id = $1 AND "
                                              "alias = $2 RETURNING version",
                                              {locked.id, alias}));
    if (gone.empty()) {
      return NotFound("registry_alias_unknown",
                      "model '" + Printable(model) + "' has no alias '" + Printable(alias) + "'");
    }
    if (uses_ != nullptr) {
      MEZZO_TRY(const std::string user, uses_->AliasUserOf(session, model, alias));
      if (!user.empty()) {
        return FailedPrecondition("registry_alias_in_use", user + " names the alias '" + Printable(alias) +
                                                               "' of model '" + Printable(model) + "'");
      }
    }
    const std::int64_t version = gone.Int(0, 0);
    return Note(session, locked, version, "alias_deleted", alias, std::to_string(version), "", by);
  };
  return db_.Transact(work, deadline);
}

Result<VersionRecord> RegistryStore::Resolve(const std::string& model, const std::string& name,
                                             TimePoint deadline) {
  std::optional<VersionRecord> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    if (IsDigits(name)) {
      const std::uint64_t number = ParseUint(name).value_or(0);
      if (number > static_cast<std::uint64_t>(INT64_MAX)) return internal::NoVersion(model, INT64_MAX);
      MEZZO_TRY(found, ReadVersion(session, model, static_cast<std::int64_t>(number)));
      return {};
    }
    MEZZO_TRY(const ModelRecord of, ReadModel(session, model));
    std::optional<std::int64_t> version;
    if (name == kLatest) {
      version = of.latest;
    } else if (const auto at = of.aliases.find(name); at != of.aliases.end()) {
      version = at->second;
    }
    if (!version) {
      return NotFound("registry_alias_unknown",
                      name == kLatest ? "model '" + model + "' has no version that is ready"
                                      : "model '" + model + "' has no alias '" + Printable(name) + "'");
    }
    MEZZO_TRY(found, ReadVersion(session, model, *version));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return *std::move(found);
}

}  // namespace mezzo::lifecycle
