#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/drift.h"
#include "mezzo/lifecycle/version_events.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

std::span<const storage::Migration> DriftMigrations();

/// A version of a model that is watched.
struct WatchedVersion {
  std::string model;
  std::int64_t version = 0;
  friend auto operator<=>(const WatchedVersion&, const WatchedVersion&) = default;
};
/// A tensor of it.
struct WatchedTensor {
  WatchedVersion of;
  bool output = false;
  std::string name;
  friend auto operator<=>(const WatchedTensor&, const WatchedTensor&) = default;
};

/// What a tensor was like when its version began, or since somebody asked for a new beginning.
struct DriftReference {
  WatchedTensor tensor;
  std::int64_t generation = 0;  ///< Another one, another reference.
  std::uint64_t calls = 0;
  DriftHistogram histogram;
  std::string source;  ///< "first calls", or "version 3".
  WallTime made;
};

/// What one host has seen of a tensor in one slot of time; cumulative.
struct DriftWindow {
  WatchedTensor tensor;
  std::string host;
  std::int64_t generation = 0;
  std::int64_t slot = 0;  ///< Grows with time.
  std::uint64_t calls = 0;
  DriftHistogram histogram;
};

/// Since when a version has drifted.
struct DriftBreach {
  std::int64_t since_us = 0;  ///< 0: it has not.
  std::int64_t fired_us = 0;  ///< 0: nobody has been told.
};

/// References, what hosts have seen, and breaches, in the database. Blocks. Thread-safe; many hosts share it.
/// Errors: SqlDb's; kInternal "drift_row" for a row that can't be read.
class DriftStore {
 public:
  struct Options {
    std::size_t max_references = 20'000;  ///< Of all versions; further ones are not kept.
    std::size_t max_windows = 200'000;    ///< Rows that are read at once.
  };
  /// Both outlive the store; `clock` is that of all hosts.
  DriftStore(Options options, storage::SqlDb& db, const Clock& clock)
      : options_(options), db_(db), clock_(clock) {}
  /// Who is told when a drift begins and when it ends, in the transactions that say so. Before the first
  /// call.
  void set_outbox(VersionOutbox outbox) { outbox_ = std::move(outbox); }

  struct References {
    std::int64_t counter = 0;  ///< Of all changes.
    std::vector<DriftReference> all;
  };
  /// Nothing when the counter still is `known`.
  Result<std::optional<References>> Load(std::int64_t known, TimePoint deadline);
  /// Keeps it unless the tensor has a reference already: the first host's holds.
  Result<void> Propose(const DriftReference& reference, TimePoint deadline);
  /// Forgets the version's references, what was seen since, and its breach: the next calls are its reference;
  /// or, with `from`, the references of that version are. kNotFound "drift_unknown" when the version (`from`
  /// likewise) has no reference.
  Result<void> Reset(const WatchedVersion& version, std::optional<std::int64_t> from, TimePoint deadline);

  Result<void> Write(const std::vector<DriftWindow>& windows, TimePoint deadline);
  /// Of slots from `first` on, of one model or (empty) of all, of all hosts.
  Result<std::vector<DriftWindow>> Windows(const std::string& model, std::int64_t first, TimePoint deadline);
  /// Removes windows of slots below `first`, and references of versions that the registry has deleted since;
  /// ends breaches of those, and of archived ones.
  Result<void> Prune(std::int64_t first, TimePoint deadline);

  /// It has drifted at this moment: since when.
  Result<DriftBreach> NoteBreach(const WatchedVersion& version, TimePoint deadline);
  /// It has not; whether it had. One that somebody has been told of ends with "version.drift.ended".
  Result<bool> EndBreach(const WatchedVersion& version, TimePoint deadline);
  /// Somebody is told of the breach that began then, with "version.drift.began" and `data` (a JSON object);
  /// false: by another host, before.
  Result<bool> MarkFired(const WatchedVersion& version, std::int64_t since_us, const std::string& data,
                         TimePoint deadline);
  Result<std::map<WatchedVersion, DriftBreach>> Breaches(TimePoint deadline);

  /// Thresholds that models' tags name ("drift.psi").
  Result<std::map<std::string, double>> Thresholds(TimePoint deadline);

 private:
  [[nodiscard]] std::int64_t NowMicros() const;
  /// Deletes the breach; whether there was one.
  Result<bool> End(storage::SqlSession& session, const WatchedVersion& version,
                   const std::string& reason) const;
  Result<void> Tell(storage::SqlSession& session, const WatchedVersion& version, const std::string& what,
                    const std::string& data) const;

  const Options options_;
  storage::SqlDb& db_;
  const Clock& clock_;
  VersionOutbox outbox_;
};

/// A tensor's reference and what all hosts have seen of it lately.
struct DriftFinding {
  DriftReference reference;
  std::uint64_t calls = 0;
  DriftHistogram now;
  std::optional<double> psi;  ///< Nothing while fewer than `min_calls` were seen, as the next.
  std::optional<KolmogorovSmirnov> ks;
};
/// One finding for each reference. Windows of another generation are left out.
std::vector<DriftFinding> CompareWindows(const std::vector<DriftReference>& references,
                                         const std::vector<DriftWindow>& windows, std::uint64_t min_calls);

}  // namespace mezzo::lifecycle
