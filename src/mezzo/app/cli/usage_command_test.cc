#include "mezzo/app/cli/usage_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kAnswer =
    R"({"data":[{"start":"2026-01-01T00:00:00Z","tenant":"acme","model":"sdxl","requests":3,"failed":1,)"
    R"("device_ms":1234.56,"images":2,"video_seconds":0,"bytes_in":2048,"bytes_out":0,"cache_hits":0,)"
    R"("cost_micros":1500000}],"currency":"EUR","total":{"requests":3,"failed":1,"device_ms":1234.56,)"
    R"("images":2,"bytes_in":2048,"cost_micros":1500000}})";

TEST(UsageTable, ShowsRowsAndTheTotalWithTheirCost) {
  const auto table = UsageTable(kAnswer);
  ASSERT_TRUE(table.ok()) << table.error().ToString();
  EXPECT_THAT(*table, HasSubstr("START"));
  EXPECT_THAT(*table, HasSubstr("TENANT"));
  EXPECT_THAT(*table, Not(HasSubstr("PROJECT")));
  EXPECT_THAT(*table, HasSubstr("2026-01-01T00:00:00Z    acme   sdxl         3       1     1234.6       2"));
  EXPECT_THAT(*table, HasSubstr("2 KiB"));
  EXPECT_THAT(*table, HasSubstr("1.5000 EUR"));
  EXPECT_THAT(*table, HasSubstr("\ntotal "));
}

TEST(UsageTable, BeginsWithTheServersWarning) {
  std::string answer = kAnswer;
  answer.insert(1, R"("warning":"the journal can't be written",)");
  EXPECT_THAT(UsageTable(answer).value(),
              ::testing::StartsWith("warning: the journal can't be written\nSTART"));
  answer = kAnswer;
  answer.insert(1, R"("warning":null,)");
  EXPECT_THAT(UsageTable(answer).value(), ::testing::StartsWith("START"));
}

TEST(UsageTable, RefusesWhatIsNoReport) {
  EXPECT_EQ(UsageTable("[]").error().reason(), "bad_answer");
  EXPECT_EQ(UsageTable(R"({"data":[7],"total":{}})").error().reason(), "bad_answer");
  EXPECT_EQ(UsageTable(R"({"data":[],"total":{}})").value(), "nothing was used\n");
}

}  // namespace
}  // namespace mezzo::app::cli
