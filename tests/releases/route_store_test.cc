// Routes on real databases: SQLite and PostgreSQL answer alike, and a change reaches the hosts' feeds.

#include "mezzo/releases/route_store.h"

#include <atomic>
#include <thread>

#include "databases.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/cache/epoch_store.h"
#include "mezzo/releases/route_feed.h"
#include "mezzo/storage/testing/cuttable_db.h"

namespace mezzo::releases {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

/// Versions 1 to 5 of every model but "none".
class FiveVersions final : public VersionSource {
 public:
  Result<void> Check(const std::string& model, std::int64_t version) override {
    if (model != "none" && version <= 5) return {};
    return InvalidArgument("route_version_unknown", "no version " + std::to_string(version));
  }
};

struct Host {
  Host(storage::SqlDb& db, const Clock& clock, RouteFeed::Options options)
      : link(db),
        log({}, clock),
        router({}, {.clock = clock, .registry = registry}),
        store({}, {.db = link, .clock = clock}),
        feed(options, {.store = store,
                       .db = link,
                       .router = router,
                       .clock = clock,
                       .log = log,
                       .registry = registry,
                       .health = health}) {
    EXPECT_TRUE(feed.Load().ok());
    feed.Start();
  }
  ~Host() { feed.Stop(); }
  [[nodiscard]] std::int64_t RevisionOf(const char* model) const {
    const auto route = router.Find(model);
    return route == nullptr ? 0 : route->revision();
  }

  storage::testing::CuttableDb link;
  observe::Logger log;
  observe::Registry registry;
  observe::Health health;
  Router router;
  RouteStore store;
  RouteFeed feed;
};

class RouteStoreTest : public ::testing::TestWithParam<storage::SqlDialect> {
 protected:
  RouteStoreTest() {
    for (const auto& [name, migrations] :
         {std::pair("cache", cache::EpochMigrations()), std::pair("routes", RouteMigrations())}) {
      const auto migrated = storage::Migrate(*database_->db, name, migrations, Soon(), clock_);
      EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    }
  }
  TimePoint Soon() const { return clock_.Now() + seconds(30); }
  static Route To(std::int64_t version) { return {.stable = VersionName::Number(version)}; }
  Result<RouteRevision> Put(const std::string& model, std::int64_t version,
                            std::optional<std::int64_t> expected = std::nullopt) {
    return store_.Put(model, To(version), {.who = "tester", .why = "because", .expected = expected}, Soon());
  }
  std::uint64_t EpochOf(const char* model) {
    return cache::EpochStore(*database_->db).Load(0, Soon()).value()->Of(model);
  }
  template <typename Condition>
  bool Eventually(Condition condition) {
    const TimePoint limit = Soon();
    while (!condition() && clock_.Now() < limit) std::this_thread::sleep_for(milliseconds(2));
    return condition();
  }

  RealClock clock_;
  std::unique_ptr<tenancy::TestDatabase> database_ = tenancy::OpenEmptyDatabase(GetParam(), clock_);
  FiveVersions versions_;
  RouteStore store_{{.max_routes = 3, .max_history = 4},
                    {.db = *database_->db, .clock = clock_, .versions = &versions_}};
};

TEST_P(RouteStoreTest, ARouteComesBackAsItWasPut) {
  EXPECT_EQ(store_.Get("m", Soon()).error().reason(), "route_unknown");
  const Route route = ParseRoute(R"({"stable":"1","split":{"sticky":"tenant","salt":"x","arms":[)"
                                 R"({"name":"stable","version":"1","weight":9000},)"
                                 R"({"name":"canary","version":"2","weight":1000}]}})")
                          .value();
  const auto put = store_.Put("m", route, {.who = "alice", .why = "first"}, Soon());
  ASSERT_TRUE(put.ok()) << put.error().ToString();
  EXPECT_EQ(put->revision, 1);
  const auto got = store_.Get("m", Soon());
  EXPECT_EQ(got->route, route);
  EXPECT_EQ(got->who, "alice");
  EXPECT_EQ(got->why, "first");
  EXPECT_EQ(got->at_us, put->at_us);
}

TEST_P(RouteStoreTest, AChangeIsForTheRevisionItExpects) {
  EXPECT_THAT(Put("m", 1, 4).error().message(), HasSubstr("expected at revision 4, and there is none"));
  EXPECT_EQ(Put("m", 1, 0)->revision, 1);
  EXPECT_EQ(Put("m", 2, 0).error().reason(), "route_revision");
  EXPECT_EQ(Put("m", 2, 1)->revision, 2);
  EXPECT_EQ(Put("m", 3, 1).error().message(),
            "the route of model 'm' is at revision 2; the change was for revision 1");
  EXPECT_EQ(store_.Get("m", Soon())->route, To(2)) << "nothing has changed";
  EXPECT_EQ(store_.History("m", 0, 10, Soon())->size(), 2U);
}

TEST_P(RouteStoreTest, AChangeRaisesTheModelsEpochAndAnEqualRouteChangesNothing) {
  const auto before = EpochOf("m");
  ASSERT_TRUE(Put("m", 1).ok());
  EXPECT_EQ(EpochOf("m"), before + 1);
  EXPECT_EQ(Put("m", 1)->revision, 1);
  EXPECT_EQ(Put("m", 1, 7).error().reason(), "route_revision");
  EXPECT_EQ(EpochOf("m"), before + 1);
  EXPECT_EQ(EpochOf("n"), 1U);
}

TEST_P(RouteStoreTest, WhatDoesNotExistIsRefusedAndChangesNothing) {
  EXPECT_EQ(Put("m", 6).error().reason(), "route_version_unknown");
  EXPECT_EQ(Put("none", 1).error().reason(), "route_version_unknown");
  EXPECT_EQ(Put("a/b", 1).error().reason(), "route_model");
  Route aliased = To(1);
  aliased.stable = VersionName::Parse("@champion").value();
  EXPECT_EQ(store_.Put("m", aliased, {}, Soon()).error().message(), "model 'm' has no alias 'champion'");
  EXPECT_EQ(store_.Put("m", To(1), {.why = std::string(501, 'x')}, Soon()).error().reason(), "route_change");
  EXPECT_EQ(store_.Rollback("m", std::nullopt, {}, Soon()).error().reason(), "route_unknown");
  EXPECT_TRUE(store_.List("", 10, Soon())->empty());
  EXPECT_EQ(EpochOf("m"), 1U);
}

TEST_P(RouteStoreTest, RollsBackToThePreviousOrAGivenRevision) {
  for (int version = 1; version <= 3; ++version) ASSERT_TRUE(Put("m", version).ok());
  const auto back = store_.Rollback("m", std::nullopt, {.who = "bob"}, Soon());
  ASSERT_TRUE(back.ok()) << back.error().ToString();
  EXPECT_EQ(back->revision, 4);
  EXPECT_EQ(back->route, To(2));
  EXPECT_EQ(back->why, "rollback to revision 2");
  EXPECT_EQ(store_.Rollback("m", 1, {.who = "bob", .why = "worse"}, Soon())->route, To(1));
  EXPECT_EQ(store_.Rollback("m", 9, {}, Soon()).error().message(),
            "the route of model 'm' has no revision 9 to go back to");
  EXPECT_EQ(store_.Rollback("m", 1, {.expected = 2}, Soon()).error().reason(), "route_revision");
  EXPECT_EQ(EpochOf("m"), 6U) << "five changes";
}

TEST_P(RouteStoreTest, HistoryIsNewestFirstInPagesAndBounded) {
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(Put("m", 1 + i % 5).ok());
  const auto first = store_.History("m", 0, 3, Soon());
  ASSERT_EQ(first->size(), 3U);
  EXPECT_EQ(first->at(0).revision, 6);
  EXPECT_EQ(first->at(0).who, "tester");
  const auto rest = store_.History("m", 4, 10, Soon());
  ASSERT_EQ(rest->size(), 1U) << "four are kept";
  EXPECT_EQ(rest->at(0).revision, 3);
  EXPECT_EQ(store_.History("n", 0, 3, Soon()).error().reason(), "route_unknown");
}

TEST_P(RouteStoreTest, RoutesAreListedInPagesAndBounded) {
  for (const char* model : {"c", "a", "b"}) ASSERT_TRUE(Put(model, 1).ok());
  EXPECT_EQ(Put("d", 1).error().reason(), "too_many_routes");
  EXPECT_TRUE(Put("a", 2).ok()) << "replacing needs no room";
  const auto first = store_.List("", 2, Soon());
  ASSERT_EQ(first->size(), 2U);
  EXPECT_EQ(first->at(0).model, "a");
  EXPECT_EQ(store_.List("b", 2, Soon())->at(0).model, "c");
}

TEST_P(RouteStoreTest, OnlyWhatHasChangedIsLoaded) {
  ASSERT_TRUE(Put("a", 1).ok());
  ASSERT_TRUE(Put("b", 1).ok());
  const auto all = store_.Load(0, Soon()).value();
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(all->routes.size(), 2U);
  EXPECT_FALSE(store_.Load(all->counter, Soon()).value().has_value());
  ASSERT_TRUE(Put("b", 2).ok());
  const auto changed = store_.Load(all->counter, Soon()).value();
  ASSERT_EQ(changed->routes.size(), 1U);
  EXPECT_EQ(changed->routes[0].model, "b");
  EXPECT_EQ(store_.Load(changed->counter + 100, Soon()).value()->routes.size(), 2U) << "another database";
}

// Many hosts change one route at once: of each revision there is one, and none is lost.
TEST_P(RouteStoreTest, OfChangesForOneRevisionOneWins) {
  ASSERT_TRUE(Put("m", 1).ok());
  for (int round = 0; round < 5; ++round) {
    const std::int64_t at = store_.Get("m", Soon())->revision;
    std::atomic<int> won = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        Route route = To(2);
        route.salt = std::to_string(round) + "-" + std::to_string(i);
        route.arms = {{.name = "a", .version = VersionName::Number(1 + i), .weight = kWholeWeight}};
        const auto put = store_.Put("m", route, {.expected = at}, Soon());
        if (put.ok()) {
          ++won;
        } else {
          EXPECT_EQ(put.error().reason(), "route_revision") << put.error().ToString();
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(won, 1);
    EXPECT_EQ(store_.Get("m", Soon())->revision, at + 1);
  }
}

TEST_P(RouteStoreTest, AChangeReachesEveryHost) {
  Host a(*database_->db, clock_, {.poll = milliseconds(100)});
  Host b(*database_->db, clock_, {.poll = milliseconds(100)});
  EXPECT_EQ(b.RevisionOf("m"), 0);
  ASSERT_TRUE(Put("m", 1).ok());
  ASSERT_TRUE(a.feed.CatchUp(seconds(20)));
  EXPECT_EQ(a.RevisionOf("m"), 1);
  EXPECT_TRUE(Eventually([&] { return b.RevisionOf("m") == 1; }));
  ASSERT_TRUE(Put("m", 2).ok());
  ASSERT_TRUE(Put("n", 2).ok());
  EXPECT_TRUE(Eventually([&] { return b.RevisionOf("m") == 2 && b.RevisionOf("n") == 1; }));
}

TEST_P(RouteStoreTest, AHostThatCantReadGoesOnWithItsLastRouteAndSaysSo) {
  Host host(*database_->db, clock_, {.poll = milliseconds(50), .trusted = milliseconds(500)});
  ASSERT_TRUE(Put("m", 1).ok());
  ASSERT_TRUE(host.feed.CatchUp(seconds(20)));
  EXPECT_TRUE(host.feed.IsFresh(clock_.Now()));
  host.link.Cut(true);
  ASSERT_TRUE(Put("m", 2).ok());
  EXPECT_TRUE(Eventually([&] { return !host.feed.IsFresh(clock_.Now()); }));
  EXPECT_EQ(host.RevisionOf("m"), 1);
  const auto report = host.health.Report();
  ASSERT_EQ(report.size(), 1U);
  EXPECT_EQ(report[0].name, "routes");
  EXPECT_FALSE(report[0].ok);
  EXPECT_TRUE(host.health.ready()) << "degraded, not unready";

  host.link.Cut(false);
  EXPECT_TRUE(Eventually([&] { return host.RevisionOf("m") == 2; }));
  EXPECT_TRUE(Eventually([&] { return host.health.Report()[0].ok; }));
}

TEST_P(RouteStoreTest, WhatANewerHostHasWrittenIsLeftAsItWas) {
  ASSERT_TRUE(Put("m", 1).ok());
  Host host(*database_->db, clock_, {.poll = milliseconds(50)});
  EXPECT_EQ(host.RevisionOf("m"), 1);
  const auto work = [](storage::SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.Run("UPDATE route_changes SET counter = counter + 1", {}));
    MEZZO_TRY_VOID(
        session.Run("UPDATE model_routes SET revision = 2, route = '{\"by_weather\":1}', "
                    "changed = (SELECT counter FROM route_changes)",
                    {}));
    return {};
  };
  ASSERT_TRUE(database_->db->Transact(work, Soon()).ok());
  ASSERT_TRUE(host.feed.CatchUp(seconds(20)));
  EXPECT_EQ(host.RevisionOf("m"), 1);
  ASSERT_TRUE(Put("n", 1).ok());
  const auto listed = store_.List("", 10, Soon());
  ASSERT_TRUE(listed.ok()) << listed.error().ToString();
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_EQ(listed->at(0).model, "n");
  EXPECT_EQ(store_.Get("m", Soon()).error().reason(), "route_json");
  ASSERT_TRUE(Put("m", 3).ok());
  EXPECT_TRUE(Eventually([&] { return host.RevisionOf("m") == 3; }));
}

/// Says what the test wants of versions, within the transaction.
class FakeNames final : public NameCheck {
 public:
  Result<void> Check(storage::SqlSession& session, const std::string&, const std::set<std::int64_t>& versions,
                     const std::set<std::string>& aliases) override {
    MEZZO_TRY_VOID(session.Run("SELECT counter FROM route_changes WHERE one = 1", {}));
    asked = versions;
    asked_aliases = aliases;
    if (refuse) return InvalidArgument("route_version_not_ready", "version 2 is rejected, not ready");
    return {};
  }
  bool refuse = false;
  std::set<std::int64_t> asked;
  std::set<std::string> asked_aliases;
};

TEST_P(RouteStoreTest, NamesAreCheckedInTheTransactionAndARefusalChangesNothing) {
  FakeNames names;
  RouteStore store({}, {.db = *database_->db, .clock = clock_, .names = &names});
  const auto put = [&](const char* text) {
    return store.Put("m", *ParseRoute(text), {.who = "tester", .why = "", .expected = std::nullopt}, Soon());
  };
  ASSERT_TRUE(put(R"({"stable": "1", "rules": [{"header": "x", "equals": "1", "version": "@c"}],
                      "shadows": [{"version": "latest", "share": 1}]})")
                  .ok());
  EXPECT_EQ(names.asked, (std::set<std::int64_t>{0, 1}));
  EXPECT_EQ(names.asked_aliases, (std::set<std::string>{"c"}));
  const auto epoch = EpochOf("m");
  names.refuse = true;
  EXPECT_EQ(put(R"({"stable": "2"})").error().reason(), "route_version_not_ready");
  EXPECT_EQ(store.Get("m", Soon())->revision, 1);
  EXPECT_EQ(EpochOf("m"), epoch);
  names.refuse = false;
  ASSERT_TRUE(put(R"({"stable": "2"})").ok());
  names.refuse = true;
  const auto back = store.Rollback("m", {}, {.who = "tester", .why = "", .expected = std::nullopt}, Soon());
  EXPECT_EQ(back.error().reason(), "route_version_not_ready") << "going back, too";
  EXPECT_EQ(store.Get("m", Soon())->revision, 2);
}

TEST_P(RouteStoreTest, ARouteWhoseVersionsAreNotHereWaitsAndCallsGoWhereTheyWent) {
  observe::Logger log({}, clock_);
  observe::Registry registry;
  observe::Health health;
  Router router({}, {.clock = clock_, .registry = registry});
  std::atomic<std::int64_t> newest_here{1};
  RouteFeed feed({.poll = milliseconds(20), .longest_hold = seconds(20)},
                 {.store = store_,
                  .db = *database_->db,
                  .router = router,
                  .clock = clock_,
                  .log = log,
                  .registry = registry,
                  .health = health,
                  .ready = [&](const std::string&, const Route& route) {
                    return route.stable.number <= newest_here.load();
                  }});
  const auto revision = [&] {
    const auto route = router.Find("m");
    return route == nullptr ? 0 : route->revision();
  };
  ASSERT_TRUE(feed.Load().ok());
  feed.Start();
  ASSERT_TRUE(Put("m", 2).ok());
  ASSERT_TRUE(Eventually([&] { return revision() == 1; })) << "the first one is in force at once";
  ASSERT_TRUE(Put("m", 3).ok());
  ASSERT_TRUE(feed.CatchUp(seconds(20)));
  ASSERT_TRUE(feed.CatchUp(seconds(20)));
  EXPECT_EQ(revision(), 1);
  ASSERT_TRUE(Put("m", 4).ok()) << "takes the place of the one that waits";
  newest_here = 3;
  ASSERT_TRUE(feed.CatchUp(seconds(20)));
  EXPECT_EQ(revision(), 1);
  newest_here = 4;
  EXPECT_TRUE(Eventually([&] { return revision() == 3; }));
  ASSERT_TRUE(Put("m", 1).ok());
  EXPECT_TRUE(Eventually([&] { return revision() == 4; })) << "what is here does not wait";
  feed.Stop();
}

TEST_P(RouteStoreTest, ARouteThatWaitsTooLongIsInForceAllTheSame) {
  observe::Logger log({}, clock_);
  observe::Registry registry;
  observe::Health health;
  Router router({}, {.clock = clock_, .registry = registry});
  RouteFeed feed({.poll = milliseconds(20), .longest_hold = milliseconds(100)},
                 {.store = store_,
                  .db = *database_->db,
                  .router = router,
                  .clock = clock_,
                  .log = log,
                  .registry = registry,
                  .health = health,
                  .ready = [](const std::string&, const Route&) { return false; }});
  ASSERT_TRUE(Put("m", 1).ok());
  ASSERT_TRUE(feed.Load().ok());
  feed.Start();
  ASSERT_TRUE(Put("m", 2).ok());
  EXPECT_TRUE(Eventually([&] { return router.Find("m")->revision() == 2; }));
  feed.Stop();
}

INSTANTIATE_TEST_SUITE_P(Both, RouteStoreTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::releases
