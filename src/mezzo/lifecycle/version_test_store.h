#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

std::span<const storage::Migration> VersionTestMigrations();

/// Which host tests which version, and what came of it, in the database. A test
/// is held by a lease: one host has it at a time, and another takes it when the
/// lease has ended. Blocks. Thread-safe. Errors: SqlDb's.
class VersionTestStore {
 public:
  /// Both outlive the store; `clock` is that of all hosts.
  VersionTestStore(storage::SqlDb& db, const Clock& clock) : db_(db), clock_(clock) {}

  /// A version of a model, by the id that stays when the model is renamed.
  struct Subject {
    std::string model_id;
    std::int64_t version = 0;
  };
  /// What must hold for a write to count.
  struct Held {
    Subject subject;
    std::string host;
    std::int64_t attempt = 0;  ///< From 1; a new test of a version that had been
                               ///< tested begins at 1 again.
  };
  /// Takes the test for `lease`; nothing while another has it.
  Result<std::optional<Held>> Claim(const Subject& subject, const std::string& host, Duration lease,
                                    TimePoint deadline);
  /// False: the lease had been lost.
  Result<bool> Renew(const Held& held, Duration lease, TimePoint deadline);
  /// Gives the test back, as if it had not been taken, to be taken again after
  /// `pause`.
  Result<void> Release(const Held& held, Duration pause, TimePoint deadline);
  /// Keeps the report, and ends the lease. False: it had been lost.
  Result<bool> Finish(const Held& held, const std::string& report, TimePoint deadline);
  /// Of the last test that has ended.
  Result<std::optional<std::string>> ReportOf(const Subject& subject, TimePoint deadline);
  /// Forgets the tests of versions that are gone. How many.
  Result<std::int64_t> Prune(TimePoint deadline);

 private:
  [[nodiscard]] std::int64_t Micros(Duration after = {}) const;

  storage::SqlDb& db_;
  const Clock& clock_;
};

}  // namespace mezzo::lifecycle
