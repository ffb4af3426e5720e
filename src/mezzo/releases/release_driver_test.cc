#include "mezzo/releases/release_driver.h"

#include <memory>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/releases/testing/fake_releases.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::releases {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::Faults;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Random = std::mt19937_64;

ReleaseSpec Canary() {
  ReleaseSpec spec;
  spec.model = "m";
  spec.stable = "3";
  spec.candidate = "4";
  for (ReleaseStep& step : spec.steps) {
    step.min_duration = seconds(10);
    step.min_calls = 50;
  }
  spec.settle = seconds(20);
  return spec;
}

/// A host: its board, its versions and its driver, which dies and is made anew.
struct Host {
  Host(std::string host, testing::FakeRows& rows, testing::FakeRoutes& routes, const Clock& clock)
      : name(std::move(host)), rows(rows), routes(routes), clock(clock) {
    Restart();
  }
  void Restart() {
    ++lives;
    board = std::make_unique<OutcomeBoard>(OutcomeBoard::Options{});
    driver = std::make_unique<ReleaseDriver>(
        ReleaseDriver::Options{},
        ReleaseDriver::Ports{
            .rows = rows, .routes = routes, .versions = versions, .board = *board, .clock = clock},
        name + "/" + std::to_string(lives));
  }

  std::string name;
  testing::FakeRows& rows;
  testing::FakeRoutes& routes;
  const Clock& clock;
  int lives = 0;
  testing::FakeVersions versions;
  std::unique_ptr<OutcomeBoard> board;
  std::unique_ptr<ReleaseDriver> driver;
};

class ReleaseDriverTest : public ::testing::Test {
 protected:
  ReleaseDriverTest() {
    for (int i = 0; i < 2; ++i) {
      hosts.push_back(std::make_unique<Host>("host-" + std::to_string(i), rows, routes, clock));
    }
  }

  [[nodiscard]] TimePoint Soon() const { return clock.Now() + seconds(10); }
  std::string Begin(const ReleaseSpec& spec = Canary(), const std::string& id = "r1") {
    const auto begun = BeginRelease(rows, spec, id, "alice", clock, Soon());
    EXPECT_TRUE(begun.ok()) << begun.error().ToString();
    return id;
  }
  Release& release(const std::string& id = "r1") { return rows.releases.at(id).release; }
  [[nodiscard]] ReleaseState state() { return release().state; }
  Result<Release> Command(releases::Command command) {
    return CommandRelease(rows, routes, "r1", command, "", "bob", clock, Soon());
  }

  /// A second of calls by the route that is there.
  void Traffic(double canary_errors, int calls = 200) {
    const RouteRow& row = routes.rows["m"];
    if (row.text.empty()) return;
    const nlohmann::json route = nlohmann::json::parse(row.text);
    if (!route.contains("split")) return;
    const nlohmann::json split = route["split"];
    for (auto& host : hosts) {
      for (const auto& arm : split["arms"]) {
        const auto recorder = host->board->Arm(
            {.model = "m", .series = split["salt"].get<std::string>(), .arm = arm["name"].get<std::string>()},
            clock.WallNow());
        std::poisson_distribution<int> count(calls / 2.0 * arm["weight"].get<double>() / 10'000);
        std::lognormal_distribution<double> latency(-4, 0.3);
        std::uniform_real_distribution<double> even;
        const bool canary = arm["version"] == "4";
        for (int i = count(random); i > 0; --i) {
          const bool failed = even(random) < (canary ? canary_errors : 0.001);
          recorder->Record({.latency = FromSeconds(latency(random)), .cost = 0.01, .failed = failed});
        }
      }
    }
  }
  void Round(double canary_errors = 0.001) {
    Traffic(canary_errors);
    clock.Advance(seconds(1));
    for (auto& host : hosts) {
      const auto round = host->driver->Run(Soon());
      if (expect_ok) {
        ASSERT_TRUE(round.ok()) << round.error().ToString();
        ASSERT_TRUE(round->errors.empty()) << round->errors.front().ToString();
      }
    }
  }
  int RoundsUntil(ReleaseState wanted, int limit, double canary_errors = 0.001) {
    for (int i = 1; i <= limit; ++i) {
      Round(canary_errors);
      if (state() == wanted) return i;
    }
    ADD_FAILURE() << "still " << StateName(state()) << ": " << release().reason;
    return limit;
  }
  bool RouteIsAsWanted() {
    const auto wanted = Wanted(release());
    if (!wanted) return true;
    const auto agrees = RouteAgrees(routes.rows["m"].text, *wanted);
    return agrees.ok() && *agrees;
  }

  mezzo::testing::ManualClock clock;
  testing::FakeRows rows{clock};
  testing::FakeRoutes routes;
  std::vector<std::unique_ptr<Host>> hosts;
  Random random{1};
  bool expect_ok = true;
  bool calm = true;  // Nothing fails.
};

TEST_F(ReleaseDriverTest, AGoodVersionGoesAllTheWay) {
  Begin();

  RoundsUntil(ReleaseState::kSucceeded, 200);

  EXPECT_FALSE(release().route_pending);
  EXPECT_TRUE(RouteIsAsWanted());
  EXPECT_THAT(routes.rows["m"].text, HasSubstr(R"("stable":"4")"));
  std::vector<std::string> kinds;
  for (const ReleaseEvent& event : rows.events) kinds.push_back(event.kind);
  EXPECT_THAT(
      kinds, ::testing::ElementsAre("running", "step", "step", "step", "promoting", "settling", "succeeded"));
  EXPECT_GT(rows.evidence.size(), 5U);
  Round();
  EXPECT_THAT(hosts[0]->versions.kept, IsEmpty());
}

TEST_F(ReleaseDriverTest, ABadVersionIsRolledBackAndItsEvidenceKept) {
  Begin();
  RoundsUntil(ReleaseState::kRunning, 5);

  const int seconds_to_see = RoundsUntil(ReleaseState::kRolledBack, 60, 0.2);

  EXPECT_LE(seconds_to_see, 15);
  EXPECT_TRUE(RouteIsAsWanted());
  ASSERT_FALSE(rows.evidence.empty());
  EXPECT_THAT(rows.evidence.back().verdict, HasSubstr("roll_back"));
  EXPECT_THAT(release().reason, HasSubstr("error"));
}

TEST_F(ReleaseDriverTest, WaitsForAllHostsBeforeTheFirstCall) {
  Round();  // All have said that they are there.
  hosts[1]->versions.versions["4"] = {
      .state = HostVersions::State::kLoading, .reason = "", .broken = false, .broken_reason = ""};
  Begin();
  for (int i = 0; i < 20; ++i) Round();
  EXPECT_EQ(state(), ReleaseState::kPreparing);
  EXPECT_TRUE(routes.written.empty());

  hosts[1]->versions.versions.clear();

  RoundsUntil(ReleaseState::kRunning, 5);
}

TEST_F(ReleaseDriverTest, AHostThatDiedIsNotWaitedFor) {
  Round();
  hosts.pop_back();
  Begin();

  RoundsUntil(ReleaseState::kRunning, 20);
}

TEST_F(ReleaseDriverTest, ABreakerOnAnyHostRollsBack) {
  Begin();
  RoundsUntil(ReleaseState::kRunning, 5);

  hosts[1]->versions.versions["4"] = {.state = HostVersions::State::kReady,
                                      .reason = "",
                                      .broken = true,
                                      .broken_reason = "it crashed on its third call"};

  EXPECT_LE(RoundsUntil(ReleaseState::kRolledBack, 5), 2);
  EXPECT_THAT(release().reason, HasSubstr("third call"));
}

TEST_F(ReleaseDriverTest, ACommandIsInForceWhenItReturns) {
  Begin();
  RoundsUntil(ReleaseState::kRunning, 5);

  const auto back = Command(releases::Command::kRollBack);

  ASSERT_TRUE(back.ok()) << back.error().ToString();
  EXPECT_EQ(back->state, ReleaseState::kRolledBack);
  EXPECT_FALSE(release().route_pending);
  EXPECT_TRUE(RouteIsAsWanted());
  Round();
  EXPECT_EQ(state(), ReleaseState::kRolledBack);
}

TEST_F(ReleaseDriverTest, TwoReleasesOfOneModelAreRefused) {
  Begin();

  const auto second = BeginRelease(rows, Canary(), "r2", "carol", clock, Soon());

  EXPECT_EQ(second.error().reason(), "release_exists");
  EXPECT_EQ(rows.releases.size(), 1U);
  ASSERT_TRUE(Command(releases::Command::kCancel).ok());
  EXPECT_TRUE(BeginRelease(rows, Canary(), "r2", "carol", clock, Soon()).ok());
}

TEST_F(ReleaseDriverTest, SomebodyElsesRoutePausesUntilResumed) {
  Begin();
  RoundsUntil(ReleaseState::kRunning, 5);
  routes.rows["m"] = {.revision = 50, .text = R"({"stable":"3"})"};

  RoundsUntil(ReleaseState::kPaused, 10);
  EXPECT_EQ(routes.rows["m"].revision, 50);
  ASSERT_TRUE(Command(releases::Command::kResume).ok());

  EXPECT_TRUE(RouteIsAsWanted());
  EXPECT_EQ(state(), ReleaseState::kRunning);
}

TEST_F(ReleaseDriverTest, ARouteThatIsRefusedEndsTheRelease) {
  Begin();
  routes.refuse = R"("version":"4")";

  RoundsUntil(ReleaseState::kRolledBack, 5);

  EXPECT_THAT(release().reason, HasSubstr("no version 4"));
  Round();
  EXPECT_FALSE(release().route_pending);
  EXPECT_TRUE(RouteIsAsWanted());
}

TEST_F(ReleaseDriverTest, ARestartedHostDoesNotCountTwice) {
  ReleaseSpec spec = Canary();
  spec.steps[0].min_duration = minutes(30);
  Begin(spec);
  RoundsUntil(ReleaseState::kRunning, 5);
  std::uint64_t calls = 0;
  for (int i = 0; i < 8; ++i) {
    Round();
    for (const auto& entry : hosts[0]->board->Entries()) {
      if (i == 3 && entry.key.arm == "canary") calls += entry.recorder->calls();
    }
    if (i == 3) hosts[0]->Restart();
  }
  for (auto& host : hosts) {
    for (const auto& entry : host->board->Entries()) {
      if (entry.key.arm == "canary") calls += entry.recorder->calls();
    }
  }
  clock.Advance(seconds(12));  // Whoever leads keeps evidence again.
  Round(0.001);
  Round(0.001);

  ASSERT_FALSE(rows.evidence.empty());
  const auto verdict = nlohmann::json::parse(rows.evidence.back().verdict);
  EXPECT_GE(verdict["step_calls"].get<std::uint64_t>(), calls);
  EXPECT_LE(verdict["step_calls"].get<std::uint64_t>(), calls + 60);
}

TEST_F(ReleaseDriverTest, AnyOneFailureIsMadeGoodByTheNextRounds) {
  // Each call of a whole release fails once, undone or done; afterwards everything must have come right.
  for (const Faults::Kind kind : {Faults::Kind::kBefore, Faults::Kind::kAfter}) {
    for (int fail_at = 1; fail_at < 60; ++fail_at) {
      mezzo::testing::ManualClock time;
      testing::FakeRows own_rows(time);
      testing::FakeRoutes own_routes;
      Host host("h", own_rows, own_routes, time);
      ReleaseSpec spec = Canary();
      spec.strategy = Strategy::kBlueGreen;
      spec.settle = seconds(2);
      ASSERT_TRUE(BeginRelease(own_rows, spec, "r1", "alice", time, time.Now() + seconds(5)).ok());
      int calls = 0;
      own_rows.faults.next = [&] { return ++calls == fail_at ? kind : Faults::Kind::kNone; };
      own_routes.faults.next = own_rows.faults.next;
      for (int i = 0; i < 20; ++i) {
        time.Advance(seconds(1));
        const auto round = host.driver->Run(time.Now() + seconds(5));
        if (!round.ok()) host.Restart();  // The process died of it.
      }

      const Release& ended = own_rows.releases.at("r1").release;
      ASSERT_EQ(ended.state, ReleaseState::kSucceeded) << fail_at << " " << ended.reason;
      ASSERT_FALSE(ended.route_pending);
      const auto agrees = RouteAgrees(own_routes.rows["m"].text, *Wanted(ended));
      ASSERT_TRUE(agrees.ok() && *agrees) << fail_at;
    }
  }
}

TEST_F(ReleaseDriverTest, ManyReleasesOnASlowDatabaseAllGoOnAndTheLeaderStaysAHostThatLives) {
  constexpr int kReleases = 200;
  for (int i = 0; i < kReleases; ++i) {
    ReleaseSpec spec = Canary();
    spec.model = "m" + std::to_string(i);
    Begin(spec, "r" + std::to_string(1000 + i));
  }
  rows.faults.next = [&] {
    clock.Advance(milliseconds(50));
    return Faults::Kind::kNone;
  };

  std::size_t conflicts = 0;
  for (int i = 0; i < 100; ++i) {
    for (auto& host : hosts) {
      const auto round = host->driver->Run(Soon());
      ASSERT_TRUE(round.ok()) << round.error().ToString();
      conflicts += round->errors.size();
    }
  }

  EXPECT_EQ(conflicts, 0U);
  for (const auto& [id, kept] : rows.releases) {
    EXPECT_EQ(kept.release.state, ReleaseState::kRunning) << id << " " << kept.release.reason;
    EXPECT_FALSE(kept.release.route_pending) << id;
  }
  EXPECT_EQ(routes.rows.size(), static_cast<std::size_t>(kReleases));
}

TEST_F(ReleaseDriverTest, LooksThatChangeNothingAreSavedNowAndThenAndTheNextLeaderGoesOn) {
  ReleaseSpec spec = Canary();
  spec.automatic = false;
  Begin(spec);
  RoundsUntil(ReleaseState::kRunning, 5);
  const std::int64_t before = release().revision;
  for (int i = 0; i < 30; ++i) Round();
  const std::int64_t saved = release().revision - before;
  EXPECT_GE(saved, 5) << "every five seconds, and with evidence every ten";
  EXPECT_LE(saved, 12);

  hosts[0]->Restart();
  hosts[1]->Restart();
  clock.Advance(seconds(6));  // Nobody leads any more.
  RoundsUntil(ReleaseState::kRolledBack, 60, 0.5);
  EXPECT_TRUE(RouteIsAsWanted());
}

TEST_F(ReleaseDriverTest, RouteAndStateAgreeAfterAnyCrashesAndCommandsBetweenAnyTwoSteps) {
  expect_ok = false;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    rows.releases.clear();
    routes.rows.clear();
    for (auto& host : hosts) host->Restart();
    random.seed(seed);
    calm = true;
    Begin();
    bool inside = false;
    // At any call: it fails, or another host does something meanwhile.
    const auto next = [&]() -> Faults::Kind {
      const std::uint64_t dice = random() % 100;
      if (inside || calm) return Faults::Kind::kNone;
      if (dice < 2) return Faults::Kind::kBefore;
      if (dice < 4) return Faults::Kind::kAfter;
      if (dice < 5) {
        inside = true;
        static constexpr releases::Command kCommands[] = {
            releases::Command::kPause, releases::Command::kResume, releases::Command::kPromote,
            releases::Command::kRollBack, releases::Command::kCancel};
        (void)CommandRelease(rows, routes, "r1", kCommands[random() % 5], "", "bob", clock, Soon());
        inside = false;
      } else if (dice == 5) {
        inside = true;  // The other host thinks that it leads, too, after a long sleep of this one.
        clock.Advance(seconds(6));
        (void)hosts.back()->driver->Run(Soon());
        inside = false;
      }
      return Faults::Kind::kNone;
    };
    calm = false;
    rows.faults.next = next;
    routes.faults.next = next;
    for (int i = 0; i < 60; ++i) {
      Traffic(random() % 20 == 0 ? 0.3 : 0.001, 100);
      clock.Advance(seconds(1));
      // The last host runs inside of the first one's round only, or by itself when that has died.
      const std::size_t who = random() % 4 == 0 ? 1 : 0;
      inside = who == 1;
      (void)hosts[who]->driver->Run(Soon());
      inside = false;
      if (random() % 10 == 0) hosts[0]->Restart();
    }
    calm = true;
    for (int i = 0; i < 12; ++i) {
      clock.Advance(seconds(1));
      for (auto& host : hosts) (void)host->driver->Run(Soon());
    }
    rows.faults = routes.faults = Faults();  // What they ask ends with this seed.
    ASSERT_FALSE(release().route_pending) << seed;
    ASSERT_TRUE(RouteIsAsWanted()) << seed << " " << release().ToJson() << " " << routes.rows["m"].text;
  }
}

}  // namespace
}  // namespace mezzo::releases
