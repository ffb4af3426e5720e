#include "mezzo/app/cli/route_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using ::testing::HasSubstr;

constexpr const char* kRoute =
    R"({"rules":[{"tenant":"acme","version":"6"}],"split":{"sticky":"none","salt":"","arms":[)"
    R"({"name":"stable","version":"3","weight":9500},{"name":"canary","version":"4","weight":500}]},)"
    R"("shadows":[{"version":"5","share":1000}],"stable":"3"})";

TEST(RouteTable, ShowsEachRouteInALine) {
  const std::string page =
      R"({"data":[{"model":"m","revision":7,"route":)" + std::string(kRoute) +
      R"(,"changed_by":"alice","why":"more","changed_at":"2026-11-23T04:00:00Z"},)"
      R"({"model":"n","revision":1,"route":{"stable":"latest"},"changed_by":"bob","why":"","changed_at":"x"}]})";
  const auto table = RouteTable(page, /*history=*/false);
  ASSERT_TRUE(table.ok()) << table.error().ToString();
  EXPECT_THAT(*table, HasSubstr("m      7         stable=3 95%, canary=4 5%; 1 rule; shadow=5 10%  alice"));
  EXPECT_THAT(*table, HasSubstr("n      1         stable=latest"));
  const auto history = RouteTable(page, /*history=*/true);
  ASSERT_TRUE(history.ok()) << history.error().ToString();
  EXPECT_THAT(*history, HasSubstr("alice  2026-11-23T04:00:00Z  more"));
}

TEST(RouteTable, RefusesWhatIsNoList) {
  EXPECT_EQ(RouteTable("[]", false).error().reason(), "bad_answer");
  EXPECT_EQ(RouteTable(R"({"data":[7]})", false).error().reason(), "bad_answer");
  EXPECT_EQ(RouteTable(R"({"data":[]})", false).value(), "no routes\n");
}

TEST(WithWeights, ChangesTheArmsThatAreNamed) {
  const auto changed = WithWeights(kRoute, {"stable=9000", "canary=1000"});
  ASSERT_TRUE(changed.ok()) << changed.error().ToString();
  EXPECT_THAT(*changed, HasSubstr(R"("name":"stable","version":"3","weight":9000)"));
  EXPECT_THAT(*changed, HasSubstr(R"("name":"canary","version":"4","weight":1000)"));
  EXPECT_THAT(*changed, HasSubstr(R"("tenant":"acme")"));
  for (const char* bad : {"stable", "stable=", "stable=-1", "stable=10001", "other=5"}) {
    EXPECT_EQ(WithWeights(kRoute, {bad}).error().reason(), "bad_weights") << bad;
  }
  EXPECT_EQ(WithWeights(R"({"stable":"3"})", {"stable=1"}).error().reason(), "bad_weights");
}

}  // namespace
}  // namespace mezzo::app::cli
