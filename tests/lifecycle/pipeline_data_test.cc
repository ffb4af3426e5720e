// Data that pipelines watch, on real databases: hosts take turns, hosts end, and a change begins one run.

#include "crashing_db.h"
#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/lifecycle/data_watcher.h"
#include "mezzo/lifecycle/pipeline_store.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kText = R"(
model: churn
triggers: [{kind: data, dataset: raw, prefix: churn/daily, settle: 30s}]
stages: [{name: a, kind: test, version: latest}]
)";

/// Holds what the test says.
class FakeDatasets final : public Datasets {
 public:
  Result<DataSight> Look(const std::string& dataset, const std::string& prefix, TimePoint) override {
    ++looks;
    if (away) return Unavailable("pipeline_dataset_unreadable", "dataset 'raw': its disk is away");
    return sights[dataset + "/" + prefix];
  }
  void Change(const std::string& where, WallTime now) {
    DataSight& sight = sights[where];
    sight.digest = "change " + std::to_string(++changes);
    ++sight.files;
    sight.newest = now;
  }
  std::map<std::string, DataSight> sights;
  int changes = 0;
  int looks = 0;
  bool away = false;
};

class PipelineDataTest : public RegistryFixture {
 protected:
  PipelineDataTest() {
    const auto migrated = storage::Migrate(*database_->db, "pipelines", PipelineMigrations(), Soon(), real_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    rules_.datasets = {"raw"};
    datasets_.Change("raw/churn/daily", clock_.WallNow());
  }
  struct Host {
    Host(PipelineDataTest& test, storage::SqlDb& db, const std::string& name)
        : store({}, {.db = db, .clock = test.clock_, .outbox = nullptr, .check_webhook = nullptr}),
          log({.level = observe::LogLevel::kError}, test.clock_),
          watcher({.host = name}, {.store = store,
                                   .datasets = test.datasets_,
                                   .clock = test.clock_,
                                   .log = log,
                                   .metrics = metrics}) {}
    PipelineStore store;
    observe::Logger log;
    observe::Registry metrics;
    DataWatcher watcher;
  };
  Result<PipelineRecord> Put(const std::string& name, const std::string& text) {
    return pipelines_.Put(name, text, rules_, {.who = "ann", .tenant = TenantId("t")}, Soon());
  }
  std::vector<PipelineRun> Runs(const std::string& name = "p") {
    return pipelines_.Runs({.pipeline = name}, Soon()).value();
  }
  PipelineRecord::Trigger::Watched Watched(const std::string& name = "p") {
    return *pipelines_.Get(name, Soon())->triggers.at(0).watched;
  }
  static DataWatcher::Round Look(Host& host) {
    const auto round = host.watcher.RunOnce();
    EXPECT_TRUE(round.ok()) << round.error().ToString();
    return round.ok() ? *round : DataWatcher::Round();
  }
  /// How many changes are in the run, which may have been joined by further ones.
  static std::size_t In(const std::vector<PipelineRun>& runs) {
    std::size_t changes = 0;
    for (const PipelineRun& run : runs) changes += 1 + run.trigger.joined;
    return changes;
  }

  PipelineRules rules_;
  FakeDatasets datasets_;
  PipelineStore pipelines_{
      {}, {.db = *database_->db, .clock = clock_, .outbox = nullptr, .check_webhook = nullptr}};
};

TEST_P(PipelineDataTest, NewDataThatHasSettledBeginsARunThatSaysWhatItIs) {
  ASSERT_TRUE(Put("p", kText).ok());
  Host host(*this, *database_->db, "a");
  EXPECT_FALSE(Watched().seen.has_value());
  Look(host);
  EXPECT_EQ(Watched().seen->taken->files, 1U);
  datasets_.Change("raw/churn/daily", clock_.WallNow());
  Look(host);
  EXPECT_TRUE(Watched().seen->pending.has_value());
  clock_.Advance(seconds(29));
  Look(host);
  EXPECT_THAT(Runs(), IsEmpty());
  clock_.Advance(seconds(1));
  EXPECT_EQ(Look(host).runs, 1U);
  clock_.Advance(seconds(100));
  Look(host);
  ASSERT_THAT(Runs(), SizeIs(1));
  const RunTrigger trigger = Runs()[0].trigger;
  EXPECT_EQ(trigger.kind, "data");
  EXPECT_EQ(trigger.key, "raw/churn/daily");
  const auto detail = nlohmann::json::parse(trigger.detail);
  EXPECT_EQ(detail["dataset"], "raw");
  EXPECT_EQ(detail["prefix"], "churn/daily");
  EXPECT_EQ(detail["files"], 2);
  EXPECT_EQ(detail["digest"], "change 2");
}

TEST_P(PipelineDataTest, ThreeHostsLookInTurnsAndAChangeBeginsOneRun) {
  ASSERT_TRUE(Put("p", kText).ok());
  ASSERT_TRUE(Put("q", kText).ok());
  Host a(*this, *database_->db, "a");
  Host b(*this, *database_->db, "b");
  Host c(*this, *database_->db, "c");
  EXPECT_TRUE(Look(a).leads);
  EXPECT_FALSE(Look(b).leads);
  EXPECT_EQ(datasets_.looks, 1) << "two pipelines watch it: it is looked at once";
  datasets_.Change("raw/churn/daily", clock_.WallNow());
  Look(a);
  clock_.Advance(seconds(61));  // The first one is gone: its lease ends.
  EXPECT_TRUE(Look(b).leads);
  EXPECT_FALSE(Look(a).leads);
  EXPECT_FALSE(Look(c).leads);
  clock_.Advance(seconds(61));
  EXPECT_TRUE(Look(c).leads);
  EXPECT_EQ(In(Runs("p")), 1U);
  EXPECT_EQ(In(Runs("q")), 1U);
}

TEST_P(PipelineDataTest, TwoHostsThatBothThinkTheyLeadBeginOneRun) {
  ASSERT_TRUE(Put("p", kText).ok());
  Host a(*this, *database_->db, "a");
  Look(a);
  datasets_.Change("raw/churn/daily", clock_.WallNow());
  Look(a);
  clock_.Advance(seconds(30));
  const auto known = pipelines_.DataTriggers({}, 10, Soon());
  ASSERT_TRUE(known.ok());
  ASSERT_THAT(*known, SizeIs(1));
  const DataStep step =
      Watch((*known)[0].watch, datasets_.sights["raw/churn/daily"], (*known)[0].settle, clock_.WallNow());
  ASSERT_TRUE(step.fire);
  EXPECT_EQ(Look(a).runs, 1U);
  EXPECT_FALSE(pipelines_.KeepWatch((*known)[0], step.next, "", step.fire, Soon()).value());
  EXPECT_EQ(In(Runs()), 1U);
}

TEST_P(PipelineDataTest, AChangeBeginsOneRunWhereverAHostEnds) {
  ASSERT_TRUE(Put("p", kText).ok());
  CrashingDb crashing(*database_->db);
  std::size_t changes = 0;
  int name = 0;
  int crashes = 0;
  {
    Host first(*this, *database_->db, "first");
    Look(first);
  }
  bool crashed = true;
  for (int at = 1; crashed; ++at) {
    ASSERT_LT(at, 50);
    crashed = false;
    for (const bool after : {false, true}) {
      clock_.Advance(seconds(100));
      auto host = std::make_unique<Host>(*this, crashing, std::to_string(++name));
      datasets_.Change("raw/churn/daily", clock_.WallNow());
      ++changes;
      crashing.Arm(at, after);
      for (int round = 0; round < 6; ++round) {
        if (!host->watcher.RunOnce().ok()) {
          ASSERT_TRUE(crashing.crashed());
          crashed = true;
          ++crashes;
          crashing.Arm(0, false);
          host = std::make_unique<Host>(*this, crashing, std::to_string(++name));
        }
        clock_.Advance(seconds(61));
      }
      EXPECT_EQ(In(Runs()), changes) << "crash at " << at << (after ? " after" : " before");
    }
  }
  EXPECT_GE(crashes, 12);
}

TEST_P(PipelineDataTest, ALookThatFailsIsShownAndTheNextOneGoesOn) {
  ASSERT_TRUE(Put("p", kText).ok());
  Host host(*this, *database_->db, "a");
  Look(host);
  datasets_.away = true;
  EXPECT_EQ(Look(host).failed, 1U);
  EXPECT_EQ(Watched().error, "pipeline_dataset_unreadable: dataset 'raw': its disk is away");
  EXPECT_EQ(Watched().seen->taken->files, 1U) << "what was seen stays";
  datasets_.away = false;
  Look(host);
  EXPECT_EQ(Watched().error, "");
  EXPECT_THAT(Runs(), IsEmpty()) << "nothing has changed";
}

TEST_P(PipelineDataTest, WhatIsKnownStaysWithTheFolderAndGoesWithIt) {
  ASSERT_TRUE(Put("p", kText).ok());
  Host host(*this, *database_->db, "a");
  Look(host);
  datasets_.Change("raw/churn/daily", clock_.WallNow());
  std::string text = kText;
  text.replace(text.find("settle: 30s"), 11, "settle: 60s");
  ASSERT_TRUE(Put("p", text).ok());
  Look(host);
  clock_.Advance(seconds(59));
  Look(host);
  EXPECT_THAT(Runs(), IsEmpty());
  clock_.Advance(seconds(1));
  Look(host);
  EXPECT_EQ(In(Runs()), 1U) << "the change was not forgotten with the old text";
  text.replace(text.find("churn/daily"), 11, "churn/other");
  ASSERT_TRUE(Put("p", text).ok());
  EXPECT_FALSE(Watched().seen.has_value());
  clock_.Advance(seconds(1));
  Look(host);
  clock_.Advance(seconds(100));
  Look(host);
  EXPECT_EQ(In(Runs()), 1U) << "what lies in another folder is not new";
}

TEST_P(PipelineDataTest, EventsDoNotBeginWhatIsWatched) {
  ASSERT_TRUE(Put("p", kText).ok());
  for (const char* key : {"raw/churn/daily", "x"}) {
    const auto fired = pipelines_.FireEvent(
        {.kind = "data", .model = "churn", .key = key, .detail = "", .at = clock_.WallNow()}, "ann", Soon());
    ASSERT_TRUE(fired.ok());
    EXPECT_THAT(fired->runs, IsEmpty());
  }
}

TEST_P(PipelineDataTest, WhatMayNotBeWatchedIsRefusedAndChangesNothing) {
  const auto text = [](const std::string& trigger) {
    return "model: m\ntriggers: [" + trigger + "]\nstages: [{name: a, kind: test, version: latest}]\n";
  };
  const std::vector<std::tuple<std::string, std::string, std::string>> wrong = {
      {"{kind: data, dataset: other}", "pipeline_dataset", "triggers[0].dataset is 'other'"},
      {"{kind: data, dataset: raw, prefix: ../x}", "pipeline_dataset", "triggers[0].prefix is '../x'"},
      {"{kind: data, dataset: raw, prefix: /etc}", "pipeline_dataset", "'/etc'"},
      {"{kind: data, dataset: raw, prefix: a/../../b}", "pipeline_dataset", "prefix"},
      {"{kind: data, prefix: a}", "pipeline_stage", "needs 'dataset'"},
      {"{kind: data, settle: 5s}", "pipeline_stage", "needs 'dataset'"},
      {"{kind: data, dataset: raw, key: x}", "pipeline_stage", "does not go with 'dataset'"},
      {"{kind: drift, dataset: raw}", "pipeline_stage", "does not belong to a trigger 'drift'"},
      {"{kind: data, dataset: raw, settle: -1s}", "pipeline_yaml", "settle"},
      {"{kind: data, dataset: raw, prefix: a}, {kind: data, dataset: raw, prefix: a/}", "pipeline_stage",
       "triggers[1].dataset watches 'raw/a' like another trigger"}};
  for (const auto& [trigger, reason, message] : wrong) {
    const auto put = Put("bad", text(trigger));
    EXPECT_EQ(Reason(put), reason) << trigger;
    if (!put.ok()) EXPECT_THAT(std::string(put.error().message()), HasSubstr(message)) << trigger;
    EXPECT_EQ(Reason(pipelines_.Get("bad", Soon())), "pipeline_missing");
  }
}

INSTANTIATE_TEST_SUITE_P(Databases, PipelineDataTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
