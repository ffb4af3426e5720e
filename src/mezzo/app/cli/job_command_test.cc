#include "mezzo/app/cli/job_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using ::testing::HasSubstr;

TEST(JobTable, ShowsEachJobInALine) {
  const auto table = JobTable(
      R"({"data":[{"id":"j1","kind":"inference","model":"m","tier":"free","status":"failed","progress":0.25,)"
      R"("attempt":2,"created_at":"2026-01-01T00:00:00.000Z","error":{"code":"engine_failed","message":"no"}}]})");
  ASSERT_TRUE(table.ok()) << table.error().ToString();
  EXPECT_THAT(*table, HasSubstr("JOB"));
  EXPECT_THAT(*table, HasSubstr("j1   inference  m      free  failed  25 %"));
  EXPECT_THAT(*table, HasSubstr("engine_failed"));
}

TEST(JobTable, SaysThatThereAreNone) { EXPECT_EQ(JobTable(R"({"data":[]})").value(), "no jobs\n"); }

TEST(JobTable, RefusesWhatIsNoList) {
  EXPECT_EQ(JobTable("[]").error().reason(), "bad_answer");
  EXPECT_EQ(JobTable(R"({"data":[{"id":"x"}]})").error().reason(), "bad_answer");
}

TEST(ProgressLine, DrawsABarThatStaysWithinItsWidth) {
  EXPECT_EQ(ProgressLine(R"({"id":"j","status":"running","progress":0.5,"stage":"denoise"})").value(),
            "[##########..........]  50 %  running  denoise");
  EXPECT_THAT(ProgressLine(R"({"id":"j","status":"running","progress":7})").value(),
              HasSubstr("[####################] 100 %"));
}

}  // namespace
}  // namespace mezzo::app::cli
