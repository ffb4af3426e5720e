#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/outcomes.h"
#include "mezzo/releases/release_machine.h"

namespace mezzo::releases {

/// A model's route as it stands. No route: revision 0 and no text.
struct RouteRow {
  std::int64_t revision = 0;
  std::string text;
};

/// Where routes are kept. Thread-safe; blocks.
class RouteWriter {
 public:
  virtual ~RouteWriter() = default;
  virtual Result<RouteRow> Read(const std::string& model, TimePoint deadline) = 0;
  /// Replaces the route whose revision is `expected`; the new revision. Fails with kAborted when it is
  /// another one by now, and nothing is changed then.
  virtual Result<std::int64_t> Write(const std::string& model, const std::string& text, std::int64_t expected,
                                     const std::string& who, TimePoint deadline) = 0;
};

/// What this host has of versions. Thread-safe; never blocks for long.
class HostVersions {
 public:
  enum class State : std::uint8_t { kLoading, kReady, kFailed };
  struct Readiness {
    State state = State::kLoading;
    std::string reason;   ///< Of kFailed.
    bool broken = false;  ///< It serves, but its breaker is open: it crashes, hangs or exhausts memory.
    std::string broken_reason;
  };
  virtual ~HostVersions() = default;
  /// Begins to load and warm the version when that was not begun yet, and keeps it until Release().
  virtual Readiness Keep(const std::string& model, const std::string& version) = 0;
  /// No release needs the version to be kept any more.
  virtual void Release(const std::string& model, const std::string& version) = 0;
};

/// A release with what its analysis remembers.
struct KeptRelease {
  Release release;
  std::string analysis;  ///< ReleaseAnalysis::State(); empty before its first step.
};

struct EvidenceRow {
  WallTime at;
  std::size_t step = 0;
  std::string verdict;  ///< Verdict::ToJson().
  /// It differs from the one before, or the release moved by it: such rows are kept for good, others are
  /// thinned out when they are old.
  bool turning = true;
};

/// What one recorder of one host has counted; cumulative.
struct OutcomeRow {
  std::string recorder;
  std::string series;
  std::string arm;
  OutcomeSummary summary;
};

/// What a caller thought of one answer, as it is kept.
struct FeedbackRow {
  std::string release;
  std::string request_id;
  std::string metric;
  std::string arm;
  std::string tenant;
  double value = 0;
  std::string label;
  std::string correction;
};

/// What a host says of the versions that a release needs.
struct ReadinessRow {
  std::string release;
  std::string host;
  HostVersions::Readiness readiness;
};

/// Where releases are kept, for all hosts. Thread-safe; blocks. All fail as storage::SqlDb does.
class ReleaseRows {
 public:
  virtual ~ReleaseRows() = default;
  /// Fails with kAlreadyExists "release_exists" when the model has a release that has not ended, or whose
  /// route is not restored yet.
  virtual Result<void> Create(const Transition& begun, TimePoint deadline) = 0;
  /// Fails with kNotFound "release_missing".
  virtual Result<KeptRelease> Load(const std::string& id, TimePoint deadline) = 0;
  /// What Save() keeps of one change.
  struct Change {
    const Release* release = nullptr;       ///< With the revision that was loaded.
    const std::string* analysis = nullptr;  ///< Null: as it was.
    std::vector<ReleaseEvent> events;
    std::optional<EvidenceRow> evidence;
    std::int64_t fence = 0;  ///< Not 0: only while the leader has this one.
  };
  /// All of it or nothing; the new revision. Fails with kAborted "release_conflict" when somebody else has
  /// changed the release, or leads.
  virtual Result<std::int64_t> Save(const Change& change, TimePoint deadline) = 0;
  /// Those that have not ended or whose route is pending, by id; 2,000 at most.
  virtual Result<std::vector<Release>> Open(TimePoint deadline) = 0;

  /// The fence of the leader, when that is `holder` from now for `lifetime`; 0 when somebody else leads.
  virtual Result<std::int64_t> Lead(const std::string& holder, Duration lifetime, TimePoint deadline) = 0;

  /// Says that this host lives, what its recorders counted, and what it has of versions.
  virtual Result<void> Report(const std::string& host, const std::vector<OutcomeRow>& outcomes,
                              const std::vector<ReadinessRow>& readiness, TimePoint deadline) = 0;
  /// Outcomes that were reported at `since_us` or later, with the latest time there was.
  struct Outcomes {
    std::vector<OutcomeRow> rows;
    std::int64_t latest_us = 0;
  };
  virtual Result<Outcomes> ReadOutcomes(std::int64_t since_us, TimePoint deadline) = 0;
  /// Hosts that reported within `alive`, and what they said.
  struct Fleet {
    std::vector<std::string> hosts;
    std::vector<ReadinessRow> readiness;
  };
  virtual Result<Fleet> ReadFleet(Duration alive, TimePoint deadline) = 0;

  /// Deletes outcomes and readiness of releases that have ended, and hosts that are gone, when they are
  /// `older`; thins out evidence: of looks that changed nothing one in ten minutes stays behind an hour, one
  /// in six hours behind a day. A bounded number of rows; how many. Events, verdicts and feedback stay.
  virtual Result<std::int64_t> Prune(Duration older, TimePoint deadline) = 0;
};

}  // namespace mezzo::releases
