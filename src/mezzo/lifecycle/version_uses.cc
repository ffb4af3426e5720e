#include "mezzo/lifecycle/version_uses.h"

namespace mezzo::lifecycle {
namespace {

using storage::SqlRows;
using storage::SqlSession;

/// The model's id, or nothing. Changes of the model wait until the transaction ends: each updates this row.
Result<std::optional<std::string>> HoldModel(SqlSession& session, storage::SqlDialect dialect,
                                             const std::string& model) {
  MEZZO_TRY(const SqlRows rows, session.Run(dialect == storage::SqlDialect::kPostgres
                                                ? "SELECT id FROM registry_models WHERE name = $1 FOR SHARE"
                                                : "SELECT id FROM registry_models WHERE name = $1",
                                            {model}));
  if (rows.empty()) return std::optional<std::string>();
  return std::optional<std::string>(rows.Text(0, 0));
}

Result<NamedVersion> StateOf(SqlSession& session, const std::string& id, std::int64_t version) {
  NamedVersion named{.version = version, .state = ""};
  MEZZO_TRY(
      const SqlRows rows,
      session.Run("SELECT state FROM registry_versions WHERE model_id = $1 AND version = $2", {id, version}));
  if (!rows.empty()) named.state = rows.Text(0, 0);
  return named;
}

}  // namespace

Result<std::optional<NamedVersion>> ReadNamedVersion(SqlSession& session, storage::SqlDialect dialect,
                                                     const std::string& model, std::int64_t version) {
  MEZZO_TRY(const auto id, HoldModel(session, dialect, model));
  if (!id) return std::optional<NamedVersion>();
  MEZZO_TRY(NamedVersion named, StateOf(session, *id, version));
  return std::optional<NamedVersion>(std::move(named));
}

Result<std::optional<NamedVersion>> ReadAlias(SqlSession& session, storage::SqlDialect dialect,
                                              const std::string& model, const std::string& alias) {
  MEZZO_TRY(const auto id, HoldModel(session, dialect, model));
  if (!id) return std::optional<NamedVersion>();
  MEZZO_TRY(
      const SqlRows rows,
      session.Run("SELECT version FROM registry_aliases WHERE model_id = $1 AND alias = $2", {*id, alias}));
  if (rows.empty()) return std::optional<NamedVersion>();
  MEZZO_TRY(NamedVersion named, StateOf(session, *id, rows.Int(0, 0)));
  return std::optional<NamedVersion>(std::move(named));
}

}  // namespace mezzo::lifecycle
