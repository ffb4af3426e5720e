#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/outcomes.h"
#include "mezzo/releases/release_analysis.h"
#include "mezzo/releases/release_machine.h"
#include "mezzo/releases/release_ports.h"

namespace mezzo::releases {

/// Drives releases by rounds: every host says what it counted and what it has loaded; the one that leads sums
/// it up, judges, and moves routes. The lease only saves work: two leaders at once, or one that slept, can
/// change nothing that the other has not seen, because
/// - a release is saved only over the revision that was read, and only by the holder of the fence, and
/// - a route is written in this order: read the route, see that the release is still as it was, replace the
///   route that was read. Whoever saves the release later writes its route later, over the one that is there.
///
/// A release is saved before its route is written and again when it is, so that after a crash anywhere the
/// next round finds what is left to do. Not thread-safe, but any number may work on the same rows.
class ReleaseDriver {
 public:
  struct Options {
    Duration lease = std::chrono::seconds(5);
    Duration alive = std::chrono::seconds(10);  ///< A host that has said nothing for so long is gone.
    Duration idle_report = std::chrono::seconds(3);
    Duration evidence_period = std::chrono::seconds(10);  ///< Of what is kept of an unchanged verdict.
    /// Of what the analysis of an unchanged release remembers: whoever leads next takes what came since as
    /// one look.
    Duration save_period = std::chrono::seconds(5);
    /// Outcomes are reported as often as rounds come, but take at most this part of the time.
    double report_share = 0.2;
    Duration route_check = std::chrono::seconds(5);  ///< Whether somebody else has changed a route.
    /// Of a round's driving. What it does not reach comes first in the next one: each round renews the lease
    /// and says that this host lives.
    Duration turn = std::chrono::seconds(2);
  };
  /// All outlive the driver. `clock` is the hosts' shared one.
  struct Ports {
    ReleaseRows& rows;
    RouteWriter& routes;
    HostVersions& versions;
    OutcomeBoard& board;
    const Clock& clock;
  };
  /// `host` names this process, and no other at any time.
  ReleaseDriver(Options options, Ports ports, std::string host)
      : options_(options), ports_(ports), host_(std::move(host)) {}

  struct Round {
    bool leads = false;
    std::size_t open = 0;
    std::size_t left = 0;       ///< Open ones that the turn was too short for.
    std::vector<Error> errors;  ///< Of single releases; the others were driven all the same.
  };
  /// One round; once a second. Fails when the database can't be read or written.
  Result<Round> Run(TimePoint deadline);

 private:
  /// What the leader remembers of a release.
  struct Known {
    std::int64_t revision = 0;
    std::optional<ReleaseAnalysis> analysis;
    std::string verdict;  ///< Its action, when evidence was last kept,
    WallTime kept{};      ///< and when that was.
    TimePoint saved{};
    TimePoint route_checked{};
    bool foreign = false;
  };
  struct Seen {
    ReleaseRows::Fleet fleet;
    std::int64_t fence = 0;
  };

  Result<void> Report(const std::vector<Release>& open, TimePoint deadline);
  /// Adds what has new outcomes to moved_.
  Result<void> Gather(const std::vector<Release>& open, TimePoint deadline);
  Result<void> Drive(Release release, const Seen& seen, TimePoint deadline);
  [[nodiscard]] Observation Observe(const Release& release, const Seen& seen) const;
  Result<void> CheckRoute(const Release& release, Known& known, TimePoint deadline);
  [[nodiscard]] ArmSummaries Totals(const std::string& series) const;
  void ForgetLeading();

  const Options options_;
  const Ports ports_;
  const std::string host_;
  // This host's part.
  TimePoint reported_{};
  TimePoint next_outcomes_{};
  std::map<std::string, OutcomeSummary> written_;                // By recorder.
  std::map<std::string, std::string> said_;                      // Of readiness, by release.
  std::set<std::pair<std::string, std::string>> kept_versions_;  // Model and version.
  std::map<std::string, TimePoint> idle_series_;                 // Not of an open release, since when.
  // The leader's part.
  std::map<std::string, Known> known_;          // By release.
  std::map<std::string, OutcomeRow> gathered_;  // By recorder.
  std::int64_t gathered_us_ = 0;
  std::set<std::string> moved_;  // Series whose new outcomes no look has taken yet.
  std::string driven_;           // The release that the last turn ended with; empty: it came to the end.
};

/// Begins a release, from any host. `id` is a new UUIDv7. Fails as ReleaseRows::Create() and with
/// kInvalidArgument "release_spec" or "release_policy".
Result<Release> BeginRelease(ReleaseRows& rows, ReleaseSpec spec, std::string id, const std::string& who,
                             const Clock& clock, TimePoint deadline);

/// Obeys, from any host, and makes the route agree before it returns, so that it is in force as soon as hosts
/// have heard of the route. Fails as Obey() and as the ports do; when it fails behind the saving, the next
/// round does what is left.
Result<Release> CommandRelease(ReleaseRows& rows, RouteWriter& routes, const std::string& id, Command command,
                               const std::string& arm, const std::string& who, const Clock& clock,
                               TimePoint deadline);

/// Makes the route agree with a release whose route is pending, and saves that it does. `fence` as in
/// ReleaseRows::Change. Fails with kAborted "release_conflict" when the release has changed.
Result<Release> SettleRoute(ReleaseRows& rows, RouteWriter& routes, const Release& release,
                            std::int64_t fence, const Clock& clock, TimePoint deadline);

}  // namespace mezzo::releases
