#include "mezzo/app/cli/limit_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using ::testing::HasSubstr;

TEST(LimitTable, ShowsEachLimitInALine) {
  const auto table = LimitTable(
      R"({"data":[{"name":"a","kind":"requests","tenant":"acme","project":null,"key":null,"model":"m",)"
      R"("per":["key"],"rate":2.5,"burst":10,"source":"database"},)"
      R"({"name":"b","kind":"daily_money","tenant":null,"per":[],"amount":20,"source":"configuration"}]})");
  ASSERT_TRUE(table.ok()) << table.error().ToString();
  EXPECT_THAT(*table,
              HasSubstr("a      requests     2.5/s, 10 at once  tenant=acme model=m per key  database"));
  EXPECT_THAT(*table, HasSubstr("b      daily_money  20                 everything"));
}

TEST(LimitTable, RefusesWhatIsNoList) {
  EXPECT_EQ(LimitTable("[]").error().reason(), "bad_answer");
  EXPECT_EQ(LimitTable(R"({"data":[7]})").error().reason(), "bad_answer");
  EXPECT_EQ(LimitTable(R"({"data":[]})").value(), "no limits\n");
}

}  // namespace
}  // namespace mezzo::app::cli
