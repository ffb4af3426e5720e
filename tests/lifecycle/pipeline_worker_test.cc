#include "mezzo/lifecycle/pipeline_worker.h"

#include <map>
#include <set>

#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/command_runner.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/memory_blob_store.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kText = R"(
model: churn
stages:
  - {name: train, kind: train, command: c, metrics: [auc]}
  - {name: push, kind: register, label: candidate, data: all, code: abc}
  - {name: check, kind: test}
  - {name: out, kind: release}
  - {name: away, kind: retire}
)";

/// Makes two files, one of them empty and one large enough for pieces.
class FakeRunner final : public StageRunner {
 public:
  explicit FakeRunner(storage::BlobStore& blobs) : blobs_(blobs) {}
  Result<StageOutcome> Run(const StageCommand& command, const std::function<bool()>& stop) override {
    if (stop()) return Cancelled("pipeline_stopped", "stopped");
    StageOutcome outcome{.metrics = {{"auc", 0.9}}, .log = "done"};
    const RealClock clock;
    for (const std::string& content : {std::string(), std::string(std::size_t{5} << 20, 'w')}) {
      const std::string sha = Sha256Hex(content);
      MEZZO_TRY(
          const storage::BlobKey key,
          CommandRunner::KeyOf(command.run.id, CommandRunner::PartOf(command.index, command.attempt), sha));
      MEZZO_TRY_VOID(storage::WriteBlob(blobs_, key, std::as_bytes(std::span(content.data(), content.size())),
                                        {}, clock.Now() + seconds(30)));
      outcome.files.push_back(
          {.path = content.empty() ? "labels.txt" : "model.onnx", .sha256 = sha, .bytes = content.size()});
    }
    return outcome;
  }

 private:
  storage::BlobStore& blobs_;
};

class FakePlatform final : public PipelineWorld, public Retirer {
 public:
  Result<Serving> ServingOf(const std::string&, TimePoint) override { return Serving{.version = serving}; }
  Result<Watched> Look(const std::string&, const Outside&, TimePoint) override { return Watched(); }
  Result<std::optional<Outside>> Release(const std::string& id, const PipelineRun&, const StageSpec&,
                                         std::int64_t version, TimePoint) override {
    releases.insert(id);
    released = version;
    if (fail_release) return Unavailable("gone", "the host has gone");
    return std::optional(Outside{.kind = Outside::Kind::kRelease, .id = id});
  }
  Result<void> StopRelease(const std::string&, const std::string&, TimePoint) override { return {}; }
  Result<void> Begin(const std::string& model, std::int64_t version, const std::string& who,
                     TimePoint) override {
    retired.push_back(model + "/" + std::to_string(version) + " by " + who);
    if (in_use) return FailedPrecondition("version_in_use", "a route names it");
    return {};
  }

  std::optional<std::int64_t> serving;
  std::set<std::string> releases;
  std::int64_t released = 0;
  bool fail_release = false;
  bool in_use = false;
  std::vector<std::string> retired;
};

class PipelineWorkerTest : public RegistryFixture {
 protected:
  PipelineWorkerTest() {
    const auto migrated = storage::Migrate(*database_->db, "pipelines", PipelineMigrations(), Soon(), real_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    PipelineRules rules;
    rules.commands["c"] = {};
    EXPECT_TRUE(pipelines_.Put("p", kText, rules, {.who = "ann", .tenant = TenantId("acme")}, Soon()).ok());
    auto started = pipelines_.Start("p", {.kind = "manual", .who = "ann", .detail = "{}"}, Soon());
    EXPECT_TRUE(started.ok());
    id_ = started->run.id;
  }
  PipelineWorker Worker() {
    return PipelineWorker({.check = Duration::zero()}, {.store = pipelines_,
                                                        .registry = store_,
                                                        .uploads = uploads_,
                                                        .blobs = blobs_,
                                                        .runner = runner_,
                                                        .world = platform_,
                                                        .retirer = platform_,
                                                        .clock = real_});
  }
  void Keep(RunTransition next) { ASSERT_TRUE(pipelines_.Save(next, Soon()).ok()); }
  PipelineRun Now() { return pipelines_.Load(id_, Soon()).value(); }
  /// The driver's part, up to the job of the next stage.
  void Step() {
    RunObservation seen;
    seen.now = clock_.WallNow();
    seen.may_start = true;
    seen.parent = platform_.serving;
    seen.job = RunObservation::Job::kSucceeded;
    seen.result = result_;
    seen.watched = RunObservation::Watched::kSucceeded;
    RunTransition next = Advance(Now(), seen);
    if (next.changed) Keep(std::move(next));
    if (Now().stages[Now().Current()].state == StageState::kWatching) Keep(Advance(Now(), seen));
    const std::size_t stage = Now().Current();
    Keep(Confirm(Now(), stage, Now().stages[stage].attempt, Job(), clock_.WallNow()));
  }
  std::string Job() { return "job-" + std::to_string(Now().Current()); }
  Result<std::string> Work() {
    const PipelineRun run = Now();
    const std::size_t stage = run.Current();
    auto worked = Worker().Work({.job = {.run = id_, .stage = stage, .attempt = run.stages[stage].attempt},
                                 .id = Job(),
                                 .checkpoint = checkpoint_,
                                 .cancelled = [] { return false; },
                                 .keep = [this](const std::string& text) -> Result<void> {
                                   checkpoint_ = text;
                                   return {};
                                 }});
    if (worked.ok()) result_ = *worked;
    return worked;
  }
  /// To the stage of this number, whose job is there.
  void StepTo(std::size_t stage) {
    Step();
    while (Now().Current() < stage) {
      const auto worked = Work();
      ASSERT_TRUE(worked.ok()) << worked.error().ToString();
      Step();
    }
  }

  storage::testing::MemoryBlobStore blobs_{real_};
  VersionUploads uploads_{{}, {.registry = store_, .contents = blobs_, .clock = real_}};
  FakeRunner runner_{blobs_};
  FakePlatform platform_;
  PipelineStore pipelines_{
      {}, {.db = *database_->db, .clock = clock_, .outbox = nullptr, .check_webhook = nullptr}};
  std::string id_;
  std::string result_;
  std::string checkpoint_;
};

TEST_P(PipelineWorkerTest, WhatTrainingLeftBecomesOneVersionHoweverOftenItIsBegun) {
  platform_.serving = std::nullopt;
  StepTo(1);
  for (int i = 0; i < 3; ++i) {
    const auto worked = Work();
    ASSERT_TRUE(worked.ok()) << worked.error().ToString();
  }
  const auto page =
      store_.ListVersions({.match = NameMatch::kEquals, .model = "churn"}, "", 10, Soon()).value();
  ASSERT_EQ(page.records.size(), 1U);
  const VersionRecord version = page.records.front();
  EXPECT_EQ(version.state, VersionState::kReady);
  EXPECT_EQ(version.files, 2U);
  EXPECT_EQ(version.bytes, ByteCount{5} << 20);
  EXPECT_EQ(version.stage, "candidate");
  EXPECT_EQ(version.lineage.run_id, id_);
  EXPECT_EQ(version.lineage.data, "all");
  EXPECT_EQ(nlohmann::json::parse(version.lineage.metrics)["auc"], 0.9);
  EXPECT_EQ(StageResult::FromJson(result_)->version, 1);
}

TEST_P(PipelineWorkerTest, ARunThatHasGoneOnIsLeftAlone) {
  StepTo(1);
  const auto work = [&](std::size_t stage, std::uint32_t attempt, const std::string& job) {
    return Reason(Worker().Work({.job = {.run = id_, .stage = stage, .attempt = attempt},
                                 .id = job,
                                 .cancelled = [] { return false; },
                                 .keep = [](const std::string&) { return Result<void>(); }}));
  };
  EXPECT_EQ(work(0, 1, "job-0"), "pipeline_stage_stale");
  EXPECT_EQ(work(1, 2, "job-1"), "pipeline_stage_stale");
  EXPECT_EQ(work(1, 1, "another"), "pipeline_stage_stale");
  EXPECT_EQ(work(99, 1, "job-1"), "pipeline_stage_stale");
  ASSERT_TRUE(pipelines_.Command(id_, {.command = RunCommand::kCancel, .who = "ann"}, Soon()).ok());
  EXPECT_EQ(work(1, 1, "job-1"), "pipeline_stage_stale");
  EXPECT_EQ(Reason(store_.GetModel("churn", Soon())), "registry_model_unknown");
}

TEST_P(PipelineWorkerTest, AReleaseIsBegunUnderOneIdThatIsKeptFirst) {
  StepTo(3);
  platform_.fail_release = true;
  EXPECT_EQ(Reason(Work()), "gone");
  EXPECT_FALSE(checkpoint_.empty());
  platform_.fail_release = false;
  ASSERT_TRUE(Work().ok());
  EXPECT_THAT(platform_.releases, ElementsAre(checkpoint_));
  EXPECT_EQ(platform_.released, 1);
  EXPECT_EQ(StageResult::FromJson(result_)->release, checkpoint_);
}

TEST_P(PipelineWorkerTest, TheVersionThatServedIsRetiredWhenThereWasOne) {
  platform_.serving = 7;
  StepTo(4);
  platform_.in_use = true;
  EXPECT_EQ(Reason(Work()), "version_in_use");
  platform_.in_use = false;
  platform_.retired.clear();
  ASSERT_TRUE(Work().ok());
  EXPECT_THAT(platform_.retired, ElementsAre("churn/7 by pipeline p"));
  EXPECT_THAT(result_, HasSubstr(R"("version":7)"));
}

TEST_P(PipelineWorkerTest, WithoutAVersionThatServedThereIsNothingToRetire) {
  StepTo(4);
  ASSERT_TRUE(Work().ok());
  EXPECT_TRUE(platform_.retired.empty());
}

INSTANTIATE_TEST_SUITE_P(Databases, PipelineWorkerTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
