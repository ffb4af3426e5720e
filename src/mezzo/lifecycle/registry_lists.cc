#include <algorithm>
#include <map>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/internal/registry_rows.h"
#include "mezzo/lifecycle/internal/where.h"
#include "mezzo/lifecycle/registry_store.h"

namespace mezzo::lifecycle {
namespace {

using internal::FromMicros;
using internal::kModelColumns;
using internal::kVersionColumns;
using internal::LimitText;
using internal::ToMicros;
using storage::SqlDialect;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlValue;

/// With what only the registry is asked for.
class RegistryWhere : public internal::Where {
 public:
  using Where::Where;

  void AndEquals(const std::string& column, const std::string& value) {
    And(column + " = " + Parameter(value));
  }
  void AndMatches(const std::string& column, NameMatch match, const std::string& name) {
    switch (match) {
      case NameMatch::kAny:
        return;
      case NameMatch::kEquals:
        return AndEquals(column, name);
      case NameMatch::kPrefix: {
        const std::string length = Parameter(static_cast<std::int64_t>(name.size()));
        return And("SUBSTR(" + column + ", 1, CAST(" + length + " AS INTEGER)) = " + Parameter(name));
      }
      case NameMatch::kLike:
      case NameMatch::kILike:
        return And(IsLike(column, match == NameMatch::kILike, name));
    }
  }
  /// `tags` is a table of tags, and `of` what joins it.
  void AndCondition(const RegistryCondition& condition, const std::string& tags, const std::string& of) {
    using Field = RegistryCondition::Field;
    const auto compared = [&](const char* column) {
      return Compared(column, condition.comparison, condition.values);
    };
    switch (condition.field) {
      case Field::kName:
        return And(compared("m.name"));
      case Field::kRunId:
        return And(compared("v.run_id"));
      case Field::kSource:
        return And(compared("v.source"));
      case Field::kVersion:
        return And("v.version " + Sign(condition.comparison) + " " + Parameter(condition.number));
      case Field::kTag:
        break;
    }
    const bool lacks = condition.comparison == SearchComparison::kLacks;
    const std::string key = Parameter(condition.key);
    const std::string value =
        lacks ? "t.tag_value = " + Parameter(condition.values.front()) : compared("t.tag_value");
    And((lacks ? "NOT " : "") + ("EXISTS (SELECT 1 FROM " + tags + " t WHERE " + of) +
        " AND t.tag_key = " + key + " AND " + value + ")");
  }
  void AndVisible(const std::optional<TenantId>& tenant) {
    if (tenant) And("m.tenant IN ('', " + Parameter(tenant->str()) + ")");
  }
};

/// Of a name.
Result<void> CheckName(NameMatch match, std::string_view pattern) {
  if (match == NameMatch::kAny) return {};
  return internal::CheckPattern(match == NameMatch::kLike || match == NameMatch::kILike, pattern);
}

Result<void> CheckConditions(const std::vector<RegistryCondition>& conditions) {
  using C = SearchComparison;
  for (const RegistryCondition& condition : conditions) {
    const bool number = condition.field == RegistryCondition::Field::kVersion;
    MEZZO_CHECK(number || !condition.values.empty());
    if (condition.comparison == C::kLike || condition.comparison == C::kILike) {
      MEZZO_TRY_VOID(internal::CheckPattern(true, condition.values.front()));
    }
  }
  return {};
}

Error BadToken(std::string_view token) {
  return InvalidArgument("registry_page_token",
                         "'" + Printable(token) + "' is not where a page of this list ends");
}

bool IsDown(RegistryOrder order) {
  return order == RegistryOrder::kNameDown || order == RegistryOrder::kTimeDown ||
         order == RegistryOrder::kCreatedDown;
}
bool IsByTime(RegistryOrder order) {
  return order == RegistryOrder::kTime || order == RegistryOrder::kTimeDown;
}
bool IsByCreation(RegistryOrder order) {
  return order == RegistryOrder::kCreated || order == RegistryOrder::kCreatedDown;
}

Result<std::int64_t> NumberOf(std::string_view text, std::string_view token) {
  const auto number = ParseUint(text);
  if (!number || *number > static_cast<std::uint64_t>(INT64_MAX)) return BadToken(token);
  return static_cast<std::int64_t>(*number);
}

/// Rows of `table` under the pairs (model_id, version) in parameters $1 and $2. On PostgreSQL each pair is
/// looked up by itself: without statistics (new tables), or with
/// those of when the table was small, a join would be planned as a walk over everything.
std::string OfKeys(SqlDialect dialect, std::string_view columns, std::string_view table) {
  const std::string t(table);
  if (dialect == SqlDialect::kPostgres) {
    return "SELECT t.* FROM unnest($1::text[], $2::bigint[]) AS k(model_id, version) CROSS JOIN LATERAL "
           "(SELECT " +
           std::string(columns) + " FROM " + t +
           " r WHERE r.model_id = k.model_id AND r.version = k.version OFFSET 0) t";
  }
  return "SELECT " + std::string(columns) +
         " FROM json_each($1) a JOIN json_each($2) b ON a.key = b.key JOIN " + t +
         " r ON r.model_id = a.value AND r.version = b.value";
}
/// `columns` of `table` under the model ids in parameter $1, one look-up for each, as in OfKeys.
std::string OfModels(SqlDialect dialect, std::string_view columns, std::string_view table) {
  const std::string rows =
      "SELECT " + std::string(columns) + " FROM " + std::string(table) + " r WHERE r.model_id ";
  if (dialect == SqlDialect::kSqlite) return rows + "IN (SELECT value FROM json_each($1))";
  return "SELECT t.* FROM unnest($1::text[]) AS k(model_id) CROSS JOIN LATERAL (" + rows +
         "= k.model_id OFFSET 0) t";
}
/// The newest version that is ready of each of the models in parameter $1.
std::string NewestReady(SqlDialect dialect) {
  const bool postgres = dialect == SqlDialect::kPostgres;
  const std::string id = postgres ? "k.model_id" : "k.value";
  return "SELECT " + id + ", (SELECT r.version FROM registry_versions r WHERE r.model_id = " + id +
         " AND r.state = 'ready' ORDER BY r.version DESC LIMIT 1) FROM " +
         (postgres ? "unnest($1::text[]) AS k(model_id)" : "json_each($1) k");
}
/// The newest version of each stage of each of the models in parameter $1.
std::string NewestOfStages(SqlDialect dialect) {
  return "SELECT model_id, MAX(version) AS version FROM (" +
         OfModels(dialect, "r.model_id, r.stage, r.version", "registry_versions") +
         ") v GROUP BY model_id, stage";
}

}  // namespace

Result<std::vector<ModelRecord>> RegistryStore::Complete(SqlSession& session,
                                                         std::vector<ModelRecord> models) const {
  if (models.empty()) return models;
  std::vector<std::string> ids;
  std::map<std::string, ModelRecord*> by_id;
  for (ModelRecord& model : models) {
    ids.push_back(model.id);
    by_id.emplace(model.id, &model);
  }
  struct Texts {
    std::string tags;
    std::string aliases;
    std::string latest;
  };
  static const auto texts = [](SqlDialect dialect) {
    return Texts{.tags = OfModels(dialect, "r.model_id, r.tag_key, r.tag_value", "registry_model_tags"),
                 .aliases = OfModels(dialect, "r.model_id, r.alias, r.version", "registry_aliases"),
                 .latest = NewestReady(dialect)};
  };
  static const Texts sql_of[] = {texts(SqlDialect::kSqlite), texts(SqlDialect::kPostgres)};
  const Texts& sql = sql_of[static_cast<std::size_t>(db_.dialect())];
  MEZZO_TRY(const SqlRows tags, session.Run(sql.tags, {ids}));
  for (std::size_t row = 0; row < tags.size(); ++row) {
    by_id.at(tags.Text(row, 0))->tags.emplace(tags.Text(row, 1), tags.Text(row, 2));
  }
  MEZZO_TRY(const SqlRows aliases, session.Run(sql.aliases, {ids}));
  for (std::size_t row = 0; row < aliases.size(); ++row) {
    by_id.at(aliases.Text(row, 0))->aliases.emplace(aliases.Text(row, 1), aliases.Int(row, 2));
  }
  MEZZO_TRY(const SqlRows latest, session.Run(sql.latest, {ids}));
  for (std::size_t row = 0; row < latest.size(); ++row) {
    if (!latest.IsNull(row, 1)) by_id.at(latest.Text(row, 0))->latest = latest.Int(row, 1);
  }
  return models;
}

Result<std::vector<VersionRecord>> RegistryStore::Complete(SqlSession& session,
                                                           std::vector<VersionRecord> versions) const {
  if (versions.empty()) return versions;
  std::vector<std::string> ids;
  std::vector<std::int64_t> numbers;
  std::map<std::pair<std::string, std::int64_t>, VersionRecord*> by_key;
  for (VersionRecord& version : versions) {
    ids.push_back(version.model_id);
    numbers.push_back(version.version);
    by_key.emplace(std::pair(version.model_id, version.version), &version);
  }
  static const std::string tags_sql[] = {
      OfKeys(SqlDialect::kSqlite, "r.model_id, r.version, r.tag_key, r.tag_value", "registry_version_tags"),
      OfKeys(SqlDialect::kPostgres, "r.model_id, r.version, r.tag_key, r.tag_value",
             "registry_version_tags")};
  static const std::string aliases_sql[] = {
      OfKeys(SqlDialect::kSqlite, "r.model_id, r.version, r.alias", "registry_aliases"),
      OfKeys(SqlDialect::kPostgres, "r.model_id, r.version, r.alias", "registry_aliases")};
  const auto dialect = static_cast<std::size_t>(db_.dialect());
  MEZZO_TRY(const SqlRows tags, session.Run(tags_sql[dialect], {ids, numbers}));
  for (std::size_t row = 0; row < tags.size(); ++row) {
    by_key.at({tags.Text(row, 0), tags.Int(row, 1)})->tags.emplace(tags.Text(row, 2), tags.Text(row, 3));
  }
  MEZZO_TRY(const SqlRows aliases, session.Run(aliases_sql[dialect], {ids, numbers}));
  for (std::size_t row = 0; row < aliases.size(); ++row) {
    by_key.at({aliases.Text(row, 0), aliases.Int(row, 1)})->aliases.push_back(aliases.Text(row, 2));
  }
  for (VersionRecord& version : versions) std::sort(version.aliases.begin(), version.aliases.end());
  return versions;
}

Result<RegistryPage<ModelRecord>> RegistryStore::ListModels(const ModelQuery& query, const std::string& token,
                                                            std::size_t limit, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckName(query.match, query.name));
  MEZZO_TRY_VOID(CheckTags(query.tags));
  MEZZO_TRY_VOID(CheckConditions(query.conditions));
  RegistryWhere where(db_.dialect());
  where.AndMatches("m.name", query.match, query.name);
  where.AndVisible(query.visible_to);
  for (const auto& [key, value] : query.tags) {
    const std::string k = where.Parameter(key);
    where.And("EXISTS (SELECT 1 FROM registry_model_tags t WHERE t.model_id = m.id AND t.tag_key = " + k +
              " AND t.tag_value = " + where.Parameter(value) + ")");
  }
  if (!query.alias.empty()) {
    where.And("EXISTS (SELECT 1 FROM registry_aliases a WHERE a.model_id = m.id AND a.alias = " +
              where.Parameter(query.alias) + ")");
  }
  for (const RegistryCondition& condition : query.conditions) {
    where.AndCondition(condition, "registry_model_tags", "t.model_id = m.id");
  }
  const bool by_time = IsByTime(query.order);
  const bool by_creation = IsByCreation(query.order);  // By id, which is a UUID of version 7.
  const std::string than = IsDown(query.order) ? " < " : " > ";
  const std::string way = IsDown(query.order) ? " DESC" : "";
  if (!token.empty()) {
    if (by_creation) {
      if (!IsSafeName(token)) return BadToken(token);
      where.And("m.id" + than + where.Parameter(token));
    } else if (by_time) {
      const auto parts = Split(token, '/');
      if (parts.size() != 2) return BadToken(token);
      MEZZO_TRY(const std::int64_t time, NumberOf(parts[0], token));
      const std::string t = where.Parameter(time);
      where.And("(m.updated_us, m.name)" + than + "(" + t + ", " + where.Parameter(std::string(parts[1])) +
                ")");
    } else {
      if (!IsSafeName(token)) return BadToken(token);
      where.And("m.name" + than + where.Parameter(token));
    }
  }
  const std::string sql = "SELECT " + std::string(kModelColumns) + " FROM registry_models m" + where.text() +
                          " ORDER BY " + (by_time ? "m.updated_us" + way + ", " : "") +
                          (by_creation ? "m.id" : "m.name") + way + LimitText(limit);
  const std::vector<SqlValue> params = where.TakeParams();
  RegistryPage<ModelRecord> page;
  const auto work = [&](SqlSession& session) -> Result<void> {
    page = {};
    MEZZO_TRY(const SqlRows rows, session.Run(sql, params));
    for (std::size_t row = 0; row < std::min(rows.size(), limit); ++row) {
      page.records.push_back(internal::ModelAt(rows, row));
    }
    if (rows.size() > limit) {
      const ModelRecord& last = page.records.back();
      page.next = by_creation ? last.id
                  : by_time   ? std::to_string(ToMicros(last.updated)) + "/" + last.name
                              : last.name;
    }
    MEZZO_TRY(page.records, Complete(session, std::move(page.records)));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return page;
}

Result<RegistryPage<VersionRecord>> RegistryStore::ListVersions(const VersionQuery& query,
                                                                const std::string& token, std::size_t limit,
                                                                TimePoint deadline) {
  MEZZO_TRY_VOID(CheckName(query.match, query.model));
  MEZZO_TRY_VOID(CheckTags(query.tags));
  MEZZO_TRY_VOID(CheckConditions(query.conditions));
  RegistryWhere where(db_.dialect());
  where.AndMatches("m.name", query.match, query.model);
  where.AndVisible(query.visible_to);
  if (query.state) where.AndEquals("v.state", std::string(VersionStateName(*query.state)));
  if (!query.run_id.empty()) where.AndEquals("v.run_id", query.run_id);
  if (!query.digest.empty()) where.AndEquals("v.digest", query.digest);
  for (const auto& [key, value] : query.tags) {
    const std::string k = where.Parameter(key);
    where.And(
        "EXISTS (SELECT 1 FROM registry_version_tags t WHERE t.model_id = v.model_id AND "
        "t.version = v.version AND t.tag_key = " +
        k + " AND t.tag_value = " + where.Parameter(value) + ")");
  }
  if (!query.alias.empty()) {
    where.And(
        "EXISTS (SELECT 1 FROM registry_aliases a WHERE a.model_id = v.model_id AND "
        "a.version = v.version AND a.alias = " +
        where.Parameter(query.alias) + ")");
  }
  for (const RegistryCondition& condition : query.conditions) {
    where.AndCondition(condition, "registry_version_tags",
                       "t.model_id = v.model_id AND t.version = v.version");
  }
  const bool by_creation = IsByCreation(query.order);
  const bool by_time = by_creation || IsByTime(query.order);
  const std::string time_column = by_creation ? "v.created_us" : "v.updated_us";
  const std::string than = IsDown(query.order) ? " < " : " > ";
  const std::string way = IsDown(query.order) ? " DESC" : "";
  if (!token.empty()) {
    const auto parts = Split(token, '/');
    if (parts.size() != (by_time ? 3U : 2U)) return BadToken(token);
    std::string keys;
    if (by_time) {
      MEZZO_TRY(const std::int64_t time, NumberOf(parts[0], token));
      keys = where.Parameter(time) + ", ";
    }
    keys += where.Parameter(std::string(parts[parts.size() - 2])) + ", ";
    MEZZO_TRY(const std::int64_t version, NumberOf(parts.back(), token));
    keys += where.Parameter(version);
    where.And((by_time ? "(" + time_column + ", v.model_id, v.version)" : "(m.name, v.version)") + than +
              "(" + keys + ")");
  }
  const std::string order = by_time ? time_column + way + ", v.model_id" + way + ", v.version" + way
                                    : "m.name" + way + ", v.version" + way;
  const std::string sql = "SELECT " + std::string(kVersionColumns) +
                          " FROM registry_versions v JOIN registry_models m ON m.id = v.model_id" +
                          where.text() + " ORDER BY " + order + LimitText(limit);
  const std::vector<SqlValue> params = where.TakeParams();
  RegistryPage<VersionRecord> page;
  const auto work = [&](SqlSession& session) -> Result<void> {
    page = {};
    MEZZO_TRY(const SqlRows rows, session.Run(sql, params));
    for (std::size_t row = 0; row < std::min(rows.size(), limit); ++row) {
      page.records.push_back(internal::VersionAt(rows, row));
    }
    if (rows.size() > limit) {
      const VersionRecord& last = page.records.back();
      const WallTime time = by_creation ? last.created : last.updated;
      page.next = (by_time ? std::to_string(ToMicros(time)) + "/" + last.model_id : last.model) + "/" +
                  std::to_string(last.version);
    }
    MEZZO_TRY(page.records, Complete(session, std::move(page.records)));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return page;
}

Result<std::vector<VersionRecord>> RegistryStore::NewestByStage(const std::vector<std::string>& model_ids,
                                                                TimePoint deadline) {
  static const auto text = [](SqlDialect dialect) {
    return "SELECT " + std::string(kVersionColumns) + " FROM (" + NewestOfStages(dialect) +
           ") n JOIN registry_versions v ON v.model_id = n.model_id AND "
           "v.version = n.version JOIN registry_models m ON m.id = v.model_id ORDER BY m.name, v.version";
  };
  static const std::string sql[] = {text(SqlDialect::kSqlite), text(SqlDialect::kPostgres)};
  std::vector<VersionRecord> versions;
  const auto work = [&](SqlSession& session) -> Result<void> {
    versions.clear();
    MEZZO_TRY(const SqlRows rows, session.Run(sql[static_cast<std::size_t>(db_.dialect())], {model_ids}));
    for (std::size_t row = 0; row < rows.size(); ++row) versions.push_back(internal::VersionAt(rows, row));
    MEZZO_TRY(versions, Complete(session, std::move(versions)));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return versions;
}

// --- History

namespace {

/// Of the model that has the name, or of the last one that had it.
Result<std::string> IdOf(SqlSession& session, const std::string& model) {
  MEZZO_TRY(SqlRows rows, session.Run("SELECT id FROM registry_models WHERE name = $1", {model}));
  if (rows.empty()) {
    MEZZO_TRY(rows, session.Run("SELECT model_id FROM registry_events WHERE model = $1 "
                                "ORDER BY seq DESC LIMIT 1",
                                {model}));
  }
  if (rows.empty()) return internal::NoModel(model);
  return rows.Text(0, 0);
}

}  // namespace

Result<std::vector<RegistryEvent>> RegistryStore::History(const std::string& model, const HistoryQuery& query,
                                                          std::size_t limit, TimePoint deadline) {
  std::vector<RegistryEvent> events;
  const auto work = [&](SqlSession& session) -> Result<void> {
    events.clear();
    MEZZO_TRY(const std::string id, IdOf(session, model));
    RegistryWhere where(db_.dialect());
    where.AndEquals("model_id", id);
    if (query.before > 0) where.And("seq < " + where.Parameter(query.before));
    if (query.version) where.And("version = " + where.Parameter(*query.version));
    if (!query.alias.empty()) {
      where.And("kind IN ('alias_set', 'alias_deleted') AND field = " + where.Parameter(query.alias));
    }
    const std::string sql =
        "SELECT seq, model, version, kind, field, before_text, after_text, at_us, who FROM registry_events" +
        where.text() + " ORDER BY seq DESC LIMIT " + where.Parameter(static_cast<std::int64_t>(limit));
    MEZZO_TRY(const SqlRows rows, session.Run(sql, where.TakeParams()));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      RegistryEvent event;
      event.number = rows.Int(row, 0);
      event.model = rows.Text(row, 1);
      if (!rows.IsNull(row, 2)) event.version = rows.Int(row, 2);
      event.kind = rows.Text(row, 3);
      event.field = rows.Text(row, 4);
      event.before = rows.Text(row, 5);
      event.after = rows.Text(row, 6);
      event.at = FromMicros(rows.Int(row, 7));
      event.by = rows.Text(row, 8);
      events.push_back(std::move(event));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return events;
}

Result<RegistryMoment> RegistryStore::At(const std::string& model, WallTime at, TimePoint deadline) {
  RegistryMoment moment;
  const std::int64_t until = ToMicros(at);
  const auto work = [&](SqlSession& session) -> Result<void> {
    moment = {};
    MEZZO_TRY(const std::string id, IdOf(session, model));
    // The last word on each alias, on each version, and on each version on each host.
    MEZZO_TRY(const SqlRows aliases,
              session.Run("SELECT e.field, e.version FROM registry_events e JOIN (SELECT MAX(seq) AS last "
                          "FROM registry_events WHERE model_id = $1 AND kind IN ('alias_set', "
                          "'alias_deleted') AND at_us <= $2 GROUP BY field) l ON l.last = e.seq "
                          "WHERE e.kind = 'alias_set' ORDER BY e.field LIMIT 1000",
                          {id, until}));
    for (std::size_t row = 0; row < aliases.size(); ++row) {
      moment.aliases.emplace(aliases.Text(row, 0), aliases.Int(row, 1));
    }
    MEZZO_TRY(const SqlRows latest,
              session.Run("SELECT e.version FROM registry_events e JOIN (SELECT MAX(seq) AS last FROM "
                          "registry_events WHERE model_id = $1 AND kind IN ('version_created', "
                          "'version_state', 'version_deleted') AND at_us <= $2 GROUP BY version) l "
                          "ON l.last = e.seq WHERE e.after_text = 'ready' ORDER BY e.version DESC LIMIT 1",
                          {id, until}));
    if (!latest.empty()) moment.latest = latest.Int(0, 0);
    MEZZO_TRY(const SqlRows served,
              session.Run("SELECT e.version, e.field FROM registry_events e JOIN (SELECT MAX(seq) AS last "
                          "FROM registry_events WHERE model_id = $1 AND kind IN ('served', 'withdrawn') "
                          "AND at_us <= $2 GROUP BY version, field) l ON l.last = e.seq "
                          "WHERE e.kind = 'served' ORDER BY e.version, e.field LIMIT 1000",
                          {id, until}));
    for (std::size_t row = 0; row < served.size(); ++row) {
      moment.served.push_back({.version = served.Int(row, 0), .host = served.Text(row, 1)});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return moment;
}

Result<void> RegistryStore::NoteServing(const std::string& model, std::int64_t version,
                                        const std::string& host, bool begun, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const Locked locked, Lock(session, model));
    MEZZO_TRY(const SqlRows last,
              session.Run("SELECT kind FROM registry_events WHERE model_id = $1 AND version = $2 AND "
                          "field = $3 AND kind IN ('served', 'withdrawn') ORDER BY seq DESC LIMIT 1",
                          {locked.id, version, host}));
    const std::string kind = begun ? "served" : "withdrawn";
    if (last.empty() ? !begun : last.Text(0, 0) == kind) return {};  // Known.
    return Note(session, locked, version, kind, host, begun ? "" : std::to_string(version),
                begun ? std::to_string(version) : "", host);
  };
  return db_.Transact(work, deadline);
}

}  // namespace mezzo::lifecycle
