#include "mezzo/releases/release_store.h"

#include <chrono>
#include <map>
#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/uuid.h"
#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/releases/feedback.h"
#include "mezzo/releases/release_controller.h"
#include "mezzo/releases/release_driver.h"
#include "mezzo/releases/testing/fake_releases.h"
#include "mezzo/storage/testing/postgres_server.h"
#include "mezzo/storage/testing/temp_dir.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::releases {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The real clock, with a wall clock that can be put forward.
class ShiftedClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override { return real_.Now(); }
  [[nodiscard]] WallTime WallNow() const override { return real_.WallNow() + shift; }
  Duration shift{};

 private:
  RealClock real_;
};

class ReleaseStoreTest : public ::testing::TestWithParam<storage::SqlDialect> {
 protected:
  void SetUp() override {
    const TimePoint deadline = Soon();
    if (GetParam() == storage::SqlDialect::kSqlite) {
      auto opened = drivers::SqliteDb::Open({.path = folder_.path() + "/mezzo.db"}, clock_);
      ASSERT_TRUE(opened.ok()) << opened.error().ToString();
      db_ = std::move(*opened);
    } else {
      static storage::testing::PostgresServer server;
      auto opened = drivers::PostgresDb::Open({.connection = server.Url()}, clock_);
      ASSERT_TRUE(opened.ok()) << opened.error().ToString();
      db_ = std::move(*opened);
      const auto emptied = db_->Transact(
          [](storage::SqlSession& session) {
            return session.RunScript("DROP SCHEMA public CASCADE; CREATE SCHEMA public;");
          },
          deadline);
      ASSERT_TRUE(emptied.ok()) << emptied.error().ToString();
    }
    const auto migrated = storage::Migrate(*db_, "releases_life", ReleaseMigrations(), deadline, clock_);
    ASSERT_TRUE(migrated.ok()) << migrated.error().ToString();
    store_ = std::make_unique<ReleaseStore>(*db_, clock_);
  }

  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + seconds(60); }
  static ReleaseSpec Spec(const std::string& model = "m") {
    ReleaseSpec spec;
    spec.model = model;
    spec.stable = "3";
    spec.candidate = "4";
    return spec;
  }
  Release Begin(const std::string& model = "m") {
    auto begun = BeginRelease(*store_, Spec(model), NewUuidV7(clock_.WallNow()), "alice", clock_, Soon());
    EXPECT_TRUE(begun.ok()) << begun.error().ToString();
    return std::move(*begun);
  }

  const storage::testing::TempDir folder_;
  ShiftedClock clock_;
  std::unique_ptr<storage::SqlDb> db_;
  std::unique_ptr<ReleaseStore> store_;
};

TEST_P(ReleaseStoreTest, KeepsReleasesAndTheirHistory) {
  Release release = Begin();
  Transition next = Advance(release, {.now = clock_.WallNow(), .fleet = Observation::Fleet::kReady});
  const std::string analysis = "[1]";

  const auto saved =
      store_->Save({.release = &next.release,
                    .analysis = &analysis,
                    .events = next.events,
                    .evidence = EvidenceRow{.at = clock_.WallNow(), .step = 0, .verdict = "{}"},
                    .fence = 0},
                   Soon());

  ASSERT_TRUE(saved.ok()) << saved.error().ToString();
  EXPECT_EQ(*saved, 2);
  const auto kept = store_->Load(release.id, Soon());
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(kept->release.revision, 2);
  EXPECT_EQ(kept->release.ToJson(), next.release.ToJson());
  EXPECT_EQ(kept->analysis, "[1]");
  std::vector<std::string> kinds;
  const auto events = store_->Events(release.id, 100, Soon());
  for (const ReleaseEvent& event : *events) kinds.push_back(event.kind + " by " + event.who);
  EXPECT_THAT(kinds, ElementsAre("preparing by alice", "running by mezzo", "step by mezzo"));
  EXPECT_EQ(store_->Evidence(release.id, 100, Soon())->size(), 1U);
  EXPECT_EQ(store_->Load("nobody", Soon()).error().reason(), "release_missing");
}

TEST_P(ReleaseStoreTest, ASaveOverAnOlderRevisionChangesNothing) {
  const Release release = Begin();
  Transition paused = Advance(release, {.now = clock_.WallNow(), .fleet = Observation::Fleet::kReady});
  ASSERT_TRUE(
      store_->Save({.release = &paused.release, .analysis = nullptr, .events = paused.events}, Soon()).ok());
  Transition late = *Obey(release, Command::kCancel, "", "bob", clock_.WallNow());

  const auto saved =
      store_->Save({.release = &late.release, .analysis = nullptr, .events = late.events}, Soon());

  EXPECT_EQ(saved.error().reason(), "release_conflict");
  EXPECT_EQ(store_->Load(release.id, Soon())->release.state, ReleaseState::kRunning);
  EXPECT_EQ(store_->Events(release.id, 10, Soon())->size(), 1U + paused.events.size());
}

TEST_P(ReleaseStoreTest, OneModelHasOneOpenRelease) {
  Release first = Begin("m");
  Begin("other");

  const auto second = BeginRelease(*store_, Spec("m"), "r2", "carol", clock_, Soon());
  EXPECT_EQ(second.error().reason(), "release_exists");
  EXPECT_EQ(store_->Open(Soon())->size(), 2U);
  Transition end = *Obey(first, Command::kCancel, "", "bob", clock_.WallNow());
  ASSERT_TRUE(store_->Save({.release = &end.release}, Soon()).ok());

  EXPECT_TRUE(BeginRelease(*store_, Spec("m"), "r2", "carol", clock_, Soon()).ok());
  EXPECT_EQ(store_->List("m", "", 10, Soon())->size(), 2U);
  EXPECT_EQ(store_->List("", "", 10, Soon())->size(), 3U);
  EXPECT_EQ(store_->List("", first.id, 10, Soon())->size(), 0U);
}

TEST_P(ReleaseStoreTest, ManyAtOnceBeginOneRelease) {
  std::atomic<int> begun{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      const auto result = BeginRelease(*store_, Spec(), "r" + std::to_string(t), "x", clock_, Soon());
      if (result.ok()) {
        ++begun;
      } else {
        EXPECT_EQ(result.error().reason(), "release_exists") << result.error().ToString();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(begun, 1);
}

TEST_P(ReleaseStoreTest, OneHostLeadsAtATimeAndFencesTheOthersOut) {
  const Release release = Begin();
  const auto first = store_->Lead("a", seconds(5), Soon());
  ASSERT_TRUE(first.ok() && *first > 0);
  EXPECT_EQ(*store_->Lead("b", seconds(5), Soon()), 0);
  EXPECT_EQ(*store_->Lead("a", seconds(5), Soon()), *first);

  clock_.shift = seconds(6);
  const auto second = store_->Lead("b", seconds(5), Soon());
  ASSERT_TRUE(second.ok());
  EXPECT_GT(*second, *first);
  Transition next = Advance(release, {.now = clock_.WallNow(), .fleet = Observation::Fleet::kReady});
  ReleaseRows::Change change{.release = &next.release};
  change.fence = *first;
  EXPECT_EQ(store_->Save(change, Soon()).error().reason(), "release_conflict");
  change.fence = *second;

  EXPECT_TRUE(store_->Save(change, Soon()).ok());
}

TEST_P(ReleaseStoreTest, OutcomesAreTheLatestOfEachRecorder) {
  OutcomeSummary summary;
  for (int i = 0; i < 100; ++i) {
    ++summary.calls;
    summary.latency.Add(milliseconds(i));
  }
  ASSERT_TRUE(
      store_->Report("h", {{.recorder = "1", .series = "s", .arm = "canary", .summary = {}}}, {}, Soon())
          .ok());
  ASSERT_TRUE(
      store_->Report("h", {{.recorder = "1", .series = "s", .arm = "canary", .summary = summary}}, {}, Soon())
          .ok());

  const auto read = store_->ReadOutcomes(0, Soon());

  ASSERT_TRUE(read.ok()) << read.error().ToString();
  ASSERT_EQ(read->rows.size(), 1U);
  EXPECT_EQ(read->rows[0].summary, summary);
  EXPECT_EQ(store_->ReadOutcomes(read->latest_us + 1, Soon())->rows.size(), 0U);
  clock_.shift = hours(48);
  EXPECT_EQ(*store_->Prune(hours(24), Soon()), 2);  // The outcomes and the host.
  EXPECT_EQ(store_->ReadOutcomes(0, Soon())->rows.size(), 0U);
}

TEST_P(ReleaseStoreTest, TheFleetIsWhoeverReportedLately) {
  const Release release = Begin();
  const ReadinessRow row{
      .release = release.id,
      .host = "a",
      .readiness = {
          .state = HostVersions::State::kFailed, .reason = "no", .broken = true, .broken_reason = "crash"}};
  ASSERT_TRUE(store_->Report("a", {}, {row}, Soon()).ok());
  clock_.shift = seconds(5);
  ASSERT_TRUE(store_->Report("b", {}, {}, Soon()).ok());

  const auto both = store_->ReadFleet(seconds(10), Soon());
  ASSERT_TRUE(both.ok()) << both.error().ToString();
  EXPECT_THAT(both->hosts, ElementsAre("a", "b"));
  ASSERT_EQ(both->readiness.size(), 1U);
  EXPECT_EQ(both->readiness[0].readiness.reason, "no");
  EXPECT_TRUE(both->readiness[0].readiness.broken);
  clock_.shift = seconds(12);

  EXPECT_THAT(store_->ReadFleet(seconds(10), Soon())->hosts, ElementsAre("b"));
}

TEST_P(ReleaseStoreTest, FeedbackCountsOnceInTheArmThatAnswered) {
  ReleaseSpec spec = Spec();
  spec.policy.custom.push_back(
      {.name = "stars", .less_is_worse = true, .tolerance = 0, .range = Interval{.low = 1, .high = 5}});
  const auto begun = BeginRelease(*store_, spec, "r1", "alice", clock_, Soon());
  ASSERT_TRUE(begun.ok());
  Transition next = Advance(*begun, {.now = clock_.WallNow(), .fleet = Observation::Fleet::kReady});
  next.release = Confirm(next.release, 17, clock_.WallNow()).release;
  ASSERT_TRUE(store_->Save({.release = &next.release}, Soon()).ok());
  OutcomeBoard board({});
  const Feedback feedback{.model = "m",
                          .route = "canary;17",
                          .request_id = "q1",
                          .metric = "stars",
                          .value = 4,
                          .label = "good",
                          .correction = "a cat",
                          .tenant = "acme"};

  const auto first = TakeFeedback(*store_, board, feedback, clock_, Soon());
  const auto again = TakeFeedback(*store_, board, feedback, clock_, Soon());

  ASSERT_TRUE(first.ok()) << first.error().ToString();
  ASSERT_TRUE(again.ok()) << again.error().ToString();
  EXPECT_TRUE(*first);
  EXPECT_FALSE(*again);
  const auto recorder = board.Arm({.model = "m", .series = "r1", .arm = "canary"}, clock_.WallNow());
  EXPECT_EQ(recorder->Read().custom[0], (Moments{.count = 1, .sum = 4, .squares = 16}));
  const auto kept = store_->ListFeedback("r1", "", 10, Soon());
  ASSERT_TRUE(kept.ok());
  ASSERT_EQ(kept->size(), 1U);
  EXPECT_EQ(kept->front().correction, "a cat");

  const auto reason = [&](const auto& change) {
    Feedback wrong = feedback;
    change(wrong);
    return TakeFeedback(*store_, board, wrong, clock_, Soon()).error().reason();
  };
  EXPECT_EQ(reason([](Feedback& f) { f.route = "canary;16"; }), "feedback_other_route");
  EXPECT_EQ(reason([](Feedback& f) { f.route = "rule-1;18"; }), "feedback_other_route");
  EXPECT_EQ(reason([](Feedback& f) { f.route = "canary"; }), "feedback_invalid");
  EXPECT_EQ(reason([](Feedback& f) { f.metric = "moons"; }), "feedback_invalid");
  EXPECT_EQ(reason([](Feedback& f) { f.value = 6; }), "feedback_invalid");
  EXPECT_EQ(reason([](Feedback& f) { f.request_id.clear(); }), "feedback_invalid");
  EXPECT_EQ(reason([](Feedback& f) { f.correction.assign(kMaxFeedbackText + 1, 'x'); }), "feedback_invalid");
  EXPECT_EQ(reason([](Feedback& f) { f.model = "other"; }), "release_missing");
}

TEST_P(ReleaseStoreTest, FeedbackBeyondTheLimitIsRefusedAndLeavesNothing) {
  ReleaseStore small({.max_feedback = 3}, *db_, clock_);
  const auto add = [&](const std::string& release, const std::string& request) {
    return small.AddFeedback({.release = release, .request_id = request, .metric = "stars", .value = 1},
                             Soon());
  };
  for (const char* request : {"q1", "q2", "q3"}) ASSERT_TRUE(*add("r1", request));

  const auto again = add("r1", "q2");
  const auto beyond = add("r1", "q4");

  ASSERT_TRUE(again.ok()) << "what was counted before is no new one";
  EXPECT_FALSE(*again);
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(beyond.error().reason(), "feedback_full");
  EXPECT_EQ(beyond.error().message(), "release 'r1' has 3 feedbacks, as many as it may");
  EXPECT_EQ(small.ListFeedback("r1", "", 10, Soon())->size(), 3U);
  EXPECT_TRUE(*add("r2", "q4")) << "another release has its own";
}

TEST_P(ReleaseStoreTest, OldLooksAreThinnedOutAndVerdictsStay) {
  Release release = Begin();
  const auto keep = [&](bool turning) {
    const auto saved = store_->Save({.release = &release,
                                     .evidence = EvidenceRow{.at = clock_.WallNow(),
                                                             .step = 0,
                                                             .verdict = turning ? "turn" : "look",
                                                             .turning = turning}},
                                    Soon());
    ASSERT_TRUE(saved.ok()) << saved.error().ToString();
    release.revision = *saved;
  };
  for (int i = 0; i < 180; ++i) {  // Half an hour, a look each 10 s and a verdict each 5 minutes.
    keep(i % 30 == 0);
    clock_.shift += seconds(10);
  }
  const auto counted = [&] {
    std::map<std::string, int> count;
    const auto rows = store_->Evidence(release.id, 1000, Soon());
    if (!rows.ok()) return count;
    for (const EvidenceRow& row : *rows) {
      EXPECT_EQ(row.turning, row.verdict == "turn");
      ++count[row.verdict];
    }
    return count;
  };
  ASSERT_TRUE(store_->Prune(hours(1), Soon()).ok());
  EXPECT_EQ(counted(), (std::map<std::string, int>{{"turn", 6}, {"look", 174}})) << "none is old";

  clock_.shift += hours(2);
  const auto pruned = store_->Prune(hours(1), Soon());
  const auto behind_an_hour = counted();
  const auto nothing_left = store_->Prune(hours(1), Soon());
  clock_.shift += hours(40);
  ASSERT_TRUE(store_->Prune(hours(1), Soon()).ok());

  ASSERT_TRUE(pruned.ok()) << pruned.error().ToString();
  EXPECT_EQ(behind_an_hour.at("turn"), 6);
  EXPECT_GE(behind_an_hour.at("look"), 3);
  EXPECT_LE(behind_an_hour.at("look"), 4);
  EXPECT_EQ(*pruned, 174 - behind_an_hour.at("look"));
  EXPECT_EQ(*nothing_left, 0);
  EXPECT_EQ(counted().at("turn"), 6);
  EXPECT_LE(counted().at("look"), 2);
}

TEST_P(ReleaseStoreTest, AControllerCarriesAReleaseOutAndACommandTakesItBack) {
  testing::FakeRoutes routes;  // Used by one thread at a time: the controllers' and, when stopped, this one.
  testing::FakeVersions versions;
  OutcomeBoard board({});
  observe::Registry registry;
  observe::Logger log({.level = observe::LogLevel::kOff}, clock_);
  const Release release = Begin();
  {
    ReleaseController controller(
        {.period = milliseconds(50)},
        {.driver = {.rows = *store_, .routes = routes, .versions = versions, .board = board, .clock = clock_},
         .db = db_.get(),
         .registry = registry,
         .log = log},
        "host-1");
    controller.Start();
    const TimePoint limit = Soon();
    while (clock_.Now() < limit &&
           store_->Load(release.id, Soon())->release.state != ReleaseState::kRunning) {
      std::this_thread::sleep_for(milliseconds(20));
    }
    controller.Stop();
  }
  ASSERT_EQ(store_->Load(release.id, Soon())->release.state, ReleaseState::kRunning);

  const auto back =
      CommandRelease(*store_, routes, release.id, Command::kRollBack, "", "bob", clock_, Soon());

  ASSERT_TRUE(back.ok()) << back.error().ToString();
  EXPECT_THAT(routes.rows["m"].text, HasSubstr(R"("arms":[{"name":"stable","version":"3","weight":10000}])"));
  EXPECT_TRUE(store_->Open(Soon())->empty());
}

INSTANTIATE_TEST_SUITE_P(Databases, ReleaseStoreTest,
                         ::testing::Values(storage::SqlDialect::kSqlite, storage::SqlDialect::kPostgres),
                         [](const ::testing::TestParamInfo<storage::SqlDialect>& info) {
                           return info.param == storage::SqlDialect::kSqlite ? "Sqlite" : "Postgres";
                         });

}  // namespace
}  // namespace mezzo::releases
