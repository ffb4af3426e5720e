#include "mezzo/lifecycle/process_version_tester.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/sanitizers.h"
#include "mezzo/lifecycle/testing/version_files.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The engine of MEZZO_VERSION_CHILD does what a model file says in words: testing/version_child_main.cc.
class ProcessVersionTesterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kThreadSanitizer)
      GTEST_SKIP() << "ThreadSanitizer writes a file as it starts, which the process may not";
  }
  CompatibilityPlan PlanOf(const std::string& words, const std::string& folder = "v") {
    files_.Write(folder + "/model.onnx", words);
    CompatibilityPlan plan{.folder = files_.Path(folder)};
    plan.limits.memory = ByteCount{256} << 20U;
    plan.limits.cpu_seconds = 30;
    plan.limits.time = seconds(120);
    plan.limits.runs = 5;
    return plan;
  }
  CompatibilityReport Test(const CompatibilityPlan& plan) {
    const auto report = tester_.Test(plan);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report.ok() ? *report : CompatibilityReport();
  }
  std::string ReasonOf(const std::string& words) { return Test(PlanOf(words)).Reason(); }

  const testing::VersionFiles files_;
  const RealClock clock_;
  const ProcessVersionTester tester_{{.command = {MEZZO_VERSION_CHILD}}, clock_};
};

std::vector<std::string> Outcomes(const CompatibilityReport& report) {
  std::vector<std::string> out;
  for (const Check& check : report.checks)
    out.push_back(check.name + " " + std::string(OutcomeName(check.outcome)));
  return out;
}

TEST_F(ProcessVersionTesterTest, AGoodVersionPasses) {
  const CompatibilityReport report = Test(PlanOf("memory=5000"));

  EXPECT_TRUE(report.passed()) << report.ToJson();
  EXPECT_THAT(Outcomes(report),
              ElementsAre("files passed", "operators passed", "load passed", "signature skipped",
                          "warmup passed", "latency passed", "memory passed"));
  ASSERT_EQ(report.parts.size(), 1U);
  EXPECT_EQ(report.parts[0].inputs[0].shape, (tensor::Shape{-1, 4}));
  EXPECT_EQ(report.parts[0].max_batch_size, 32);
  EXPECT_EQ(report.parts[0].memory, 5000U);
  EXPECT_EQ(report.parts[0].runs, 5U);
  EXPECT_GT(report.peak_memory, ByteCount{1} << 20U);
}

TEST_F(ProcessVersionTesterTest, ACrashHasItsPlace) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer reports crashes itself";
  const CompatibilityReport loading = Test(PlanOf("load=segv"));
  EXPECT_EQ(loading.Reason(), "load: crashed: signal 11 (SIGSEGV) while loading");
  EXPECT_THAT(Outcomes(loading),
              ElementsAre("files passed", "operators passed", "load failed", "signature skipped",
                          "warmup skipped", "latency skipped", "memory skipped"));
  EXPECT_EQ(loading.Find(kWarmupCheck)->reason, "not reached");

  EXPECT_EQ(ReasonOf("load=abort"), "load: crashed: signal 6 (SIGABRT) while loading");
  EXPECT_EQ(ReasonOf("run=segv"), "warmup: crashed: signal 11 (SIGSEGV) while warming up");
}

TEST_F(ProcessVersionTesterTest, ACrashInALaterRunIsFoundToo) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer reports crashes itself";
  // The warm-up runs one row twice, four rows twice and 32 rows once.
  const CompatibilityReport report = Test(PlanOf("run=segv on=8"));

  EXPECT_EQ(report.Reason(), "latency: crashed: signal 11 (SIGSEGV) in timed run 3");
  EXPECT_EQ(report.Find(kWarmupCheck)->outcome, CheckOutcome::kPassed);
}

TEST_F(ProcessVersionTesterTest, AnEngineThatEndsTheProcessHasNotPassed) {
  // AddressSanitizer looks for leaks at the end of a process, can't in this one, and says 1.
  EXPECT_EQ(ReasonOf("load=exit"), std::string("load: ended by itself with status ") +
                                       (kAddressSanitizer ? "1" : "0") + " while loading");
}

TEST_F(ProcessVersionTesterTest, AHangEndsWithItsTime) {
  CompatibilityPlan plan = PlanOf("load=hang");
  plan.limits.time = seconds(5);
  const TimePoint start = clock_.Now();

  const CompatibilityReport report = Test(plan);

  EXPECT_EQ(report.Reason(), "load: not done after 5 s: ended while loading");
  EXPECT_LT(clock_.Now() - start, seconds(60));
}

TEST_F(ProcessVersionTesterTest, AnEndlessLoopEndsWithItsCpuTime) {
  CompatibilityPlan plan = PlanOf("run=spin");
  plan.limits.cpu_seconds = 2;

  EXPECT_EQ(Test(plan).Reason(), "warmup: took more than 2 s of CPU time while warming up");
}

TEST_F(ProcessVersionTesterTest, MemoryWithoutEndIsRefused) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer has its own way with memory";
  EXPECT_EQ(ReasonOf("load=grow"),
            "load: needed more than the 256 MiB of memory that a test may take while loading");
  EXPECT_EQ(ReasonOf("run=huge"),
            "warmup: needed more than the 256 MiB of memory that a test may take while warming up");
}

TEST_F(ProcessVersionTesterTest, TheProcessCanReachNothing) {
  const std::string secret = files_.Write("secret", "secret");
  const std::string fresh = files_.Path("v/new");

  EXPECT_EQ(ReasonOf("connect fork kill write=" + fresh), "");
  EXPECT_FALSE(std::filesystem::exists(fresh));
  EXPECT_EQ(ReasonOf("openrun=" + files_.Path("v/model.onnx")), "")
      << "once it is loaded, no file can be opened";
  const CompatibilityReport report = Test(PlanOf("open=" + secret));
  if (!report.confined) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(report.Reason(), "");
  EXPECT_THAT(ReasonOf("open=" + files_.Path("v/model.onnx")), HasSubstr("lets through: reading a file"))
      << "its own files can be read while it loads";
}

TEST_F(ProcessVersionTesterTest, WhatLibrariesPrintIsNoAnswer) { EXPECT_EQ(ReasonOf("load=shout"), ""); }

TEST_F(ProcessVersionTesterTest, ErrorsOfTheEngineAreReasons) {
  EXPECT_EQ(ReasonOf("load=error"), "load: as the model wishes");
  EXPECT_THAT(ReasonOf("run=error"), HasSubstr("warmup: warm-up with batch size 1 failed: as the model"));
  EXPECT_EQ(ReasonOf("garbage"), "files: not an ONNX model");
  EXPECT_EQ(ReasonOf("domain=com.acme"),
            "operators: operator 'Odd' is of the domain 'com.acme', which needs a library of custom "
            "operators: none "
            "is loaded here");
  EXPECT_EQ(ReasonOf("opset=0"), "operators: operator set '' has the version 0");
}

constexpr const char* kExample =
    R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}],
  "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4.25]}],
  "compare": {"rule": "tolerance", "absolute": 0.5}})";

TEST_F(ProcessVersionTesterTest, GoldenExamplesAreCompared) {
  const CompatibilityPlan plan = PlanOf("");
  files_.Write("v/golden/near.json", kExample);
  files_.Write("v/golden/far.json",
               std::string(kExample).replace(std::string(kExample).find("0.5"), 3, "0.1"));

  const CompatibilityReport report = Test(plan);

  EXPECT_EQ(report.Find("golden/near")->outcome, CheckOutcome::kPassed);
  EXPECT_EQ(report.Find("golden/near")->measured.at("y.max_abs_error"), 0.25);
  EXPECT_THAT(report.Reason(),
              HasSubstr("golden/far: output 'y' (tolerance): element [0,3] is 4, expected 4.25"));
}

TEST_F(ProcessVersionTesterTest, GoldenExamplesThatDoNotFitTheModelFail) {
  const auto with_example = [&](const std::string& from, const std::string& to) {
    std::string example = kExample;
    example.replace(example.find(from), from.size(), to);
    const CompatibilityPlan plan = PlanOf("inputs=x,hint optional=hint");
    files_.Write("v/golden/odd.json", example);
    return Test(plan).Reason();
  };

  EXPECT_EQ(with_example("\"x\"", "\"z\""), "golden/odd: the model has no input 'z'");
  EXPECT_EQ(with_example("\"y\"", "\"z\""), "golden/odd: the model has no output 'z'");
  EXPECT_EQ(with_example("\"x\"", "\"hint\""), "golden/odd: the example lacks input 'x'");
  EXPECT_EQ(with_example("\"FP32\"", "\"INT32\""),
            "golden/odd: input 'x' has the type INT32; the model takes FP32");
  EXPECT_THAT(with_example("\"rule\"", "\"role\""), HasSubstr("golden/*: golden example 'odd'"));
}

TEST_F(ProcessVersionTesterTest, AConfigurationOfAnotherModelFails) {
  CompatibilityPlan plan = PlanOf("", "3");
  files_.Write("3/config.pbtxt", "name: \"ranker\"\n");

  plan.model = "ranker";
  EXPECT_TRUE(Test(plan).passed());
  plan.model = "search";
  EXPECT_EQ(Test(plan).Reason(), "files: config.pbtxt is of a model 'ranker', not 'search'");
}

TEST_F(ProcessVersionTesterTest, IsComparedWithTheVersionBefore) {
  CompatibilityPlan plan = PlanOf("dim=5", "2");
  plan.against = PlanOf("dim=4", "1").folder;

  const CompatibilityReport report = Test(plan);

  EXPECT_THAT(report.Reason(), HasSubstr("signature: input 'x' had the shape [-1,4] and has [-1,5]"));
  EXPECT_TRUE(report.Find(kLatencyCheck)->measured.contains("p50_before_ms")) << report.ToJson();
}

TEST_F(ProcessVersionTesterTest, AMuchSlowerVersionFails) {
  CompatibilityPlan plan = PlanOf("sleep=120", "2");
  plan.against = PlanOf("sleep=2", "1").folder;
  plan.rules.latency_factor = 5;

  const CompatibilityReport report = Test(plan);

  EXPECT_THAT(report.Reason(), HasSubstr("latency: p50 is 1"));
}

TEST_F(ProcessVersionTesterTest, AVersionBeforeThatDoesNotLoadIsNotTheNewOnesFault) {
  CompatibilityPlan plan = PlanOf("", "2");
  plan.against = PlanOf("load=error", "1").folder;

  const CompatibilityReport report = Test(plan);

  EXPECT_TRUE(report.passed()) << report.ToJson();
  EXPECT_EQ(report.Find(kSignatureCheck)->outcome, CheckOutcome::kSkipped);
  EXPECT_THAT(report.Find(kSignatureCheck)->reason, HasSubstr("could not be loaded (load: as the model"));
}

TEST_F(ProcessVersionTesterTest, StopsWhenItIsTold) {
  int asked = 0;

  const auto report = tester_.Test(PlanOf("load=hang"), [&asked] { return ++asked > 3; });

  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().reason(), "child_stopped");
}

TEST_F(ProcessVersionTesterTest, AProgramThatTestsNothingIsNoVerdict) {
  const ProcessVersionTester no_program({.command = {"/nowhere/at/all"}}, clock_);
  const ProcessVersionTester other_program(
      {.command = {"sh", "-c", "echo '{\"unfit\":\"no sandbox\"}'; exit 2"}}, clock_);

  const auto none = no_program.Test(PlanOf(""));
  const auto unfit = other_program.Test(PlanOf(""));
  const auto relative = tester_.Test({.folder = "relative"});

  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().reason(), "child_failed");
  ASSERT_FALSE(unfit.ok());
  EXPECT_THAT(unfit.error().message(), HasSubstr("no sandbox"));
  ASSERT_FALSE(relative.ok());
  EXPECT_EQ(relative.error().reason(), "test_plan_invalid");
}

TEST_F(ProcessVersionTesterTest, AChildThatLiesIsNotBelieved) {
  const auto reason_of = [&](const std::string& script) {
    const ProcessVersionTester liar({.command = {"sh", "-c", script}}, clock_);
    const auto report = liar.Test(PlanOf(""));
    return report.ok() ? report->Reason() : report.error().reason();
  };

  EXPECT_THAT(reason_of("echo '{\"done\":true}'; exit 0"),
              HasSubstr("load: ended without having loaded the version"));
  EXPECT_THAT(reason_of("echo '{\"stage\":\"load\"}'; echo nonsense; echo '{\"done\":true}'"),
              HasSubstr("wrote what no test's process writes while loading"));
  EXPECT_THAT(reason_of("echo '{\"stage\":\"load\"}'; yes"),
              HasSubstr("wrote more than a test's process may"));
}

}  // namespace
}  // namespace mezzo::lifecycle
