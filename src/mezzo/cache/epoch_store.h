#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"
#include "mezzo/cache/tenant_epochs.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::cache {

/// Where hosts hear that epochs have risen.
inline constexpr const char* kEpochsChannel = "mezzo_cache_epochs";

/// Of the module "cache".
std::span<const storage::Migration> EpochMigrations();

/// The epochs of all models, as one reading of the database found them.
struct Epochs {
  std::int64_t revision = 0;  ///< Counts every change.
  std::uint64_t all = 0;      ///< How often all models' epochs were raised together.
  std::map<std::string, std::uint64_t, std::less<>> models;  ///< How often each was by itself.
  TenantEpochs::Counts tenants;                              ///< How often tenants' own parts were.

  /// Grows whenever the model's own epoch or that of all does, so what has an older one is out of date. 1, as
  /// ResultCache begins, for a model that was never raised.
  [[nodiscard]] std::uint64_t Of(std::string_view model) const {
    const auto found = models.find(model);
    return 1 + all + (found == models.end() ? 0 : found->second);
  }
};

/// What a host is about to serve under a name.
struct Publication {
  std::string model;
  std::string version;
  Sha256Digest content{};  ///< Of the files and the configuration.
  /// Equal content counts as a change, too: a reload that somebody asked for.
  bool again = false;
};

/// What hosts agree on about the age of results: every model name has a number in the database, and results
/// computed under a lower one are not served. Thread-safe; blocks.
class EpochStore {
 public:
  explicit EpochStore(storage::SqlDb& db) : db_(db) {}

  /// Within a transaction that publishes, rolls back or takes away what the model's name stands for: when it
  /// commits, all hosts are told. An empty name: every model's. Errors: kInvalidArgument "model_name" beyond
  /// 256 bytes, and the database's.
  static Result<void> Raise(storage::SqlSession& session, std::string_view model);
  /// The same in a transaction of its own.
  Result<void> Raise(std::string_view model, TimePoint deadline);

  /// Within a transaction: only what the tenant's calls were answered, of one model or (an empty name) of
  /// all. A model that no host has ever published takes no place: nothing of it is kept.
  static Result<void> RaiseTenant(storage::SqlSession& session, std::string_view tenant,
                                  std::string_view model);
  Result<void> RaiseTenant(std::string_view tenant, std::string_view model, TimePoint deadline);

  /// Within the transaction that makes the publication known: raises the model's epoch unless this content
  /// is what the database has under the name and version already, as other hosts that publish the same find
  /// it; corrections of another content are forgotten with it. Whether it was raised. `now_us`: microseconds
  /// since the Unix epoch.
  static Result<bool> Publish(storage::SqlSession& session, const Publication& publication,
                              std::int64_t now_us);
  Result<bool> Publish(const Publication& publication, std::int64_t now_us, TimePoint deadline);
  /// The version is no longer served by a host: raises the model's epoch unless that was said already. Hosts
  /// that still serve it go on, under the new epoch. Whether it was raised.
  static Result<bool> Withdraw(storage::SqlSession& session, std::string_view model, std::string_view version,
                               std::int64_t now_us);
  Result<bool> Withdraw(std::string_view model, std::string_view version, std::int64_t now_us,
                        TimePoint deadline);

  /// What a transaction calls first that changes what hosts know of the cache by other means: it makes hosts
  /// read again, and changes come one after the other.
  static Result<void> CountChange(storage::SqlSession& session);

  /// All epochs; nothing when the revision still is `known`.
  Result<std::optional<Epochs>> Load(std::int64_t known, TimePoint deadline);

 private:
  storage::SqlDb& db_;
};

}  // namespace mezzo::cache
