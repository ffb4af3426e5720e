#include "mezzo/app/cli/cache_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kModel =
    R"("data":[{"model":"m","hits":6,"misses":2,"shared":1,"joins":2,"bytes":2048,"saved_device_ms":1500}]})";

TEST(CacheTable, ShowsModelsAndWhatHostsShare) {
  const auto table = CacheTable(
      R"({"bytes":2048,"max_bytes":1048576,"shared":{"healthy":false,"hits":3,"joins":1,"leads":4,"alone":5,"corrupt":0},)" +
      std::string(kModel));
  ASSERT_TRUE(table.ok());
  EXPECT_THAT(*table, HasSubstr("2.0 KiB of 1.0 MiB"));
  EXPECT_THAT(*table,
              HasSubstr("shared with other hosts (failing): 3 hits, 1 joins, 4 computed for all, 5 alone"));
  EXPECT_THAT(*table, HasSubstr("60.0 %"));
  EXPECT_THAT(*table, HasSubstr("SHARED"));
}

TEST(CacheTable, SaysNothingOfHostsThatShareNothing) {
  const auto table = CacheTable(R"({"bytes":0,"max_bytes":1048576,"shared":null,)" + std::string(kModel));
  ASSERT_TRUE(table.ok());
  EXPECT_THAT(*table, Not(HasSubstr("other hosts")));
}

TEST(CacheTable, RefusesWhatIsNoAnswer) {
  EXPECT_EQ(CacheTable("nonsense").error().reason(), "bad_answer");
  EXPECT_EQ(CacheTable(R"({"data":[{"model":1}]})").error().reason(), "bad_answer");
}

}  // namespace
}  // namespace mezzo::app::cli
