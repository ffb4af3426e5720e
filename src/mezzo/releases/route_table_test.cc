#include "mezzo/releases/route_table.h"

#include <cmath>
#include <map>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::releases {
namespace {

using ::testing::HasSubstr;

using Headers = std::map<std::string, std::string, std::less<>>;

HeaderLookup Lookup(const Headers& headers) {
  return {&headers, [](const void* from, std::string_view name) -> std::optional<std::string_view> {
            const auto& all = *static_cast<const Headers*>(from);
            const auto found = all.find(name);
            if (found == all.end()) return std::nullopt;
            return found->second;
          }};
}

RouteArm Arm(std::string name, std::int64_t version, std::uint32_t weight) {
  return {.name = std::move(name), .version = VersionName::Number(version), .weight = weight};
}
Route ThreeArms(std::uint32_t canary, std::uint32_t baseline, std::string salt = "salt") {
  return {.sticky = Sticky::kHeader,
          .sticky_header = "x-user",
          .salt = std::move(salt),
          .arms = {Arm("stable", 3, kWholeWeight - canary - baseline), Arm("baseline", 3, baseline),
                   Arm("canary", 4, canary)},
          .stable = VersionName::Number(3)};
}
std::string ArmOf(const RouteTable& table, const std::string& user) {
  const Headers headers = {{"x-user", user}};
  return table.targets()[table.Choose({.headers = Lookup(headers)})].arm;
}

// From the paper's reference implementation: key 00..0f, text 00..0e.
TEST(SipHash, GivesThePapersValue) {
  std::string text;
  for (char c = 0; c < 15; ++c) text.push_back(c);
  EXPECT_EQ(internal::SipHash({0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL}, text), 0xa129ca6149be45e5ULL);
}

TEST(RouteTable, TheFirstRuleThatFitsDecides) {
  Route route = ThreeArms(0, 0);
  route.rules = {
      {.header = "x-beta", .equals = "1", .version = VersionName::Number(7)},
      {.tenant = TenantId("acme"), .version = VersionName::Number(6)},
      {.header = "x-beta", .equals = "2", .tenant = TenantId("zeta"), .version = VersionName::Number(5)}};
  const RouteTable table(route, {});
  const auto version = [&](const Headers& headers, std::string_view tenant) {
    return table.targets()[table.Choose({.tenant = tenant, .headers = Lookup(headers)})].version;
  };
  EXPECT_EQ(version({}, ""), "3");
  EXPECT_EQ(version({{"x-beta", "1"}}, "acme"), "7");
  EXPECT_EQ(version({{"x-beta", "2"}}, "acme"), "6");
  EXPECT_EQ(version({{"x-beta", "2"}}, "zeta"), "5");
  EXPECT_EQ(version({{"x-beta", "3"}}, "zeta"), "3");
  EXPECT_EQ(table.targets()[table.Choose({.tenant = "acme"})].arm, "rule-2");
}

TEST(RouteTable, WithoutASplitEverythingIsStable) {
  const RouteTable table({.stable = VersionName::Number(2)}, {});
  const RouteTarget& target = table.targets()[table.Choose({})];
  EXPECT_EQ(target.arm, "stable");
  EXPECT_EQ(target.version, "2");
  EXPECT_TRUE(target.stable);
}

// Shares of 20,000 callers within five standard deviations, for each of 20 salts.
TEST(RouteTable, SharesAreThoseOfTheWeights) {
  constexpr int kUsers = 20'000;
  for (int seed = 0; seed < 20; ++seed) {
    const RouteTable table(ThreeArms(500, 1500, "salt" + std::to_string(seed)), {});
    std::map<std::string, int> seen;
    for (int user = 0; user < kUsers; ++user) ++seen[ArmOf(table, "user-" + std::to_string(user))];
    for (const auto& [arm, share] :
         std::map<std::string, double>{{"canary", .05}, {"baseline", .15}, {"stable", .8}}) {
      const double deviation = std::sqrt(kUsers * share * (1 - share));
      EXPECT_NEAR(seen[arm], kUsers * share, 5 * deviation) << arm << " with seed " << seed;
    }
  }
}

TEST(RouteTable, CallsThatNothingKeepsTogetherAreSharedOutToo) {
  constexpr int kCalls = 20'000;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Route route = ThreeArms(500, 500);
    if (seed % 2 == 0) route.sticky = Sticky::kNone;  // Else: stuck to a header that no call has.
    const RouteTable table(route, {});
    int canary = 0;
    for (std::uint64_t i = 0; i < kCalls; ++i) {
      // Random numbers of the worst kind: a counter.
      canary += table.targets()[table.Choose({.random = seed * 1'000'000 + i})].arm == "canary" ? 1 : 0;
    }
    EXPECT_NEAR(canary, kCalls * .05, 5 * std::sqrt(kCalls * .05 * .95)) << seed;
  }
}

TEST(RouteTable, AnArmThatGrowsKeepsItsMembers) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    std::uint32_t canary = 0;
    std::uint32_t baseline = 0;
    std::map<std::string, std::string> last;
    for (int step = 0; step < 12; ++step) {
      const RouteTable table(ThreeArms(canary, baseline, "s" + std::to_string(seed)), {});
      for (int i = 0; i < 500; ++i) {
        const std::string user = "u" + std::to_string(i);
        const std::string arm = ArmOf(table, user);
        auto& before = last[user];
        if (before == "canary" || before == "baseline") {
          EXPECT_EQ(arm, before) << user << " left its arm at step " << step << " of seed " << seed;
        }
        before = arm;
      }
      const std::uint32_t left = kWholeWeight - canary - baseline;
      canary += random() % (left / 3 + 1);
      baseline += random() % (left / 3 + 1);
    }
  }
}

TEST(RouteTable, AShrinkingArmTakesNobodyIn) {
  const RouteTable before(ThreeArms(5000, 500), {});
  const RouteTable after(ThreeArms(1000, 500), {});
  for (int i = 0; i < 3000; ++i) {
    const std::string user = "u" + std::to_string(i);
    if (ArmOf(after, user) == "canary") EXPECT_EQ(ArmOf(before, user), "canary");
    if (ArmOf(before, user) == "baseline") EXPECT_EQ(ArmOf(after, user), "baseline");
  }
}

TEST(RouteTable, EqualUnitsGetEqualArmsInEveryTable) {
  const Route route = ThreeArms(2500, 2500);
  const RouteTable a(route, {});
  const RouteTable b(ParseRoute(RouteText(route)).value(), {});
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(ArmOf(a, std::to_string(i)), ArmOf(b, std::to_string(i)));
  // Written down once: a place that moved would deal the callers of running releases anew.
  EXPECT_EQ(RouteTable(ThreeArms(0, 0, ""), {}).PlaceOf("user-1"), 3794U);
  EXPECT_EQ(RouteTable(ThreeArms(0, 0, "salt"), {}).PlaceOf("user-1"), 7841U);
}

TEST(RouteTable, AnotherSaltDealsAnew) {
  const RouteTable a(ThreeArms(5000, 0, "a"), {});
  const RouteTable b(ThreeArms(5000, 0, "b"), {});
  int same = 0;
  for (int i = 0; i < 4000; ++i) {
    same += ArmOf(a, std::to_string(i)) == ArmOf(b, std::to_string(i)) ? 1 : 0;
  }
  EXPECT_NEAR(same, 2000, 160);
}

TEST(RouteTable, TenantsStayTogether) {
  Route route = ThreeArms(5000, 0);
  route.sticky = Sticky::kTenant;
  const RouteTable table(route, {});
  for (int i = 0; i < 50; ++i) {
    const std::string tenant = "t" + std::to_string(i);
    const std::size_t first = table.Choose({.tenant = tenant, .random = 1});
    EXPECT_EQ(table.Choose({.tenant = tenant, .random = 2}), first);
  }
}

TEST(RouteTable, AliasesAreResolvedWhenItIsMade) {
  Route route = ThreeArms(10'000, 0);
  route.arms[2].version = VersionName::Parse("@next").value();
  const auto resolve = [](std::string_view alias) -> std::optional<std::int64_t> {
    if (alias == "next") return 9;
    return std::nullopt;
  };
  const RouteTable table(route, resolve);
  EXPECT_EQ(table.targets()[table.Choose({})].version, "9");
  EXPECT_EQ(table.targets()[table.Choose({})].named, "@next");
  const RouteTable without(route, {});
  EXPECT_FALSE(without.targets()[without.Choose({})].resolved);
}

TEST(RouteTable, WhatGoesToTheStableVersionIsKnown) {
  const RouteTable table(ThreeArms(500, 500), {});
  EXPECT_TRUE(table.targets()[0].stable);
  EXPECT_TRUE(table.targets()[1].stable) << "the baseline";
  EXPECT_FALSE(table.targets()[2].stable);
  EXPECT_TRUE(table.targets()[table.stable()].stable);
}

TEST(RouteTable, ShadowsGetTheirShareIndependently) {
  Route route{.shadows = {{.version = VersionName::Number(5), .share = 1000},
                          {.version = VersionName::Number(6), .share = 1000}},
              .stable = VersionName::Number(3)};
  const RouteTable table(route, {});
  int first = 0;
  int both = 0;
  constexpr int kCalls = 50'000;
  for (std::uint64_t i = 0; i < kCalls; ++i) {
    first += table.Shadowed(0, i) ? 1 : 0;
    both += table.Shadowed(0, i) && table.Shadowed(1, i) ? 1 : 0;
  }
  EXPECT_NEAR(first, kCalls * .1, 5 * std::sqrt(kCalls * .09));
  EXPECT_NEAR(both, kCalls * .01, 5 * std::sqrt(kCalls * .0099));
}

}  // namespace
}  // namespace mezzo::releases
