#include "mezzo/app/cli/tenant_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TenantTable, ShowsEachTenantInALine) {
  const auto table = TenantTable(
      R"({"data":[{"id":"acme","name":"Acme","weight":2.5,"classes":["interactive","bulk"],"platform":false,)"
      R"("suspended":true,"created_at":"2026-01-01T00:00:00.000Z"}]})");
  ASSERT_TRUE(table.ok()) << table.error().ToString();
  EXPECT_THAT(*table, HasSubstr("acme    Acme  2.5     interactive,bulk            suspended  2026-01-01"));
}

TEST(KeyTable, ShowsEachKeyInALineAndDashesForWhatIsNot) {
  const auto table = KeyTable(
      R"({"data":[{"id":"k1","name":"ci","project":null,"scopes":["infer","keys"],"created_at":"2026-01-01",)"
      R"("expires_at":null,"last_used_at":"2026-01-02","revoked_at":null}]})");
  ASSERT_TRUE(table.ok()) << table.error().ToString();
  EXPECT_THAT(*table, HasSubstr("k1   ci    -        infer,keys  2026-01-01  -        2026-01-02  -"));
}

TEST(TenantTables, RefuseWhatIsNoList) {
  EXPECT_EQ(TenantTable("[]").error().reason(), "bad_answer");
  EXPECT_EQ(KeyTable(R"({"data":[7]})").error().reason(), "bad_answer");
  EXPECT_EQ(TenantTable(R"({"data":[]})").value(), "no tenants\n");
  EXPECT_EQ(KeyTable(R"({"data":[]})").value(), "no keys\n");
}

}  // namespace
}  // namespace mezzo::app::cli
