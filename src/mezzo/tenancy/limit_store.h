#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/tenancy/limit.h"

namespace mezzo::tenancy {

/// Limits in the database. Each change counts the revision of identities up and tells kIdentitiesChannel, so
/// that every host's DirectoryFeed takes it over. Blocks. Thread-safe; many hosts share one database.
///
/// Errors beyond those named: SqlDb's.
class LimitStore {
 public:
  struct Options {
    std::size_t max_limits = 100'000;
  };
  /// `db` and `clock` outlive the store.
  LimitStore(Options options, storage::SqlDb& db, const Clock& clock)
      : options_(options), db_(db), clock_(clock) {}

  /// Adds the limit, or replaces the one of its name. CheckLimit()'s errors; kResourceExhausted
  /// "too_many_limits".
  Result<Limit> Put(const Limit& limit, TimePoint deadline);
  /// kNotFound "limit_unknown".
  Result<void> Remove(const std::string& name, TimePoint deadline);
  /// kNotFound "limit_unknown".
  Result<Limit> Get(const std::string& name, TimePoint deadline);
  /// In the order of their names, from the one after `after` on.
  Result<std::vector<Limit>> List(const std::string& after, std::size_t limit, TimePoint deadline);

 private:
  const Options options_;
  storage::SqlDb& db_;
  const Clock& clock_;
};

}  // namespace mezzo::tenancy
