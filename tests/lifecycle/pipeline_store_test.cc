#include "mezzo/lifecycle/pipeline_store.h"

#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/jobs/schema.h"
#include "mezzo/jobs/webhook_events.h"
#include "mezzo/jobs/webhook_store.h"
#include "mezzo/lifecycle/pipeline_driver.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kText = R"(
model: churn
webhook: https://example.com/hook
stages:
  - {name: train, kind: train, command: c, metrics: [auc], gates: [auc >= 0.9], retries: 1, backoff: 1s}
  - {name: push, kind: register}
  - {name: check, kind: test}
  - {name: out, kind: release, approval: {role: admin}}
)";
constexpr const char* kOne = "model: m\nstages: [{name: a, kind: test, version: latest}]\n";

PipelineRules Rules() {
  PipelineRules rules;
  rules.commands["c"] = {.max_arguments = 4};
  return rules;
}

class PipelineStoreTest : public RegistryFixture {
 protected:
  PipelineStoreTest() {
    for (const auto& [module, steps] :
         {std::pair("pipelines", PipelineMigrations()), std::pair("jobs", jobs::Migrations())}) {
      const auto migrated = storage::Migrate(*database_->db, module, steps, Soon(), real_);
      EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    }
  }
  PipelineStore::Ports Ports() {
    return {.db = *database_->db,
            .clock = clock_,
            .outbox =
                [this](storage::SqlSession& session, const std::vector<PipelineNotice>& notices) {
                  std::vector<jobs::OutboxEvent> events;
                  for (const PipelineNotice& one : notices) {
                    events.push_back({.id = one.id,
                                      .subject = one.run,
                                      .tenant = one.tenant,
                                      .type = one.type,
                                      .body = one.body,
                                      .url = one.url});
                  }
                  return jobs::AddWebhookEvents(session, events, clock_.WallNow());
                },
            .check_webhook = [](const TenantId&, const std::string& url) -> Result<void> {
              if (url.starts_with("https://")) return {};
              return InvalidArgument("job_request", "no https");
            }};
  }
  Result<PipelineRecord> Put(const std::string& name, const std::string& text,
                             const std::string& who = "ann") {
    return pipelines_.Put(name, text, Rules(), {.who = who, .why = "because", .tenant = TenantId("acme")},
                          Soon());
  }
  void Make(const std::string& name, const std::string& text) {
    const auto put = Put(name, text);
    ASSERT_TRUE(put.ok()) << put.error().ToString();
  }
  PipelineStore::Started Start(const std::string& name, const std::string& kind = "manual") {
    auto started =
        pipelines_.Start(name, {.kind = kind, .who = "ann", .at = clock_.WallNow(), .detail = "{}"}, Soon());
    EXPECT_TRUE(started.ok()) << started.error().ToString();
    return started.ok() ? *std::move(started) : PipelineStore::Started();
  }
  std::size_t RunsOf(const std::string& name) { return pipelines_.Runs({.pipeline = name}, Soon())->size(); }

  PipelineStore pipelines_{{.max_pipelines = 400, .kept_revisions = 3, .kept_runs = 2}, Ports()};
};

TEST_P(PipelineStoreTest, TextsAreKeptWithWhoPutThemAndWhy) {
  Make("nightly", kText);
  const auto second = Put("nightly", kOne, "bob");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->revision, 2);
  EXPECT_EQ(second->created_by, "ann");
  EXPECT_EQ(second->updated_by, "bob");
  EXPECT_EQ(second->model, "m");
  const auto history = pipelines_.History("nightly", 0, 10, Soon()).value();
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(history[0].who, "bob");
  EXPECT_EQ(history[1].text, kText);
  EXPECT_EQ(history[1].why, "because");
  for (int i = 0; i < 5; ++i) Make("nightly", kOne);
  EXPECT_EQ(pipelines_.History("nightly", 0, 10, Soon())->size(), 3U);
  EXPECT_EQ(Reason(pipelines_.Put("nightly", kOne, Rules(), {.who = "x", .expected = 3}, Soon())),
            "pipeline_revision");
  EXPECT_EQ(Reason(pipelines_.Put("new", kOne, Rules(), {.who = "x", .expected = 1}, Soon())),
            "pipeline_revision");
  EXPECT_EQ(Reason(pipelines_.Get("new", Soon())), "pipeline_missing");
  EXPECT_EQ(Reason(Put("../x", kOne)), "pipeline_name");
  EXPECT_EQ(Reason(Put("hooked", std::string(kOne) + "webhook: http://example.com\n")), "pipeline_webhook");
  EXPECT_EQ(
      Reason(Put("nightly",
                 "parameters: {a: {kind: name, example: b}}\npipeline: |\n  model: ${a}\n  stages: [{name: "
                 "a, kind: test, version: latest}]")),
      "pipeline_kind");
  EXPECT_EQ(pipelines_.Get("nightly", Soon())->revision, 7);
}

TEST_P(PipelineStoreTest, ATemplateChangesAllThatIsMadeOfItOrNothing) {
  const std::string of =
      "parameters: {m: {kind: name, example: x}}\npipeline: |\n  model: ${m}\n  triggers: [{kind: every, "
      "period: 2h}]\n  stages: [{name: a, kind: test, version: latest}]\n";
  Make("team", of);
  for (int i = 0; i < 20; ++i)
    Make("of-" + std::to_string(i), "template: team\nwith: {m: model-" + std::to_string(i) + "}\n");
  const auto list = pipelines_.List({.template_name = "team", .limit = 100}, Soon()).value();
  ASSERT_EQ(list.size(), 20U);
  EXPECT_EQ(list[3].triggers.front().next, clock_.WallNow() + hours(2));
  EXPECT_EQ(pipelines_.Get("of-7", Soon())->model, "model-7");
  std::string other = of;
  other.replace(other.find("2h"), 2, "3h");
  clock_.Advance(minutes(30));
  Make("team", other);
  const PipelineRecord seven = pipelines_.Get("of-7", Soon()).value();
  EXPECT_EQ(seven.revision, 2);
  EXPECT_EQ(seven.triggers.front().next, clock_.WallNow() + hours(3));
  EXPECT_EQ(pipelines_.History("of-7", 0, 1, Soon())->front().kind, "template");
  // One more parameter, which the others lack.
  const auto wrong =
      Put("team",
          "parameters: {m: {kind: name, example: x}, n: {kind: name, example: x}}\npipeline: |\n  model: "
          "${m}\n  stages: [{name: '${n}', kind: test, version: latest}]\n");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().reason(), "pipeline_template");
  EXPECT_THAT(wrong.error().message(), HasSubstr("pipeline 'of-0' of this template: with.n is missing"));
  EXPECT_EQ(pipelines_.Get("team", Soon())->revision, 2);
  EXPECT_EQ(pipelines_.Get("of-7", Soon())->revision, 2);
  EXPECT_EQ(Reason(pipelines_.Delete("team", "ann", Soon())), "pipeline_template_used");
  EXPECT_EQ(Reason(pipelines_.Start("team", {.kind = "manual"}, Soon())), "pipeline_is_template");
  EXPECT_EQ(Reason(Put("lost", "template: nowhere\nwith: {}")), "pipeline_template_missing");
  EXPECT_EQ(Reason(Put("circle", "template: of-7\nwith: {}")), "pipeline_template_missing");
}

TEST_P(PipelineStoreTest, OneRunIsQueuedAndFurtherTriggersJoinIt) {
  Make("nightly", kText);
  const PipelineStore::Started first = Start("nightly");
  EXPECT_FALSE(first.joined);
  for (int i = 1; i <= 3; ++i) {
    const PipelineStore::Started more = Start("nightly");
    EXPECT_TRUE(more.joined);
    EXPECT_EQ(more.run.id, first.run.id);
    EXPECT_EQ(more.run.trigger.joined, static_cast<unsigned>(i));
  }
  EXPECT_EQ(RunsOf("nightly"), 1U);
  EXPECT_EQ(Reason(pipelines_.Delete("nightly", "ann", Soon())), "pipeline_running");
  // From many threads at once, too.
  Make("busy", kText);
  std::vector<std::thread> threads;
  std::atomic<int> made{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 5; ++k) {
        const auto started = pipelines_.Start("busy", {.kind = "manual", .who = "t", .detail = "{}"}, Soon());
        if (started.ok() && !started->joined) ++made;
        EXPECT_TRUE(started.ok()) << started.error().ToString();
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(pipelines_.Runs({.pipeline = "busy"}, Soon())->front().trigger.joined, 19U);
}

TEST_P(PipelineStoreTest, EventsBeginRunsOnce) {
  Make("any", std::string(kOne) + "triggers: [{kind: data}, {kind: drift}]\n");
  Make("some", std::string(kOne) + "triggers: [{kind: data, key: 'a/*'}, {kind: data, key: 'b'}]\n");
  const auto fire = [&](const std::string& kind, const std::string& key, const std::string& model = "m") {
    auto fired = pipelines_.FireEvent(
        {.kind = kind, .model = model, .key = key, .detail = R"({"x":1})", .at = clock_.WallNow()}, "ann",
        Soon());
    EXPECT_TRUE(fired.ok()) << fired.error().ToString();
    return *fired;
  };
  EXPECT_EQ(fire("data", "a/1").runs.size(), 2U);
  EXPECT_TRUE(fire("data", "a/1").known);
  EXPECT_EQ(fire("data", "c").runs.size(), 1U);
  EXPECT_EQ(fire("drift", "a/1").runs.size(), 1U);
  EXPECT_EQ(fire("data", "a/1", "other").runs.size(), 0U);
  EXPECT_EQ(fire("objective", "x").runs.size(), 0U);
  EXPECT_EQ(pipelines_.Runs({.pipeline = "any"}, Soon())->front().trigger.joined, 2U);
  EXPECT_TRUE(
      pipelines_
          .Fire({.kind = "drift", .model = "m", .version = 3, .key = "w", .at = clock_.WallNow()}, Soon())
          .ok());
  for (const TriggerEvent& wrong :
       {TriggerEvent{.kind = "x", .model = "m", .key = "k"}, TriggerEvent{.kind = "data", .key = "k"},
        TriggerEvent{.kind = "data", .model = "m"},
        TriggerEvent{.kind = "data", .model = "m", .key = "k", .detail = "[]"},
        TriggerEvent{.kind = "data", .model = "m", .key = std::string(257, 'k')}}) {
    EXPECT_EQ(Reason(pipelines_.Fire(wrong, Soon())), "pipeline_event");
  }
}

TEST_P(PipelineStoreTest, SchedulesFireOnceHoweverLateAndOnHoweverManyHosts) {
  Make("hourly",
       std::string(kOne) + "triggers: [{kind: every, period: 1h}, {kind: schedule, cron: '0 0 1 1 *'}]\n");
  EXPECT_EQ(pipelines_.FireDue(10, Soon()).value(), 0U);
  clock_.Advance(hours(7) + minutes(20));  // Nobody was there.
  std::vector<std::thread> hosts;
  std::atomic<std::size_t> fired{0};
  for (int i = 0; i < 3; ++i)
    hosts.emplace_back([&] {
      PipelineStore host({}, Ports());
      const auto due = host.FireDue(10, Soon());
      if (due.ok()) fired += *due;
      EXPECT_TRUE(due.ok()) << due.error().ToString();
    });
  for (std::thread& host : hosts) host.join();
  EXPECT_EQ(fired, 1U);
  const auto runs = pipelines_.Runs({.pipeline = "hourly"}, Soon()).value();
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].trigger.kind, "every");
  EXPECT_EQ(runs[0].trigger.joined, 0U);
  // On the grid of the first hour.
  EXPECT_EQ(pipelines_.Get("hourly", Soon())->triggers.front().next, clock_.WallNow() + minutes(40));
  // Put again without a change of the schedule, it goes on.
  Make("hourly", std::string(kOne) + "description: x\ntriggers: [{kind: every, period: 1h}]\n");
  EXPECT_EQ(pipelines_.Get("hourly", Soon())->triggers.front().next, clock_.WallNow() + minutes(40));
}

/// What a driver is connected to: a queue that forgets nothing, and a world that does as it is told.
class FakeWorld final : public StageJobs, public PipelineWorld {
 public:
  explicit FakeWorld(unsigned seed) : random_(seed) {}
  /// Every so many calls fail behind what they do: as if the host had gone.
  unsigned crash_one_in = 0;

  Result<std::string> Submit(const TenantId&, const StageJob& job, const std::string&, TimePoint) override {
    const std::string key = job.run + "/" + std::to_string(job.stage) + "/" + std::to_string(job.attempt);
    jobs.try_emplace(key, job);
    MEZZO_TRY_VOID(Crash());
    return key;
  }
  Result<View> Look(const TenantId&, const std::string& id, TimePoint) override {
    MEZZO_TRY_VOID(Crash());
    const auto found = views.find(id);
    return found == views.end() ? View() : found->second;
  }
  Result<void> Cancel(const TenantId&, const std::string& id, TimePoint) override {
    cancelled.insert(id);
    if (!views.contains(id)) views[id] = {.state = RunObservation::Job::kCancelled};
    return Crash();
  }
  Result<Serving> ServingOf(const std::string&, TimePoint) override {
    return Serving{.version = 3, .metrics = {{"auc", 0.9}}};
  }
  Result<Watched> Look(const std::string&, const Outside&, TimePoint) override {
    MEZZO_TRY_VOID(Crash());
    return Watched{.state = RunObservation::Watched::kSucceeded};
  }
  Result<std::optional<Outside>> Release(const std::string&, const PipelineRun&, const StageSpec&,
                                         std::int64_t, TimePoint) override {
    return std::optional<Outside>();
  }
  Result<void> StopRelease(const std::string& id, const std::string&, TimePoint) override {
    stopped.insert(id);
    return Crash();
  }

  /// The queue's hosts: jobs that may work do, those of stages that have gone on do not.
  void Work(PipelineStore& store, TimePoint deadline) {
    for (const auto& [key, job] : jobs) {
      if (views.contains(key) || random_() % 2 == 0) continue;
      const auto run = store.Load(job.run, deadline);
      ASSERT_TRUE(run.ok());
      if (!MayWork(*run, job.stage, job.attempt, key)) {
        views[key] = {.state = RunObservation::Job::kFailed,
                      .failure = {.reason = "pipeline_stage_stale", .message = ""}};
        continue;
      }
      ++worked[job.run + "/" + std::to_string(job.stage)];
      StageResult result;
      if (job.stage == 0) result.metrics["auc"] = 0.95;
      if (job.stage == 1) result.version = 4;
      if (job.stage == 2) result.watch = Outside{.kind = Outside::Kind::kVersion, .id = "4"};
      if (job.stage == 3) result.watch = Outside{.kind = Outside::Kind::kRelease, .id = "rel-" + job.run};
      views[key] = {.state = RunObservation::Job::kSucceeded, .result = result.ToJson()};
    }
  }

  std::map<std::string, StageJob> jobs;
  std::map<std::string, View> views;
  std::map<std::string, int> worked;
  std::set<std::string> cancelled;
  std::set<std::string> stopped;

 private:
  Result<void> Crash() {
    if (crash_one_in > 0 && random_() % crash_one_in == 0) return Unavailable("gone", "the host has gone");
    return {};
  }
  std::minstd_rand random_;
};

TEST_P(PipelineStoreTest, RunsGoOnWhateverHostDrivesThemAndWhereverItEnds) {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    FakeWorld world(seed);
    world.crash_one_in = 4;
    std::vector<std::string> names;
    for (int i = 0; i < 5; ++i) {
      names.push_back("p" + std::to_string(seed) + "-" + std::to_string(i));
      Make(names.back(), kText);
      Start(names.back());
      Start(names.back());
    }
    std::size_t ended = 0;
    for (int round = 0; round < 400 && ended < names.size(); ++round) {
      clock_.Advance(seconds(6));  // Longer than a lease.
      // Another host, which knows nothing, each time.
      PipelineDriver driver({}, {.store = pipelines_, .jobs = world, .world = world, .clock = clock_},
                            "host-" + std::to_string(round));
      const auto driven = driver.Run(Soon());
      ASSERT_TRUE(driven.ok()) << driven.error().ToString();
      ASSERT_TRUE(driven->leads);
      world.Work(pipelines_, Soon());
      ended = 0;
      for (const std::string& name : names) {
        const auto runs = pipelines_.Runs({.pipeline = name}, Soon()).value();
        ASSERT_EQ(runs.size(), 1U);
        const PipelineRun& run = runs.front();
        if (run.state == RunState::kWaiting) {
          EXPECT_EQ(
              Reason(pipelines_.Command(
                  run.id, {.command = RunCommand::kApprove, .who = "o", .role = ApprovalRole::kOperator},
                  Soon())),
              "pipeline_role");
          EXPECT_EQ(Reason(pipelines_.Command(
                        run.id, {.command = RunCommand::kApprove, .who = "a", .role = ApprovalRole::kAdmin},
                        Soon())),
                    "ok");
        }
        if (IsEnded(run.state)) ++ended;
      }
    }
    for (const std::string& name : names) {
      const PipelineRun run = pipelines_.Runs({.pipeline = name}, Soon())->front();
      EXPECT_EQ(run.state, RunState::kSucceeded) << run.ToJson();
      EXPECT_EQ(run.version, 4);
      for (std::size_t stage = 0; stage < 4; ++stage) {
        EXPECT_EQ(run.stages[stage].attempt, 1U);
        EXPECT_EQ(world.worked[run.id + "/" + std::to_string(stage)], 1);
      }
      std::vector<std::string> succeeded;
      const auto events = pipelines_.Events(run.id, 1000, Soon()).value();
      for (const RunEvent& event : events) {
        if (event.kind == "stage.succeeded") succeeded.push_back(event.stage);
      }
      EXPECT_THAT(succeeded, ElementsAre("train", "push", "check", "out"));
      // Each line of the history is a webhook, once.
      jobs::WebhookStore outbox({}, *database_->db, clock_);
      const auto page =
          outbox.List({.tenant = TenantId("acme"), .job = jobs::JobId(run.id), .limit = 100}, Soon());
      ASSERT_TRUE(page.ok()) << page.error().ToString();
      EXPECT_EQ(page->events.size(), events.size());
    }
  }
}

TEST_P(PipelineStoreTest, ACancelledRunIsStoppedOnceAndTheNextOneStarts) {
  FakeWorld world(1);
  Make("p", kText);
  const std::string first = Start("p").run.id;
  PipelineDriver driver({}, {.store = pipelines_, .jobs = world, .world = world, .clock = clock_}, "host");
  ASSERT_TRUE(driver.Run(Soon()).ok());
  EXPECT_EQ(pipelines_.Load(first, Soon())->stages[0].state, StageState::kRunning);
  const std::string second = Start("p").run.id;
  ASSERT_TRUE(driver.Run(Soon()).ok());
  EXPECT_EQ(pipelines_.Load(second, Soon())->state, RunState::kQueued);
  EXPECT_EQ(Reason(pipelines_.Command(first, {.command = RunCommand::kCancel, .who = "ann"}, Soon())), "ok");
  ASSERT_TRUE(driver.Run(Soon()).ok());
  ASSERT_TRUE(driver.Run(Soon()).ok());
  EXPECT_THAT(world.cancelled, ElementsAre(first + "/0/1"));
  EXPECT_EQ(pipelines_.Load(first, Soon())->state, RunState::kCancelled);
  EXPECT_EQ(pipelines_.Load(second, Soon())->state, RunState::kRunning);
  EXPECT_EQ(Reason(pipelines_.Load("x", Soon())), "pipeline_run_missing");
}

TEST_P(PipelineStoreTest, NoMoreCommandsRunThanMay) {
  FakeWorld world(1);
  for (int i = 0; i < 6; ++i) {
    Make("p" + std::to_string(i), kText);
    Start("p" + std::to_string(i));
  }
  PipelineDriver driver({.max_commands = 2},
                        {.store = pipelines_, .jobs = world, .world = world, .clock = clock_}, "host");
  for (int round = 0; round < 3; ++round) ASSERT_TRUE(driver.Run(Soon()).ok());
  EXPECT_EQ(world.jobs.size(), 2U);
  for (const auto& [key, job] : world.jobs)
    world.views[key] = {.state = RunObservation::Job::kSucceeded, .result = R"({"metrics":{"auc":0.5}})"};
  ASSERT_TRUE(driver.Run(Soon()).ok());
  ASSERT_TRUE(driver.Run(Soon()).ok());
  EXPECT_EQ(world.jobs.size(), 4U);
}

TEST_P(PipelineStoreTest, ARunThatCantBeReadHoldsUpNoOther) {
  FakeWorld world(1);
  Make("p", kText);
  Make("q", kText);
  const std::string bad = Start("p").run.id;
  const std::string good = Start("q").run.id;
  const auto spoil = [&](storage::SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.Run("UPDATE pipeline_runs SET body = '{}' WHERE id = $1", {bad}));
    return {};
  };
  ASSERT_TRUE(database_->db->Transact(spoil, Soon()).ok());
  PipelineDriver driver({}, {.store = pipelines_, .jobs = world, .world = world, .clock = clock_}, "host");
  const auto round = driver.Run(Soon());
  ASSERT_TRUE(round.ok()) << round.error().ToString();
  ASSERT_EQ(round->errors.size(), 1U);
  EXPECT_THAT(round->errors[0].message(), HasSubstr("run '" + bad + "' can't be read"));
  EXPECT_EQ(pipelines_.Load(good, Soon())->state, RunState::kRunning);
}

TEST_P(PipelineStoreTest, OnlyOneHostLeadsUntilItsLeaseEnds) {
  EXPECT_TRUE(pipelines_.Lead("a", seconds(5), Soon()).value());
  EXPECT_FALSE(pipelines_.Lead("b", seconds(5), Soon()).value());
  clock_.Advance(seconds(4));
  EXPECT_TRUE(pipelines_.Lead("a", seconds(5), Soon()).value());
  clock_.Advance(seconds(5));
  EXPECT_TRUE(pipelines_.Lead("b", seconds(5), Soon()).value());
}

TEST_P(PipelineStoreTest, ARunIsKeptOnlyOverTheOneThatWasRead) {
  Make("p", kText);
  const PipelineRun run = Start("p").run;
  const RunTransition one = JoinRun(run, {.kind = "manual", .who = "a"}, clock_.WallNow());
  EXPECT_EQ(Reason(pipelines_.Save(one, Soon())), "ok");
  EXPECT_EQ(Reason(pipelines_.Save(one, Soon())), "pipeline_conflict");
  EXPECT_EQ(pipelines_.Load(run.id, Soon())->trigger.joined, 1U);
}

TEST_P(PipelineStoreTest, WhatIsOldIsForgotten) {
  Make("p", kOne);
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(seconds(1));
    ids.push_back(Start("p").run.id);
    EXPECT_EQ(Reason(pipelines_.Command(ids.back(), {.command = RunCommand::kCancel, .who = "ann"}, Soon())),
              "ok");
  }
  const std::string open = Start("p").run.id;
  EXPECT_TRUE(
      pipelines_.Fire({.kind = "data", .model = "m", .key = "k", .at = clock_.WallNow()}, Soon()).ok());
  EXPECT_EQ(pipelines_.Prune(Soon()).value(), 4);  // Two are kept, the open one among them.
  EXPECT_EQ(RunsOf("p"), 2U);
  EXPECT_EQ(Reason(pipelines_.Load(open, Soon())), "ok");
  EXPECT_EQ(Reason(pipelines_.Load(ids[0], Soon())), "pipeline_run_missing");
  EXPECT_TRUE(pipelines_.Events(ids[0], 10, Soon())->empty());
  clock_.Advance(hours(24 * 31));
  EXPECT_EQ(pipelines_.Prune(Soon()).value(), 1);
  EXPECT_FALSE(
      pipelines_.FireEvent({.kind = "data", .model = "m", .key = "k", .at = clock_.WallNow()}, "a", Soon())
          ->known);
}

INSTANTIATE_TEST_SUITE_P(Databases, PipelineStoreTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
