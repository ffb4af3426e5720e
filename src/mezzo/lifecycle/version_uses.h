#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

/// What depends on the registry's names beyond it: routes and releases. Each call is part of the transaction
/// that changes the registry, which has locked the model's row. Thread-safe. Errors: the database's.
class VersionUses {
 public:
  virtual ~VersionUses() = default;
  /// Who needs the version, or, without one, the model under its name: "the route of model 'm'". Empty:
  /// nobody.
  virtual Result<std::string> UserOf(storage::SqlSession& session, const std::string& model,
                                     std::optional<std::int64_t> version) = 0;
  /// Who names the alias; empty: nobody.
  virtual Result<std::string> AliasUserOf(storage::SqlSession& session, const std::string& model,
                                          const std::string& alias) = 0;
  /// The alias stands for another version when the transaction commits: what depends on it is to follow.
  virtual Result<void> AliasMoved(storage::SqlSession& session, const std::string& model,
                                  const std::string& alias) = 0;
};

/// What the registry has of the names that somebody is about to rely on.
struct NamedVersion {
  std::int64_t version = 0;
  std::string state;  ///< VersionStateName(); empty: there is no such version.
};

/// Within a transaction: what the registry has of the model's version, or of what an alias stands for;
/// nothing when it has no such model, or no such alias. Until the transaction ends neither can be archived,
/// deleted or moved.
Result<std::optional<NamedVersion>> ReadNamedVersion(storage::SqlSession& session,
                                                     storage::SqlDialect dialect, const std::string& model,
                                                     std::int64_t version);
Result<std::optional<NamedVersion>> ReadAlias(storage::SqlSession& session, storage::SqlDialect dialect,
                                              const std::string& model, const std::string& alias);

}  // namespace mezzo::lifecycle
