#include "mezzo/app/cli/release_command.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mezzo::app::cli {
namespace {

using nlohmann::json;

TEST(ReleaseBody, SaysWhatWasAskedForAndLeavesTheRestToTheServer) {
  ReleaseOptions options;
  options.name = "m";
  options.version = "4";
  EXPECT_EQ(json::parse(ReleaseBody(options).value()),
            json({{"model", "m"}, {"strategy", "canary"}, {"candidate", "4"}}));
  options.strategy = "blue-green";
  options.stable = "3";
  options.manual = true;
  options.settle_s = 5;
  options.p99_objective_s = 0.2;
  EXPECT_EQ(json::parse(ReleaseBody(options).value()), json({{"model", "m"},
                                                             {"strategy", "blue_green"},
                                                             {"candidate", "4"},
                                                             {"stable", "3"},
                                                             {"automatic", false},
                                                             {"settle_s", 5},
                                                             {"analysis", {{"p99_objective_s", 0.2}}}}));
}

TEST(ReleaseBody, StepsArePercent) {
  ReleaseOptions options;
  options.name = "m";
  options.version = "4";
  options.steps = {1.5, 100};
  options.step_time_s = 2;
  EXPECT_EQ(json::parse(ReleaseBody(options).value())["steps"],
            json({{{"weight", 150}, {"min_duration_s", 2}}, {{"weight", 10000}, {"min_duration_s", 2}}}));
  options.steps.clear();
  options.min_calls = 7;
  EXPECT_EQ(json::parse(ReleaseBody(options).value())["steps"].size(), 4U)
      << "the usual steps, with these bounds";
  options.steps = {0};
  EXPECT_EQ(ReleaseBody(options).error().reason(), "bad_release");
  options.steps = {101};
  EXPECT_EQ(ReleaseBody(options).error().reason(), "bad_release");
}

TEST(ReleaseBody, AModelAndAVersionAreNeeded) {
  ReleaseOptions options;
  options.name = "m";
  EXPECT_EQ(ReleaseBody(options).error().reason(), "bad_release");
  options.file = "/nowhere/release.json";
  EXPECT_EQ(ReleaseBody(options).error().reason(), "file_missing");
}

const json kRelease = {{"id", "0193"},
                       {"model", "m"},
                       {"strategy", "canary"},
                       {"state", "running"},
                       {"reason", "Step 1 began."},
                       {"since", "2026-11-23T00:00:00Z"},
                       {"split",
                        {{{"name", "canary"}, {"version", "4"}, {"weight", 500}},
                         {{"name", "stable"}, {"version", "3"}, {"weight", 9500}}}},
                       {"latest",
                        {{"verdict",
                          {{"action", "hold"},
                           {"reason", "Too early."},
                           {"evidence",
                            {{{"metric", "error_rate"},
                              {"canary", 0.02},
                              {"baseline", 0.001},
                              {"canary_samples", 120},
                              {"p_value", 0.004},
                              {"threshold", 0.01},
                              {"crossed", true}}}}}}}}};

TEST(ReleaseText, ShowsTheSplitAndTheEvidence) {
  const std::string text = ReleaseText(kRelease.dump()).value();
  EXPECT_NE(text.find("canary=4 5%, stable=3 95%"), std::string::npos) << text;
  EXPECT_NE(text.find("hold: Too early."), std::string::npos) << text;
  EXPECT_NE(text.find("error_rate    0.02     0.001    120  0.004   0.01  crossed"), std::string::npos)
      << text;
  EXPECT_EQ(ReleaseText("[]").error().reason(), "bad_answer");
}

TEST(ReleaseTable, HasALineForEach) {
  const json page = {{"data", {kRelease}}};
  EXPECT_NE(ReleaseTable(page.dump())->find("0193  m      canary    running  canary=4 5%"), std::string::npos)
      << *ReleaseTable(page.dump());
  EXPECT_EQ(ReleaseTable(R"({"data":[]})").value(), "no releases\n");
  EXPECT_EQ(ReleaseTable("{}").error().reason(), "bad_answer");
}

}  // namespace
}  // namespace mezzo::app::cli
