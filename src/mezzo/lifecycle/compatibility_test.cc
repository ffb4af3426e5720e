#include "mezzo/lifecycle/compatibility.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::lifecycle {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using tensor::DType;
using tensor::Shape;
using ::testing::HasSubstr;

TestedPart Model() {
  return {.max_batch_size = 32,
          .inputs = {{.name = "x", .dtype = DType::kFp32, .shape = {-1, 8}},
                     {.name = "mask", .dtype = DType::kInt64, .shape = {-1, -1}, .optional = true}},
          .outputs = {{.name = "y", .dtype = DType::kFp32, .shape = {-1, 4}},
                      {.name = "z", .dtype = DType::kFp32, .shape = {-1, -1}}},
          .memory = 100,
          .runs = 10,
          .p50 = milliseconds(10),
          .p99 = milliseconds(20)};
}

/// Why `now` is no successor of Model(); empty: it is one.
std::string Fault(const TestedPart& now) {
  const Check check = CompareSignatures({Model()}, {now});
  EXPECT_EQ(check.outcome == CheckOutcome::kFailed, !check.reason.empty());
  return check.reason;
}

TEST(Signatures, AnEqualOneIsFine) { EXPECT_EQ(Fault(Model()), ""); }

TEST(Signatures, WhatCallersMissIsAFault) {
  TestedPart now = Model();
  now.inputs.erase(now.inputs.begin());
  EXPECT_EQ(Fault(now), "input 'x' (FP32[-1,8]) is gone");

  now = Model();
  now.outputs.pop_back();
  EXPECT_EQ(Fault(now), "output 'z' (FP32[-1,-1]) is gone");

  now = Model();
  now.inputs[0].dtype = DType::kFp16;
  EXPECT_EQ(Fault(now), "input 'x' had the type FP32 and has FP16");

  now = Model();
  now.outputs[0].shape = Shape{-1, 4, 1};
  EXPECT_THAT(Fault(now), HasSubstr("output 'y' had the shape [-1,4] and has [-1,4,1]: another rank"));

  now = Model();
  now.max_batch_size = 8;
  EXPECT_EQ(Fault(now), "took batches of 32 and takes 8");
}

TEST(Signatures, AnInputMayTakeMoreButNotLess) {
  TestedPart now = Model();
  now.inputs[0].shape = Shape{-1, -1};
  EXPECT_EQ(Fault(now), "");

  now.inputs[0].shape = Shape{-1, 16};
  EXPECT_THAT(Fault(now), HasSubstr("had the shape [-1,8] and has [-1,16]: dimension 1 takes less"));

  now = Model();
  now.inputs[1].shape = Shape{-1, 512};
  EXPECT_THAT(Fault(now), HasSubstr("input 'mask' had the shape [-1,-1] and has [-1,512]: dimension 1"));
}

TEST(Signatures, AnOutputMayPromiseMoreButNotLess) {
  TestedPart now = Model();
  now.outputs[1].shape = Shape{-1, 7};
  EXPECT_EQ(Fault(now), "");

  now.outputs[0].shape = Shape{-1, -1};
  EXPECT_THAT(Fault(now),
              HasSubstr("output 'y' had the shape [-1,4] and has [-1,-1]: dimension 1 is not what"));
  now.outputs[0].shape = Shape{-1, 5};
  EXPECT_THAT(Fault(now), HasSubstr("dimension 1 is not what it was"));
}

TEST(Signatures, NewOutputsAndOptionalInputsAreFineAndRequiredInputsAreNot) {
  TestedPart now = Model();
  now.outputs.push_back({.name = "more", .shape = {-1}});
  now.inputs.push_back({.name = "hint", .shape = {-1}, .optional = true});
  EXPECT_EQ(Fault(now), "");

  now.inputs.back().optional = false;
  EXPECT_THAT(Fault(now), HasSubstr("input 'hint' (FP32[-1]) is new and not optional"));

  now = Model();
  now.inputs[1].optional = false;
  EXPECT_EQ(Fault(now), "input 'mask' was optional and is not any more");
  now = Model();
  now.inputs[0].optional = true;
  EXPECT_EQ(Fault(now), "");
}

TEST(Signatures, PartsAreComparedByName) {
  TestedPart unet = Model();
  unet.name = "unet";
  TestedPart vae = Model();
  vae.name = "vae";
  TestedPart worse = unet;
  worse.inputs[0].dtype = DType::kFp64;

  EXPECT_EQ(CompareSignatures({unet}, {vae, unet}).outcome, CheckOutcome::kPassed);
  EXPECT_EQ(CompareSignatures({unet, vae}, {vae}).reason, "part 'unet' is gone");
  EXPECT_EQ(CompareSignatures({unet}, {worse}).reason,
            "part 'unet': input 'x' had the type FP32 and has FP64");
  EXPECT_EQ(CompareSignatures({Model()}, {unet}).reason, "the model has become a pipeline");
}

TEST(Latency, IsComparedByFactorAndForgivesLittle) {
  const std::vector<TestedPart> before = {Model()};
  std::vector<TestedPart> now = {Model()};
  const ComparisonRules rules{.latency_factor = 2, .latency_slack = milliseconds(2)};
  EXPECT_EQ(CompareLatency(&before, now, rules).outcome, CheckOutcome::kPassed);

  now[0].p99 = milliseconds(41);
  const Check slow = CompareLatency(&before, now, rules);
  EXPECT_EQ(slow.outcome, CheckOutcome::kFailed);
  EXPECT_EQ(slow.reason, "p99 is 41 ms; the version before had 20 ms, and at most 2 times that is allowed");
  EXPECT_EQ(slow.measured.at("p99_ms"), 41);
  EXPECT_EQ(slow.measured.at("p99_before_ms"), 20);

  // Ten times as slow, but only by what one wake-up of a thread takes.
  std::vector<TestedPart> fast = {Model()};
  fast[0].p50 = fast[0].p99 = microseconds(100);
  std::vector<TestedPart> slower = fast;
  slower[0].p99 = milliseconds(1);
  EXPECT_EQ(CompareLatency(&fast, slower, rules).outcome, CheckOutcome::kPassed);
  EXPECT_EQ(CompareLatency(&before, now, {.latency_factor = 0}).outcome, CheckOutcome::kPassed);
}

TEST(Latency, SaysWhyThereIsNothingToCompare) {
  std::vector<TestedPart> now = {Model()};
  EXPECT_EQ(CompareLatency(nullptr, now, {}).reason, "there is no version before to compare with");
  std::vector<TestedPart> untimed = {Model()};
  untimed[0].runs = 0;
  EXPECT_EQ(CompareLatency(&untimed, now, {}).reason, "the version before could not be timed");
  EXPECT_EQ(CompareLatency(nullptr, untimed, {}).outcome, CheckOutcome::kSkipped);
}

TEST(MemoryCheck, ComparesWhenItIsAsked) {
  std::vector<TestedPart> before = {Model()};
  before[0].memory = ByteCount{100} << 20U;
  std::vector<TestedPart> now = {Model()};
  now[0].memory = ByteCount{250} << 20U;

  const Check measured = CompareMemory(&before, now, ByteCount{300} << 20U, {});
  EXPECT_EQ(measured.outcome, CheckOutcome::kPassed);
  EXPECT_EQ(measured.measured.at("held_mib"), 250);
  EXPECT_EQ(measured.measured.at("peak_mib"), 300);
  const Check compared = CompareMemory(&before, now, 0, {.memory_factor = 2});
  EXPECT_EQ(compared.outcome, CheckOutcome::kFailed);
  EXPECT_THAT(compared.reason, HasSubstr("it holds 250 MiB; the version before held 100 MiB"));
}

CompatibilityReport Report() {
  return {.checks = {{.name = "files", .measured = {{"files", 3}}},
                     {.name = "load",
                      .outcome = CheckOutcome::kFailed,
                      .reason = "crashed: signal 11 (SIGSEGV) while loading"},
                     {.name = "latency", .outcome = CheckOutcome::kSkipped, .reason = "not reached"}},
          .parts = {Model()},
          .peak_memory = 12345,
          .confined = true};
}

TEST(CompatibilityReport, SurvivesJson) {
  const CompatibilityReport report = Report();

  const auto read = CompatibilityReport::FromJson(report.ToJson());

  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ(*read, report);
  EXPECT_FALSE(read->passed());
  EXPECT_EQ(read->Reason(), "load: crashed: signal 11 (SIGSEGV) while loading");
  EXPECT_THAT(report.ToJson(), Not(HasSubstr("\n")));
}

TEST(CompatibilityReport, WithoutChecksHasNotPassed) { EXPECT_FALSE(CompatibilityReport().passed()); }

TEST(CompatibilityReport, RefusesWhatIsNone) {
  std::string many = R"({"checks":[)";
  for (int i = 0; i < 600; ++i) many += R"({"name":"a","outcome":"passed"},)";
  many.back() = ']';
  many += R"(,"parts":[],"peak_memory_bytes":1,"confined":true})";
  for (
      const std::string& text :
      {std::string(""), std::string("[]"), std::string("{}"), many,
       std::string(
           R"({"checks":[{"name":1,"outcome":"passed"}],"parts":[],"peak_memory_bytes":1,"confined":true})"),
       std::string(
           R"({"checks":[{"name":"a","outcome":"great"}],"parts":[],"peak_memory_bytes":1,"confined":true})"),
       std::string(R"({"checks":[{"name":"a","outcome":"passed","measured":{"b":"c"}}],"parts":[],)"
                   R"("peak_memory_bytes":1,"confined":true})"),
       std::string(R"({"checks":[],"parts":[{"max_batch_size":-1}],"peak_memory_bytes":1,"confined":true})"),
       std::string(R"({"checks":[],"parts":[],"peak_memory_bytes":-1,"confined":true})"),
       std::string(100'000, '[')}) {
    const auto read = CompatibilityReport::FromJson(text);
    ASSERT_FALSE(read.ok()) << text.substr(0, 100);
    EXPECT_EQ(read.error().reason(), "test_report_invalid");
  }
}

TEST(CompatibilityReport, EveryTruncationIsRefused) {
  const std::string json = Report().ToJson();
  for (std::size_t size = 0; size < json.size(); ++size) {
    EXPECT_FALSE(CompatibilityReport::FromJson(json.substr(0, size)).ok()) << size;
  }
}

TEST(CompatibilityPlan, RefusesWhatCannotBeMeant) {
  const CompatibilityPlan good{.folder = "/models/a/1"};
  EXPECT_TRUE(good.Validate().ok());
  const auto broken = [&good](auto&& change) {
    CompatibilityPlan plan = good;
    change(plan);
    const auto valid = plan.Validate();
    return !valid.ok() && valid.error().reason() == "test_plan_invalid";
  };
  EXPECT_TRUE(broken([](auto& plan) { plan.folder = "models"; }));
  EXPECT_TRUE(broken([](auto& plan) { plan.against = "../b"; }));
  EXPECT_TRUE(broken([](auto& plan) { plan.limits.memory = 1; }));
  EXPECT_TRUE(broken([](auto& plan) { plan.limits.cpu_seconds = 0; }));
  EXPECT_TRUE(broken([](auto& plan) { plan.limits.time = Duration::zero(); }));
  EXPECT_TRUE(broken([](auto& plan) { plan.limits.threads = 0; }));
  EXPECT_TRUE(broken([](auto& plan) { plan.limits.runs = 100'000; }));
  EXPECT_TRUE(broken([](auto& plan) { plan.rules.latency_factor = -1; }));
}

TEST(Checks, AreSortedByWhatTheyAreAndKeepTheirOrderOtherwise) {
  std::vector<Check> checks;
  for (const char* name :
       {"memory", "golden/b", "files", "latency", "golden/a", "load", "signature", "operators"}) {
    checks.push_back({.name = name});
  }

  SortChecks(checks);

  std::vector<std::string> names;
  for (const Check& check : checks) names.push_back(check.name);
  EXPECT_THAT(names, ::testing::ElementsAre("files", "operators", "load", "signature", "golden/b", "golden/a",
                                            "latency", "memory"));
}

}  // namespace
}  // namespace mezzo::lifecycle
