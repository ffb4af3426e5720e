#include "mezzo/lifecycle/pipeline_machine.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr const char* kText = R"(
model: churn
time_limit: 10h
debounce: 5m
stages:
  - {name: train, kind: train, command: c, metrics: [auc], retries: 2, backoff: 10s, time_limit: 30m}
  - {name: evaluate, kind: evaluate, command: c, metrics: [loss], gates: [auc >= 0.9, auc >= parent.auc - 0.01]}
  - {name: push, kind: register}
  - {name: check, kind: test}
  - {name: out, kind: release, approval: {role: admin, time_limit: 2h}, time_limit: 3h}
)";

std::shared_ptr<const PipelineSpec> SpecOf(const char* text = kText) {
  auto spec = ParseKeptSpec(text);
  EXPECT_TRUE(spec.ok()) << spec.error().ToString();
  return std::make_shared<const PipelineSpec>(*std::move(spec));
}

constexpr WallTime kStart{hours(480'000)};

PipelineRun Queued(const char* kind = "manual", const char* text = kText) {
  return BeginRun({.id = "run",
                   .pipeline = "nightly",
                   .pipeline_revision = 1,
                   .tenant = TenantId("acme"),
                   .spec = SpecOf(text),
                   .text = text,
                   .trigger = {.kind = kind, .who = "ann", .at = kStart, .key = "", .detail = "{}"}},
                  kStart)
      .run;
}

RunObservation Seen(WallTime now) {
  RunObservation seen;
  seen.now = now;
  seen.may_start = true;
  seen.parent = 3;
  seen.parent_metrics = {{"auc", 0.91}};
  return seen;
}

PipelineRun After(const PipelineRun& run, const RunObservation& seen) { return Advance(run, seen).run; }

/// Its job has ended well.
PipelineRun Done(const PipelineRun& run, WallTime now, const StageResult& result) {
  RunObservation seen = Seen(now);
  seen.job = RunObservation::Job::kSucceeded;
  seen.result = result.ToJson();
  return After(run, seen);
}
PipelineRun Confirmed(const PipelineRun& run, WallTime now) {
  const std::size_t index = run.Current();
  return Confirm(run, index, run.stages[index].attempt, "job-" + std::to_string(run.stages[index].attempt),
                 now)
      .run;
}

TEST(PipelineMachine, AGoodRunPassesThroughItsStages) {
  PipelineRun run = After(Queued(), Seen(kStart));
  EXPECT_EQ(run.state, RunState::kRunning);
  EXPECT_EQ(run.parent, 3);
  EXPECT_EQ(run.stages[0].state, StageState::kStarting);
  run = Confirmed(run, kStart);
  EXPECT_EQ(run.stages[0].deadline, kStart + minutes(30));
  run = Confirmed(Done(run, kStart, {.metrics = {{"auc", 0.92}}}), kStart);
  EXPECT_EQ(run.Current(), 1U);
  run = Confirmed(Done(run, kStart, {.metrics = {{"loss", 0.1}}}), kStart);
  ASSERT_EQ(run.stages[1].gates.size(), 2U);
  EXPECT_EQ(run.stages[1].gates[1].verdict, GateOutcome::Verdict::kPassed);
  run = Confirmed(Done(run, kStart, {.version = 4}), kStart);
  EXPECT_EQ(run.version, 4);
  run = Done(run, kStart, {.watch = Outside{.kind = Outside::Kind::kVersion, .id = "4"}});
  EXPECT_EQ(run.stages[3].state, StageState::kWatching);
  EXPECT_FALSE(Advance(run, Seen(kStart)).changed);
  RunObservation ready = Seen(kStart);
  ready.watched = RunObservation::Watched::kSucceeded;
  run = After(run, ready);
  EXPECT_EQ(run.state, RunState::kWaiting);
  EXPECT_EQ(run.stages[4].approval.until, kStart + hours(2));
  run =
      Obey(run, {.command = RunCommand::kApprove, .who = "bob", .role = ApprovalRole::kAdmin, .note = "fine"},
           kStart)
          .value()
          .run;
  EXPECT_EQ(run.stages[4].approval.by, "bob");
  run = Confirmed(run, kStart);
  run = Done(run, kStart, {.watch = Outside{.kind = Outside::Kind::kRelease, .id = "rel"}, .release = "rel"});
  EXPECT_EQ(run.release, "rel");
  const RunTransition last = Advance(run, ready);
  EXPECT_EQ(last.run.state, RunState::kSucceeded);
  EXPECT_EQ(last.events.back().kind, "run.succeeded");
  EXPECT_FALSE(Advance(last.run, ready).changed);
}

TEST(PipelineMachine, AGateThatIsNotMetEndsTheRun) {
  PipelineRun run = Confirmed(After(Queued(), Seen(kStart)), kStart);
  run = Confirmed(Done(run, kStart, {.metrics = {{"auc", 0.9}}}),
                  kStart);  // Above 0.9 - 0.01? 0.91 - 0.01 = 0.9.
  run = Done(run, kStart, {.metrics = {{"loss", 0.1}}});
  EXPECT_EQ(run.Current(), 2U);
  run = Confirmed(After(Queued(), Seen(kStart)), kStart);
  run = Confirmed(Done(run, kStart, {.metrics = {{"auc", 0.895}}}), kStart);
  run = Done(run, kStart, {.metrics = {{"loss", 0.1}}});
  EXPECT_EQ(run.state, RunState::kFailed);
  EXPECT_EQ(run.reason, "pipeline_gate_failed");
  EXPECT_EQ(run.message, "stage 'evaluate': the gate 'auc >= 0.9' is not met: 0.895 against 0.9");
  EXPECT_EQ(run.stages[2].state, StageState::kSkipped);
}

TEST(PipelineMachine, RetriesWaitLongerEachTimeAndEnd) {
  PipelineRun run = Confirmed(After(Queued(), Seen(kStart)), kStart);
  RunObservation failed = Seen(kStart);
  failed.job = RunObservation::Job::kFailed;
  failed.failure = {.reason = "pipeline_command_failed", .message = "status 1"};
  run = After(run, failed);
  EXPECT_EQ(run.stages[0].state, StageState::kRetrying);
  EXPECT_EQ(run.stages[0].retry_at, kStart + seconds(10));
  EXPECT_FALSE(Advance(run, Seen(kStart + seconds(9))).changed);
  run = Confirmed(After(run, Seen(kStart + seconds(10))), kStart);
  EXPECT_EQ(run.stages[0].attempt, 2U);
  run = After(run, failed);
  EXPECT_EQ(run.stages[0].retry_at, kStart + seconds(20));
  run = After(Confirmed(After(run, Seen(kStart + seconds(20))), kStart), failed);
  EXPECT_EQ(run.state, RunState::kFailed);
  EXPECT_EQ(run.reason, "pipeline_command_failed");
  // By hand it gets its retries again, and attempts go on counting.
  const RunTransition again = Obey(run, {.command = RunCommand::kRetry, .who = "ann"}, kStart).value();
  EXPECT_EQ(again.run.state, RunState::kQueued);
  run = Confirmed(After(again.run, Seen(kStart)), kStart);
  EXPECT_EQ(run.stages[0].attempt, 4U);
  EXPECT_EQ(run.stages[1].state, StageState::kPending);
  EXPECT_EQ(After(run, failed).stages[0].state, StageState::kRetrying);
}

TEST(PipelineMachine, HostsMayVanishButNotForEver) {
  constexpr const char* text = "model: m\nstages: [{name: a, kind: train, command: c, backoff: 0s}]\n";
  PipelineRun run = Confirmed(After(Queued("manual", text), Seen(kStart)), kStart);
  RunObservation vanished = Seen(kStart);
  vanished.job = RunObservation::Job::kFailed;
  vanished.failure = {.reason = "job_quarantined", .message = "its hosts vanished while they ran it"};
  for (std::uint32_t attempt = 2; attempt <= 3; ++attempt) {
    run = After(run, vanished);
    ASSERT_EQ(run.stages[0].state, StageState::kRetrying);
    run = Confirmed(After(run, Seen(kStart)), kStart);
    EXPECT_EQ(run.stages[0].attempt, attempt);
  }
  EXPECT_EQ(After(run, vanished).state, RunState::kFailed);
  // Without retries, a failure of its own is the end at once.
  vanished.failure.reason = "pipeline_command_failed";
  EXPECT_EQ(After(run, vanished).state, RunState::kFailed);
}

TEST(PipelineMachine, TimeLimitsStopWhatRuns) {
  PipelineRun run = Confirmed(After(Queued(), Seen(kStart)), kStart);
  EXPECT_FALSE(Advance(run, Seen(kStart + minutes(30) - seconds(1))).changed);
  const PipelineRun late = After(run, Seen(kStart + minutes(30)));
  EXPECT_EQ(late.stages[0].state, StageState::kRetrying);
  EXPECT_EQ(late.stages[0].error->reason, "pipeline_time_limit");
  ASSERT_EQ(late.stops.size(), 1U);
  EXPECT_EQ(late.stops[0].id, "job-1");
  EXPECT_TRUE(ConfirmStops(late, late.stops).run.stops.empty());
  const PipelineRun over = After(run, Seen(kStart + hours(10)));
  EXPECT_EQ(over.state, RunState::kFailed);
  EXPECT_EQ(over.reason, "pipeline_time_limit");
  EXPECT_EQ(over.stops.size(), 1U);
}

PipelineRun Waiting() {
  constexpr const char* text = R"(
model: churn
stages:
  - {name: out, kind: release, version: "4", approval: {role: admin, time_limit: 2h}}
  - {name: next, kind: test, version: "4", approval: {role: operator}}
)";
  return After(Queued("manual", text), Seen(kStart));
}

TEST(PipelineMachine, OnlyTheRoleApprovesAndOnlyWhatWaits) {
  const PipelineRun run = Waiting();
  ASSERT_EQ(run.state, RunState::kWaiting);
  const auto reason = [](const Result<RunTransition>& result) {
    return result.ok() ? "ok" : std::string(result.error().reason());
  };
  for (const RunCommand command : {RunCommand::kApprove, RunCommand::kReject}) {
    EXPECT_EQ(reason(Obey(run, {.command = command, .who = "o", .role = ApprovalRole::kOperator}, kStart)),
              "pipeline_role");
    EXPECT_EQ(reason(Obey(run, {.command = command, .who = "v"}, kStart)), "pipeline_role");
    EXPECT_EQ(
        reason(Obey(run, {.command = command, .stage = "next", .who = "a", .role = ApprovalRole::kAdmin},
                    kStart)),
        "pipeline_stage_other");
    EXPECT_EQ(reason(Obey(Queued(), {.command = command, .who = "a", .role = ApprovalRole::kAdmin}, kStart)),
              "pipeline_not_waiting");
  }
  EXPECT_EQ(Obey(run, {.command = RunCommand::kApprove, .who = "o", .role = ApprovalRole::kOperator}, kStart)
                .error()
                .message(),
            "the stage 'out' needs the role 'admin' to approve; 'o' has 'operator'");
  const PipelineRun no =
      Obey(run, {.command = RunCommand::kReject, .who = "a", .role = ApprovalRole::kAdmin}, kStart)
          .value()
          .run;
  EXPECT_EQ(no.state, RunState::kFailed);
  EXPECT_EQ(no.reason, "pipeline_rejected");
  EXPECT_EQ(no.stages[0].attempt, 0U);
  EXPECT_EQ(After(run, Seen(kStart + hours(2))).reason, "pipeline_approval_expired");
  // A retry asks again.
  const PipelineRun again = Obey(no, {.command = RunCommand::kRetry, .who = "a"}, kStart).value().run;
  EXPECT_EQ(After(again, Seen(kStart)).state, RunState::kWaiting);
}

TEST(PipelineMachine, EventsWaitForOthersAndAHandDoesNot) {
  PipelineRun run = Queued("data");
  EXPECT_FALSE(Advance(run, Seen(kStart + minutes(5) - seconds(1))).changed);
  run = JoinRun(run, {.kind = "data", .who = "x", .at = kStart}, kStart + minutes(1)).run;
  EXPECT_EQ(run.trigger.joined, 1U);
  EXPECT_FALSE(Advance(run, Seen(kStart + minutes(5) - seconds(1))).changed);
  EXPECT_TRUE(Advance(run, Seen(kStart + minutes(5))).changed);
  const PipelineRun now = JoinRun(run, {.kind = "manual", .who = "x", .at = kStart}, kStart + minutes(1)).run;
  EXPECT_TRUE(Advance(now, Seen(kStart + minutes(1))).changed);
  RunObservation busy = Seen(kStart + hours(1));
  busy.may_start = false;
  EXPECT_FALSE(Advance(now, busy).changed);
}

TEST(PipelineMachine, ACancelledRunStaysSoAndWhatItBeganIsStopped) {
  const PipelineRun run = Confirmed(After(Queued(), Seen(kStart)), kStart);
  const PipelineRun gone = Obey(run, {.command = RunCommand::kCancel, .who = "ann"}, kStart).value().run;
  EXPECT_EQ(gone.state, RunState::kCancelled);
  EXPECT_EQ(gone.stages[0].state, StageState::kCancelled);
  ASSERT_EQ(gone.stops.size(), 1U);
  EXPECT_FALSE(MayWork(gone, 0, 1, "job-1"));
  EXPECT_FALSE(Advance(gone, Seen(kStart + hours(100))).changed);
  EXPECT_EQ(Obey(gone, {.command = RunCommand::kCancel, .who = "ann"}, kStart).error().reason(),
            "pipeline_run_ended");
  EXPECT_EQ(Obey(gone, {.command = RunCommand::kRetry, .who = "ann"}, kStart).error().reason(),
            "pipeline_run_state");
  // One whose job was queued and not yet written down: Confirm() comes too late.
  const PipelineRun starting = After(Queued(), Seen(kStart));
  const PipelineRun early =
      Obey(starting, {.command = RunCommand::kCancel, .who = "ann"}, kStart).value().run;
  EXPECT_FALSE(Confirm(early, 0, 1, "job-1", kStart).changed);
}

TEST(PipelineMachine, OnlyTheJobThatIsWrittenDownMayWork) {
  const PipelineRun starting = After(Queued(), Seen(kStart));
  EXPECT_TRUE(MayWork(starting, 0, 1, "any"));
  const PipelineRun running = Confirmed(starting, kStart);
  EXPECT_TRUE(MayWork(running, 0, 1, "job-1"));
  EXPECT_FALSE(MayWork(running, 0, 1, "another"));
  EXPECT_FALSE(MayWork(running, 0, 2, "job-1"));
  EXPECT_FALSE(MayWork(running, 1, 1, "job-1"));
  // A confirmation that comes late, or twice, changes nothing.
  EXPECT_FALSE(Confirm(running, 0, 1, "another", kStart).changed);
  EXPECT_FALSE(Confirm(starting, 0, 2, "job-2", kStart).changed);
  EXPECT_FALSE(Confirm(starting, 1, 0, "job-1", kStart).changed);
  EXPECT_FALSE(Confirm(starting, 9, 1, "job-1", kStart).changed);
  const PipelineRun next = Done(running, kStart, {.metrics = {{"auc", 0.92}}});
  EXPECT_EQ(next.stages[0].state, StageState::kSucceeded);
  EXPECT_FALSE(Confirm(next, 0, 1, "job-1", kStart).changed);
}

TEST(PipelineMachine, ARunIsKeptWhole) {
  PipelineRun run = Confirmed(After(Queued(), Seen(kStart)), kStart);
  run = Confirmed(Done(run, kStart, {.metrics = {{"auc", 0.92}}, .output = R"({"files":["a"]})"}), kStart);
  run = Done(run, kStart, {.metrics = {{"loss", 0.25}}});
  run.stops.push_back({.kind = Outside::Kind::kRelease, .id = "r"});
  run.stages[0].error = Failure{.reason = "a", .message = "b"};
  const std::string json = run.ToJson();
  const auto back = PipelineRun::FromJson(json, run.spec, run.text);
  ASSERT_TRUE(back.ok()) << back.error().ToString();
  EXPECT_EQ(back->ToJson(), json);
  for (const char* wrong : {"", "[]", "{}", R"({"id":1})"}) {
    EXPECT_EQ(PipelineRun::FromJson(wrong, run.spec, run.text).error().reason(), "pipeline_run_invalid");
  }
  EXPECT_FALSE(
      PipelineRun::FromJson(json, SpecOf("model: m\nstages: [{name: a, kind: test, version: x}]"), "").ok());
  for (const char* wrong :
       {"", "[]", R"({"metrics":{"a":"b"}})", R"({"output":3})", R"({"watch":{"kind":"x","id":""}})"}) {
    EXPECT_EQ(StageResult::FromJson(wrong).error().reason(), "pipeline_result_invalid") << wrong;
  }
}

/// A world with a queue of jobs, a driver that may end between any two steps and begins again from what was
/// kept, hosts that run jobs twice after a crash, and people who decide at random.
class World {
 public:
  explicit World(unsigned seed) : random_(seed), run_(Queued(Pick(2) != 0 ? "manual" : "data")) {}

  void Play() {
    for (int step = 0; step < 4000 && !(IsEnded(run_.state) && run_.stops.empty()); ++step) {
      now_ += seconds(Pick(40));
      switch (Pick(8)) {
        case 0:
          RunJobs();
          break;
        case 1:
          Decide();
          break;
        case 2:
          watched_ = Pick(10) == 0 ? RunObservation::Watched::kFailed : RunObservation::Watched::kSucceeded;
          break;
        default:
          Drive();
      }
      Check();
    }
    EXPECT_TRUE(IsEnded(run_.state)) << "it never ends: " << run_.ToJson();
    EXPECT_TRUE(run_.stops.empty());
  }

  PipelineRun run_view() const { return run_; }
  std::map<std::size_t, int> successes;  ///< Of stages, as the run has seen them.

 private:
  unsigned Pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
  /// The driver may end here: what it was about to do is not done.
  bool Crash() { return Pick(5) == 0; }

  void Keep(const RunTransition& next) {
    if (!next.changed) return;
    ASSERT_FALSE(cancelled_ && next.run.state != RunState::kCancelled);
    const auto before = PipelineRun::FromJson(run_.ToJson(), run_.spec, run_.text);
    for (std::size_t i = 0; i < next.run.stages.size(); ++i) {
      if (before->stages[i].state != StageState::kSucceeded &&
          next.run.stages[i].state == StageState::kSucceeded) {
        ++successes[i];
        // Nothing came before its turn, and an approval was given.
        for (std::size_t k = 0; k < i; ++k) ASSERT_EQ(next.run.stages[k].state, StageState::kSucceeded);
      }
      ASSERT_GE(next.run.stages[i].attempt, before->stages[i].attempt);
    }
    auto kept = PipelineRun::FromJson(next.run.ToJson(), next.run.spec, next.run.text);
    ASSERT_TRUE(kept.ok()) << kept.error().ToString();
    run_ = *std::move(kept);
  }

  void Drive() {
    RunObservation seen = Seen(now_);
    const std::size_t index = run_.Current();
    if (index < run_.stages.size() && run_.stages[index].state == StageState::kRunning) {
      const auto& job = jobs_.at(run_.stages[index].job);
      seen.job = job.seen;
      seen.result = job.result;
      seen.failure = {.reason = "pipeline_command_failed", .message = "no"};
    }
    if (index < run_.stages.size() && run_.stages[index].state == StageState::kWatching) {
      seen.watched = watched_;
      seen.watched_failure = {.reason = "pipeline_version_rejected", .message = "no"};
      watched_ = RunObservation::Watched::kPending;
    }
    Keep(Advance(run_, seen));
    if (Crash()) return;
    const std::size_t at = run_.Current();
    if (!IsEnded(run_.state) && at < run_.stages.size() && run_.stages[at].state == StageState::kStarting) {
      const std::string key = std::to_string(at) + "/" + std::to_string(run_.stages[at].attempt);
      const std::uint32_t attempt = run_.stages[at].attempt;
      jobs_.try_emplace(key);  // The queue knows the key.
      if (Crash()) return;
      Keep(Confirm(run_, at, attempt, key, now_));
    }
    if (!run_.stops.empty()) {
      const auto stops = run_.stops;
      for (const Outside& stop : stops) {
        if (stop.kind == Outside::Kind::kJob && jobs_.at(stop.id).seen == RunObservation::Job::kActive)
          jobs_.at(stop.id).seen = RunObservation::Job::kCancelled;
      }
      if (Crash()) return;
      Keep(ConfirmStops(run_, stops));
    }
  }

  void RunJobs() {
    for (auto& [key, job] : jobs_) {
      if (job.seen != RunObservation::Job::kActive || Pick(2) == 0) continue;
      const std::size_t stage = std::stoul(key);
      const auto attempt = static_cast<std::uint32_t>(std::stoul(key.substr(key.find('/') + 1)));
      if (!MayWork(run_, stage, attempt, key)) {
        job.seen = RunObservation::Job::kFailed;
        continue;
      }
      if (Pick(6) == 0) {
        job.seen = RunObservation::Job::kFailed;
        continue;
      }
      StageResult result;
      if (stage == 0) result.metrics["auc"] = Pick(8) == 0 ? 0.5 : 0.95;
      if (stage == 1) result.metrics["loss"] = 0.1;
      if (stage == 2) result.version = 4;
      if (stage == 3) result.watch = Outside{.kind = Outside::Kind::kVersion, .id = "4"};
      if (stage == 4) {
        EXPECT_EQ(run_.stages[4].approval.state, Approval::State::kApproved);
        result.watch = Outside{.kind = Outside::Kind::kRelease, .id = key};
      }
      job.result = result.ToJson();
      job.seen = RunObservation::Job::kSucceeded;
    }
  }

  void Decide() {
    constexpr RunCommand kAll[] = {RunCommand::kApprove, RunCommand::kApprove, RunCommand::kApprove,
                                   RunCommand::kReject, RunCommand::kRetry};
    RunDecision decision{.command = kAll[Pick(5)], .who = "p", .role = static_cast<ApprovalRole>(Pick(3))};
    if (Pick(60) == 0) decision.command = RunCommand::kCancel;
    if (decision.command == RunCommand::kRetry && ++retries_ > 3) return;
    const auto obeyed = Obey(run_, decision, now_);
    if (!obeyed.ok()) return;
    if (decision.command == RunCommand::kApprove || decision.command == RunCommand::kReject) {
      ASSERT_EQ(run_.state, RunState::kWaiting);
      ASSERT_EQ(decision.role, ApprovalRole::kAdmin);  // Of this pipeline.
    }
    Keep(*obeyed);
    cancelled_ |= decision.command == RunCommand::kCancel;
  }

  void Check() {
    std::size_t under_way = 0;
    for (const StageRun& stage : run_.stages) {
      under_way += stage.state == StageState::kStarting || stage.state == StageState::kRunning ||
                   stage.state == StageState::kWatching || stage.state == StageState::kRetrying ||
                   stage.state == StageState::kWaiting;
    }
    const bool active = run_.state == RunState::kRunning || run_.state == RunState::kWaiting;
    EXPECT_EQ(under_way, active ? 1U : 0U) << run_.ToJson();
  }

  struct Job {
    RunObservation::Job seen = RunObservation::Job::kActive;
    std::string result;
  };
  std::minstd_rand random_;
  WallTime now_ = kStart;
  PipelineRun run_;
  std::map<std::string, Job> jobs_;
  RunObservation::Watched watched_ = RunObservation::Watched::kPending;
  bool cancelled_ = false;
  int retries_ = 0;
};

TEST(PipelineMachine, WhateverCrashesNoStageSucceedsTwiceAndNoneIsLost) {
  std::map<RunState, int> ends;
  for (unsigned seed = 1; seed <= 1000; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    world.Play();
    if (::testing::Test::HasFailure()) return;
    const PipelineRun run = world.run_view();
    ++ends[run.state];
    for (const auto& [stage, times] : world.successes) EXPECT_EQ(times, 1) << stage;
    if (run.state == RunState::kSucceeded) {
      EXPECT_EQ(world.successes.size(), run.stages.size());
      EXPECT_EQ(run.version, 4);
    }
  }
  // The seeds have shown every end.
  EXPECT_GT(ends[RunState::kSucceeded], 50);
  EXPECT_GT(ends[RunState::kFailed], 50);
  EXPECT_GT(ends[RunState::kCancelled], 10);
}

}  // namespace
}  // namespace mezzo::lifecycle
