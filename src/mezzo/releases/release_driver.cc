#include "mezzo/releases/release_driver.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace mezzo::releases {
namespace {

constexpr int kTries = 5;
constexpr std::int64_t kOverlapUs = 20'000'000;  // Reports that were committed behind later ones.
constexpr Duration kLongestSilence = std::chrono::seconds(5);
constexpr Duration kForgetAfter = std::chrono::minutes(2);

bool HasCalls(const Release& release) {
  return release.state == ReleaseState::kRunning || release.state == ReleaseState::kPaused ||
         release.state == ReleaseState::kPromoting || release.state == ReleaseState::kSettling;
}

std::vector<std::string> VersionsOf(const ReleaseSpec& spec) {
  std::vector<std::string> versions;
  const auto add = [&](const std::string& version) {
    if (!version.empty() && std::find(versions.begin(), versions.end(), version) == versions.end()) {
      versions.push_back(version);
    }
  };
  add(spec.candidate);
  for (const ExperimentArm& arm : spec.arms) add(arm.version);
  add(spec.stable);  // What the others go back to stays warm.
  return versions;
}

/// Of all versions of a release together.
HostVersions::Readiness Worst(HostVersions& versions, const ReleaseSpec& spec) {
  HostVersions::Readiness all{
      .state = HostVersions::State::kReady, .reason = "", .broken = false, .broken_reason = ""};
  for (const std::string& version : VersionsOf(spec)) {
    const HostVersions::Readiness one = versions.Keep(spec.model, version);
    if (one.state == HostVersions::State::kFailed && all.state != HostVersions::State::kFailed) {
      all.state = one.state;
      all.reason = one.reason;
    } else if (one.state == HostVersions::State::kLoading && all.state == HostVersions::State::kReady) {
      all.state = one.state;
    }
    if (one.broken && version != spec.stable && !all.broken) {
      all.broken = true;
      all.broken_reason = one.broken_reason;
    }
  }
  return all;
}

std::string Summarise(const HostVersions::Readiness& readiness) {
  return fmt::format("{}/{}/{}/{}", static_cast<int>(readiness.state), readiness.reason, readiness.broken,
                     readiness.broken_reason);
}

Error Conflict(const Release& release) {
  return Error(Code::kAborted, "release_conflict",
               fmt::format("somebody else has changed release '{}'", release.id));
}

}  // namespace

Result<Release> BeginRelease(ReleaseRows& rows, ReleaseSpec spec, std::string id, const std::string& who,
                             const Clock& clock, TimePoint deadline) {
  MEZZO_TRY_VOID(spec.Check());
  Transition begun = Begin(std::move(spec), std::move(id), who, clock.WallNow());
  MEZZO_TRY_VOID(rows.Create(begun, deadline));
  begun.release.revision = 1;
  return std::move(begun.release);
}

Result<Release> SettleRoute(ReleaseRows& rows, RouteWriter& routes, const Release& release,
                            std::int64_t fence, const Clock& clock, TimePoint deadline) {
  const std::optional<WantedRoute> wanted = Wanted(release);
  std::int64_t revision = release.route_revision;
  for (int tried = 1; wanted; ++tried) {
    MEZZO_TRY(const RouteRow row, routes.Read(release.spec.model, deadline));
    MEZZO_TRY(const KeptRelease now, rows.Load(release.id, deadline));
    if (now.release.revision != release.revision) return Conflict(release);
    MEZZO_TRY(const bool agrees, RouteAgrees(row.text, *wanted));
    revision = row.revision;
    if (agrees) break;
    MEZZO_TRY(const std::string text, ApplyRoute(row.text, *wanted));
    auto written = routes.Write(release.spec.model, text, row.revision, "release " + release.id, deadline);
    if (written.ok()) {
      revision = *written;
      break;
    }
    if (written.error().code() != Code::kAborted || tried == kTries) return std::move(written).error();
  }
  Transition confirmed = Confirm(release, revision, clock.WallNow());
  MEZZO_TRY(confirmed.release.revision, rows.Save({.release = &confirmed.release,
                                                   .analysis = nullptr,
                                                   .events = confirmed.events,
                                                   .evidence = std::nullopt,
                                                   .fence = fence},
                                                  deadline));
  return std::move(confirmed.release);
}

Result<Release> CommandRelease(ReleaseRows& rows, RouteWriter& routes, const std::string& id, Command command,
                               const std::string& arm, const std::string& who, const Clock& clock,
                               TimePoint deadline) {
  for (int tried = 1;; ++tried) {
    MEZZO_TRY(const KeptRelease kept, rows.Load(id, deadline));
    MEZZO_TRY(Transition obeyed, Obey(kept.release, command, arm, who, clock.WallNow()));
    MEZZO_TRY(ReleaseAnalysis analysis, ReleaseAnalysis::Of(kept.release, kept.analysis));
    analysis.Follow(obeyed.release, obeyed.step_began, obeyed.acknowledged);
    const std::string state = analysis.State();
    auto saved = rows.Save({.release = &obeyed.release,
                            .analysis = &state,
                            .events = obeyed.events,
                            .evidence = std::nullopt,
                            .fence = 0},
                           deadline);
    if (!saved.ok()) {
      // The leader keeps its looks in the same row.
      if (saved.error().reason() == "release_conflict" && tried < kTries) continue;
      return std::move(saved).error();
    }
    obeyed.release.revision = *saved;
    if (!obeyed.release.route_pending) return std::move(obeyed.release);
    auto settled = SettleRoute(rows, routes, obeyed.release, 0, clock, deadline);
    if (settled.ok()) return settled;
    // The leader was faster, or the next round does it.
    if (settled.error().reason() != "release_conflict") return settled;
    MEZZO_TRY(KeptRelease now, rows.Load(id, deadline));
    return std::move(now.release);
  }
}

Result<ReleaseDriver::Round> ReleaseDriver::Run(TimePoint deadline) {
  Round round;
  MEZZO_TRY(std::vector<Release> open, ports_.rows.Open(deadline));
  round.open = open.size();
  MEZZO_TRY_VOID(Report(open, deadline));
  if (open.empty()) {
    ForgetLeading();
    return round;
  }
  Seen seen;
  MEZZO_TRY(seen.fence, ports_.rows.Lead(host_, options_.lease, deadline));
  round.leads = seen.fence != 0;
  if (!round.leads) {
    ForgetLeading();
    return round;
  }
  MEZZO_TRY_VOID(Gather(open, deadline));
  MEZZO_TRY(seen.fleet, ports_.rows.ReadFleet(options_.alive, deadline));
  std::set<std::string> ids;
  for (const Release& release : open) ids.insert(release.id);
  std::erase_if(known_, [&](const auto& each) { return !ids.contains(each.first); });
  const auto behind = [&](const Release& release) { return release.id > driven_; };
  std::rotate(open.begin(), std::find_if(open.begin(), open.end(), behind), open.end());
  const TimePoint until = AddSaturating(ports_.clock.Now(), options_.turn);
  driven_.clear();
  for (std::size_t i = 0; i < open.size(); ++i) {
    Release& release = open[i];
    const std::string id = release.id;
    if (i != 0 && ports_.clock.Now() >= until) {
      round.left = open.size() - i;
      driven_ = open[i - 1].id;
      break;
    }
    if (auto driven = Drive(std::move(release), seen, deadline); !driven.ok()) {
      known_.erase(id);  // What is in memory may be ahead of what was saved.
      if (driven.error().reason() != "release_conflict") {
        round.errors.push_back(std::move(driven).error().WithContext("release " + id));
      }
    }
  }
  return round;
}

void ReleaseDriver::ForgetLeading() {
  known_.clear();
  gathered_.clear();
  gathered_us_ = 0;
  moved_.clear();
  driven_.clear();
}

Result<void> ReleaseDriver::Report(const std::vector<Release>& open, TimePoint deadline) {
  std::set<std::string> series;
  std::set<std::pair<std::string, std::string>> needed;
  std::vector<ReadinessRow> readiness;
  std::map<std::string, std::string> said;
  for (const Release& release : open) {
    series.insert(release.id);
    if (IsEnded(release.state)) continue;
    for (const std::string& version : VersionsOf(release.spec)) needed.emplace(release.spec.model, version);
    HostVersions::Readiness now = Worst(ports_.versions, release.spec);
    std::string summary = Summarise(now);
    const auto before = said_.find(release.id);
    if (before == said_.end() || before->second != summary) {
      readiness.push_back({.release = release.id, .host = host_, .readiness = std::move(now)});
    }
    said.emplace(release.id, std::move(summary));
  }
  std::vector<OutcomeRow> outcomes;
  std::set<std::string> recorders;
  const TimePoint now = ports_.clock.Now();
  const bool counting = now >= next_outcomes_;
  for (const OutcomeBoard::Entry& entry : ports_.board.Entries()) {
    if (!series.contains(entry.key.series)) {
      const TimePoint since = idle_series_.emplace(entry.key.series, now).first->second;
      if (now - since >= kForgetAfter) ports_.board.Forget(entry.key);
      continue;
    }
    recorders.insert(entry.recorder->id());
    if (!counting) continue;
    OutcomeSummary summary = entry.recorder->Read();
    const auto before = written_.find(entry.recorder->id());
    if (before != written_.end() ? before->second == summary : summary == OutcomeSummary()) continue;
    outcomes.push_back({.recorder = entry.recorder->id(),
                        .series = entry.key.series,
                        .arm = entry.key.arm,
                        .summary = std::move(summary)});
  }
  const bool quiet = open.empty() && now < AddSaturating(reported_, options_.idle_report);
  if (!quiet || reported_ == TimePoint()) {
    MEZZO_TRY_VOID(ports_.rows.Report(host_, outcomes, readiness, deadline));
    reported_ = now;
    if (counting) {
      // The time of reporting counts from its end, so that it stays the share of all time that it may be.
      const TimePoint ended = ports_.clock.Now();
      const Duration rest = FromSeconds(Seconds(ended - now) * (1 / options_.report_share - 1));
      next_outcomes_ = ended + std::min(rest, kLongestSilence);
    }
  }
  // Only now: what was not written is written the next time.
  said_ = std::move(said);
  for (OutcomeRow& row : outcomes) written_[row.recorder] = std::move(row.summary);
  std::erase_if(written_, [&](const auto& each) { return !recorders.contains(each.first); });
  std::erase_if(idle_series_, [&](const auto& each) {
    return series.contains(each.first) || now - each.second > 2 * kForgetAfter;
  });
  for (const auto& [model, version] : kept_versions_) {
    if (!needed.contains({model, version})) ports_.versions.Release(model, version);
  }
  kept_versions_ = std::move(needed);
  return {};
}

Result<void> ReleaseDriver::Gather(const std::vector<Release>& open, TimePoint deadline) {
  std::set<std::string> series;
  for (const Release& release : open) series.insert(release.id);
  std::erase_if(gathered_, [&](const auto& each) { return !series.contains(each.second.series); });
  MEZZO_TRY(ReleaseRows::Outcomes outcomes,
            ports_.rows.ReadOutcomes(std::max<std::int64_t>(gathered_us_ - kOverlapUs, 0), deadline));
  gathered_us_ = outcomes.latest_us;
  std::erase_if(moved_, [&](const std::string& each) { return !series.contains(each); });
  for (OutcomeRow& row : outcomes.rows) {
    if (!series.contains(row.series)) continue;
    const auto found = gathered_.find(row.recorder);
    if (found != gathered_.end() && found->second.summary == row.summary) continue;
    moved_.insert(row.series);
    gathered_.insert_or_assign(row.recorder, std::move(row));
  }
  return {};
}

ArmSummaries ReleaseDriver::Totals(const std::string& series) const {
  ArmSummaries totals;
  for (const auto& [recorder, row] : gathered_) {
    if (row.series == series) totals[row.arm] += row.summary;
  }
  return totals;
}

Observation ReleaseDriver::Observe(const Release& release, const Seen& seen) const {
  Observation observation{.now = ports_.clock.WallNow(), .fleet = Observation::Fleet::kReady};
  std::size_t ready = 0;
  for (const ReadinessRow& row : seen.fleet.readiness) {
    if (row.release != release.id) continue;
    if (row.readiness.state == HostVersions::State::kReady) ++ready;
    if (row.readiness.state == HostVersions::State::kFailed) {
      observation.fleet = Observation::Fleet::kFailed;
      observation.fleet_reason = row.readiness.reason;
    }
    if (row.readiness.broken) {
      observation.broken = true;
      observation.broken_reason = row.readiness.broken_reason;
    }
  }
  if (observation.fleet != Observation::Fleet::kFailed && (ready == 0 || ready < seen.fleet.hosts.size())) {
    observation.fleet = Observation::Fleet::kPending;
    observation.fleet_reason = fmt::format("{} of {} hosts have it.", ready, seen.fleet.hosts.size());
  }
  return observation;
}

Result<void> ReleaseDriver::CheckRoute(const Release& release, Known& known, TimePoint deadline) {
  const TimePoint now = ports_.clock.Now();
  if (release.state != ReleaseState::kRunning) {
    known.foreign = false;
    return {};
  }
  if (known.route_checked != TimePoint() && now < known.route_checked + options_.route_check) return {};
  known.route_checked = now;
  const std::optional<WantedRoute> wanted = Wanted(release);
  if (!wanted) return {};
  MEZZO_TRY(const RouteRow row, ports_.routes.Read(release.spec.model, deadline));
  MEZZO_TRY(const bool agrees, RouteAgrees(row.text, *wanted));
  known.foreign = !agrees;
  return {};
}

Result<void> ReleaseDriver::Drive(Release release, const Seen& seen, TimePoint deadline) {
  Known& known = known_[release.id];
  if (!known.analysis || known.revision != release.revision) {
    MEZZO_TRY(KeptRelease kept, ports_.rows.Load(release.id, deadline));
    release = std::move(kept.release);
    MEZZO_TRY(known.analysis, ReleaseAnalysis::Of(release, kept.analysis));
    known.foreign = false;  // Whoever changed the release may have taken the route back.
    known.route_checked = {};
  }
  const auto settle = [&]() -> Result<void> {
    MEZZO_TRY(release, SettleRoute(ports_.rows, ports_.routes, release, seen.fence, ports_.clock, deadline));
    known.revision = release.revision;
    return {};
  };
  std::string refused;
  if (release.route_pending) {
    auto settled = settle();
    if (!settled.ok()) {
      // A route that is wrong stays so, however often it is tried: the release goes back.
      const Error& error = settled.error();
      if (error.code() != Code::kInvalidArgument || IsEnded(release.state)) return settled;
      refused = error.message();
    }
  }
  known.revision = release.revision;
  if (IsEnded(release.state)) return {};

  Observation observation = Observe(release, seen);
  if (!refused.empty()) {
    observation.broken = true;
    observation.broken_reason = "its route was refused: " + refused;
  }
  std::optional<Verdict> verdict;
  if (HasCalls(release)) {
    MEZZO_TRY_VOID(CheckRoute(release, known, deadline));
    observation.route_foreign = known.foreign;
    auto look = known.analysis->Look(release, Totals(release.id), observation.now);
    if (look.ok()) {
      verdict = std::move(*look);
      observation.verdict = verdict->action;
      observation.verdict_reason = verdict->reason;
    } else {
      observation.verdict = Action::kPause;
      observation.verdict_reason = "The outcomes can't be judged: " + look.error().message();
    }
  }
  Transition next = Advance(release, observation);
  known.analysis->Follow(next.release, next.step_began, next.acknowledged);
  bool turning = next.changed;
  bool kept = turning;
  if (verdict) {
    turning = turning || ActionName(verdict->action) != known.verdict;
    kept = turning || observation.now - known.kept >= options_.evidence_period;
  }
  const bool moved = moved_.contains(release.id);
  const bool old = known.saved == TimePoint() || ports_.clock.Now() - known.saved >= options_.save_period;
  if (!next.changed && !(moved && (old || kept))) return {};

  ReleaseRows::Change change{.release = &next.release,
                             .analysis = nullptr,
                             .events = next.events,
                             .evidence = std::nullopt,
                             .fence = seen.fence};
  const std::string state = known.analysis->State();
  change.analysis = &state;
  if (verdict && kept) {
    change.evidence = EvidenceRow{
        .at = observation.now, .step = release.step, .verdict = verdict->ToJson(), .turning = turning};
  }
  MEZZO_TRY(next.release.revision, ports_.rows.Save(change, deadline));
  moved_.erase(release.id);
  known.saved = ports_.clock.Now();
  if (change.evidence) {
    known.verdict = ActionName(verdict->action);
    known.kept = observation.now;
  }
  release = std::move(next.release);
  known.revision = release.revision;
  if (!release.route_pending) return {};
  auto settled = settle();
  // A refused route is the next round's business.
  if (!settled.ok() && settled.error().code() == Code::kInvalidArgument) return {};
  return settled;
}

}  // namespace mezzo::releases
