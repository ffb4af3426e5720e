#include "mezzo/tenancy/ledger/quota_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::tenancy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

UsageReport::Row Row(std::string tenant, std::string project, std::string key, std::string model,
                     std::int64_t requests, std::int64_t failed, std::int64_t device_ms,
                     std::int64_t micros) {
  UsageReport::Row row;
  row.sum.key = {.tenant = std::move(tenant),
                 .project = std::move(project),
                 .key_id = std::move(key),
                 .model = std::move(model),
                 .version = "",
                 .kind = ""};
  row.sum.usage = {.requests = requests, .failed = failed, .device_ns = device_ms * 1'000'000};
  row.cost_micros = micros;
  return row;
}

const std::vector<UsageReport::Row>& Rows() {
  static const std::vector<UsageReport::Row> rows = {
      Row("a", "p", "k1", "m", 10, 1, 100, 2'000'000), Row("a", "p", "k1", "n", 5, 0, 50, 500'000),
      Row("a", "", "k2", "m", 3, 3, 30, 0), Row("b", "p", "k3", "m", 7, 0, 70, 1'000'000)};
  return rows;
}

TEST(UsedOf, CountsWhatTheKindCounts) {
  EXPECT_THAT(UsedOf({.name = "l", .kind = LimitKind::kDailyRequests}, Rows()),
              ElementsAre(QuotaUse{.used = 9 + 5 + 0 + 7}));
  EXPECT_THAT(UsedOf({.name = "l", .kind = LimitKind::kMonthlyCost}, Rows()),
              ElementsAre(QuotaUse{.used = 250}));
  EXPECT_THAT(UsedOf({.name = "l", .kind = LimitKind::kDailyMoney}, Rows()),
              ElementsAre(QuotaUse{.used = 3.5}));
}

TEST(UsedOf, TakesWhatMatchesAndKeepsApartWhatTheLimitKeepsApart) {
  const auto cost = [](Limit limit) {
    limit.name = "l";
    limit.kind = LimitKind::kDailyCost;
    return UsedOf(limit, Rows());
  };
  EXPECT_THAT(cost({.tenant = TenantId("a")}), ElementsAre(QuotaUse{.used = 180}));
  EXPECT_THAT(cost({.model = ModelName("n")}), ElementsAre(QuotaUse{.used = 50}));
  EXPECT_THAT(cost({.key = KeyId("k3")}), ElementsAre(QuotaUse{.used = 70}));
  EXPECT_THAT(cost({.tenant = TenantId("nobody")}), IsEmpty());
  EXPECT_THAT(cost({.per = kPerTenant}),
              ElementsAre(QuotaUse{.tenant = "a", .used = 180}, QuotaUse{.tenant = "b", .used = 70}));
  EXPECT_THAT(cost({.per = kPerProject}), ElementsAre(QuotaUse{.tenant = "a", .used = 30},
                                                      QuotaUse{.tenant = "a", .project = "p", .used = 150},
                                                      QuotaUse{.tenant = "b", .project = "p", .used = 70}));
  EXPECT_THAT(cost({.tenant = TenantId("a"), .per = kPerKey | kPerModel}),
              ElementsAre(QuotaUse{.key_id = "k1", .model = "m", .used = 100},
                          QuotaUse{.key_id = "k1", .model = "n", .used = 50},
                          QuotaUse{.key_id = "k2", .model = "m", .used = 30}));
}

}  // namespace
}  // namespace mezzo::tenancy
