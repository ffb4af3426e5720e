#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
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

  /// Grows whenever the model's own epoch or that of all does, so what has an older one is out of date. 1, as
  /// ResultCache begins, for a model that was never raised.
  [[nodiscard]] std::uint64_t Of(std::string_view model) const {
    const auto found = models.find(model);
    return 1 + all + (found == models.end() ? 0 : found->second);
  }
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

  /// All epochs; nothing when the revision still is `known`.
  Result<std::optional<Epochs>> Load(std::int64_t known, TimePoint deadline);

 private:
  storage::SqlDb& db_;
};

}  // namespace mezzo::cache
