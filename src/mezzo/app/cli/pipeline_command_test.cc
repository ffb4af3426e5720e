#include "mezzo/app/cli/pipeline_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kRun =
    R"({"id":"r1","pipeline":"nightly","model":"churn","state":"waiting","message":"",
  "trigger":{"kind":"manual","who":"ann"},"created_at":"2026-11-23T07:00:00Z","version":4,
  "stages":[
    {"name":"train","kind":"train","state":"succeeded","attempt":2,"max_attempts":3,"metrics":{"auc":0.93125},
     "gates":[{"gate":"auc >= 0.9","outcome":"passed","reason":"0.93125 against 0.9"}],"error":null,"approval":null},
    {"name":"out","kind":"release","state":"waiting","attempt":0,"max_attempts":1,"metrics":{},"gates":[],"error":null,
     "approval":{"role":"admin","state":"waiting","by":null,"until":"2026-11-23T09:00:00Z"}},
    {"name":"away","kind":"retire","state":"pending","attempt":0,"max_attempts":1,"metrics":{},"gates":[],"error":null,
     "approval":null}]})";

TEST(PipelineRunText, DrawsTheStagesWithTheirGatesAndWhoIsWaitedFor) {
  const auto text = PipelineRunText(kRun);
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, HasSubstr("  [x] train                train     succeeded  attempt 2/3  auc=0.9313\n"
                               "        gate auc >= 0.9: passed, 0.93125 against 0.9\n"
                               "  [?] out                  release   waiting\n"
                               "        needs the role admin until 2026-11-23T09:00:00Z\n"
                               "  [ ] away                 retire    pending\n"));
  EXPECT_THAT(*text, Not(HasSubstr("why")));
}

TEST(PipelineRunTable, NamesTheStageThatIsNext) {
  const auto table = PipelineRunTable(std::string(R"({"data":[)") + kRun + "]}");
  ASSERT_TRUE(table.ok());
  EXPECT_THAT(*table, HasSubstr("nightly   waiting  out    4"));
}

TEST(PipelineTables, WhatIsNotAnAnswerIsRefused) {
  for (const char* bad : {"", "[]", "{}", R"({"data":3})", R"({"data":[3]})"}) {
    EXPECT_FALSE(PipelineTable(bad).ok()) << bad;
    EXPECT_FALSE(PipelineRunTable(bad).ok()) << bad;
    EXPECT_FALSE(PipelineText(bad).ok()) << bad;
    EXPECT_FALSE(PipelineRunText(bad).ok()) << bad;
  }
  EXPECT_EQ(PipelineTable(R"({"data":[]})").value(), "no pipelines\n");
  EXPECT_EQ(PipelineRunTable(R"({"data":[]})").value(), "no runs\n");
}

TEST(PipelineText, ShowsStagesAndTheNextTimes) {
  const auto text = PipelineText(
      R"({"kind":"pipeline","name":"nightly","revision":3,"updated_by":"ann","updated_at":"T","model":"churn",
          "template":"many","description":"","stages":[{"name":"a","kind":"train"},{"name":"b","kind":"register"}],
          "triggers":[{"kind":"schedule","text":"0 3 * * *","next_at":"N"},{"kind":"drift","text":"","next_at":null}]})");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(
      *text,
      "pipeline  nightly, revision 3 by ann at T\nmodel     churn\ntemplate  many\n"
      "stages    a (train) > b (register)\ntrigger   schedule 0 3 * * *, next at N\ntrigger   drift \n");
}

TEST(PipelineText, ShowsWhyDataIsNotWatched) {
  const auto of = [](const std::string& watched) {
    const auto text = PipelineText(
        R"({"kind":"pipeline","name":"p","revision":1,"updated_by":"ann","updated_at":"T","stages":[],"triggers":[)"
        R"({"kind":"data","text":"raw/daily","next_at":null,"watched":)" +
        watched + "}]}");
    return text.ok() ? text->substr(text->find('\n') + 1) : "bad";
  };
  EXPECT_EQ(of(R"({"error":null,"settling":false})"), "trigger   data raw/daily\n");
  EXPECT_EQ(of(R"({"error":null,"settling":true})"), "trigger   data raw/daily, changed and to settle\n");
  EXPECT_EQ(of(R"({"error":"its disk is away","settling":false})"),
            "trigger   data raw/daily, not watched: its disk is away\n");
  EXPECT_EQ(of("7"), "trigger   data raw/daily\n");
}

}  // namespace
}  // namespace mezzo::app::cli
