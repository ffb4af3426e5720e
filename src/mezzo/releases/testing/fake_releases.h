#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/check.h"
#include "mezzo/releases/release_ports.h"

namespace mezzo::releases::testing {

/// Decides for each call of a fake what goes wrong with it. Not thread-safe.
class Faults {
 public:
  enum class Kind : std::uint8_t { kNone, kBefore, kAfter };  ///< kAfter: done, but the caller can't know.
  /// Asked at each call; also where another host may do something in between.
  std::function<Kind()> next = [] { return Kind::kNone; };

  template <typename T, typename Do>
  Result<T> Run(const Do& act) {
    ++calls;
    const Kind kind = next();
    if (kind == Kind::kBefore) return Unavailable("sql_unavailable", "the test's database is away");
    Result<T> result = act();
    if (kind == Kind::kAfter) return Unavailable("sql_commit_unknown", "the test's answer was lost");
    return result;
  }
  std::uint64_t calls = 0;
};

/// Releases in memory, as ReleaseStore keeps them.
class FakeRows final : public ReleaseRows {
 public:
  explicit FakeRows(const Clock& clock) : clock_(clock) {}
  Faults faults;
  std::map<std::string, KeptRelease> releases;
  std::vector<ReleaseEvent> events;
  std::vector<EvidenceRow> evidence;

  Result<void> Create(const Transition& begun, TimePoint) override {
    return faults.Run<void>([&]() -> Result<void> {
      for (const auto& [id, kept] : releases) {
        if (kept.release.spec.model == begun.release.spec.model && IsOpen(kept.release)) {
          return AlreadyExists("release_exists", "there is one");
        }
      }
      KeptRelease kept{.release = begun.release, .analysis = ""};
      kept.release.revision = 1;
      releases[begun.release.id] = std::move(kept);
      return {};
    });
  }
  Result<KeptRelease> Load(const std::string& id, TimePoint) override {
    return faults.Run<KeptRelease>([&]() -> Result<KeptRelease> {
      if (!releases.contains(id)) return NotFound("release_missing", "there is none");
      return releases.at(id);
    });
  }
  Result<std::int64_t> Save(const Change& change, TimePoint) override {
    return faults.Run<std::int64_t>([&]() -> Result<std::int64_t> {
      KeptRelease& kept = releases.at(change.release->id);
      const bool led = change.fence == 0 || (change.fence == fence_ && clock_.Now() < until_);
      if (!led || kept.release.revision != change.release->revision) {
        return Error(Code::kAborted, "release_conflict", "changed");
      }
      MEZZO_CHECK(!IsEnded(kept.release.state) || kept.release.state == change.release->state);
      // As text, as in the database.
      auto read = Release::FromJson(change.release->ToJson());
      MEZZO_CHECK(read.ok());
      kept.release = std::move(*read);
      kept.release.revision = change.release->revision + 1;
      if (change.analysis != nullptr) kept.analysis = *change.analysis;
      events.insert(events.end(), change.events.begin(), change.events.end());
      if (change.evidence) evidence.push_back(*change.evidence);
      return kept.release.revision;
    });
  }
  Result<std::vector<Release>> Open(TimePoint) override {
    return faults.Run<std::vector<Release>>([&]() -> Result<std::vector<Release>> {
      std::vector<Release> open;
      for (const auto& [id, kept] : releases) {
        if (IsOpen(kept.release)) open.push_back(kept.release);
      }
      return open;
    });
  }
  Result<std::int64_t> Lead(const std::string& holder, Duration lifetime, TimePoint) override {
    return faults.Run<std::int64_t>([&]() -> Result<std::int64_t> {
      const bool over = clock_.Now() >= until_;
      if (holder != holder_ && !over) return 0;
      if (holder != holder_ || over) ++fence_;
      holder_ = holder;
      until_ = clock_.Now() + lifetime;
      return fence_;
    });
  }
  Result<void> Report(const std::string& host, const std::vector<OutcomeRow>& outcomes,
                      const std::vector<ReadinessRow>& readiness, TimePoint) override {
    return faults.Run<void>([&]() -> Result<void> {
      seen_[host] = clock_.Now();
      for (const OutcomeRow& row : outcomes) outcomes_[row.recorder] = {row, ++us_};
      for (const ReadinessRow& row : readiness) readiness_[{row.release, row.host}] = row;
      return {};
    });
  }
  Result<Outcomes> ReadOutcomes(std::int64_t since_us, TimePoint) override {
    return faults.Run<Outcomes>([&]() -> Result<Outcomes> {
      Outcomes all{.rows = {}, .latest_us = us_};
      for (const auto& [recorder, row] : outcomes_) {
        if (row.second >= since_us) all.rows.push_back(row.first);
      }
      return all;
    });
  }
  Result<Fleet> ReadFleet(Duration alive, TimePoint) override {
    return faults.Run<Fleet>([&]() -> Result<Fleet> {
      Fleet fleet;
      for (const auto& [host, at] : seen_) {
        if (clock_.Now() - at < alive) fleet.hosts.push_back(host);
      }
      for (const auto& [key, row] : readiness_) {
        if (clock_.Now() - seen_[row.host] < alive) fleet.readiness.push_back(row);
      }
      return fleet;
    });
  }
  Result<std::int64_t> Prune(Duration, TimePoint) override {
    return faults.Run<std::int64_t>([&]() -> Result<std::int64_t> { return 0; });
  }

 private:
  static bool IsOpen(const Release& release) { return !IsEnded(release.state) || release.route_pending; }

  const Clock& clock_;
  std::string holder_;
  std::int64_t fence_ = 0;
  TimePoint until_{};
  std::int64_t us_ = 0;
  std::map<std::string, TimePoint> seen_;
  std::map<std::string, std::pair<OutcomeRow, std::int64_t>> outcomes_;
  std::map<std::pair<std::string, std::string>, ReadinessRow> readiness_;
};

class FakeRoutes final : public RouteWriter {
 public:
  Faults faults;
  std::map<std::string, RouteRow> rows;
  std::vector<std::string> written;
  std::string refuse;  ///< Texts with this in them, if it is not empty.

  Result<RouteRow> Read(const std::string& model, TimePoint) override {
    return faults.Run<RouteRow>([&]() -> Result<RouteRow> { return rows[model]; });
  }
  Result<std::int64_t> Write(const std::string& model, const std::string& text, std::int64_t expected,
                             const std::string&, TimePoint) override {
    return faults.Run<std::int64_t>([&]() -> Result<std::int64_t> {
      if (!refuse.empty() && text.find(refuse) != std::string::npos) {
        return InvalidArgument("route_version_unknown", "there is no version 4");
      }
      RouteRow& row = rows[model];
      if (row.revision != expected) return Error(Code::kAborted, "route_conflict", "changed");
      row = {.revision = expected + 1, .text = text};
      written.push_back(text);
      return row.revision;
    });
  }
};

class FakeVersions final : public HostVersions {
 public:
  std::map<std::string, Readiness> versions;  ///< Ready when not named.
  std::set<std::string> kept;

  Readiness Keep(const std::string& model, const std::string& version) override {
    kept.insert(model + "/" + version);
    const auto found = versions.find(version);
    if (found != versions.end()) return found->second;
    return {.state = State::kReady, .reason = "", .broken = false, .broken_reason = ""};
  }
  void Release(const std::string& model, const std::string& version) override {
    kept.erase(model + "/" + version);
  }
};

}  // namespace mezzo::releases::testing
