#include "mezzo/releases/route.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::releases {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kWhole =
    R"({"rules":[{"header":"x-beta","equals":"1","version":"7"},{"tenant":"acme","version":"@old"}],)"
    R"("split":{"sticky":"header:x-user-id","salt":"s","arms":[{"name":"stable","version":"3","weight":9000},)"
    R"({"name":"baseline","version":"3","weight":500},{"name":"canary","version":"latest","weight":500}]},)"
    R"("shadows":[{"version":"5","share":1000,"max_in_flight":4}],"stable":"3"})";

/// The error of `text`, as "reason: message".
std::string Refusal(const std::string& text) {
  const auto route = ParseRoute(text);
  return route.ok() ? "none" : route.error().reason() + ": " + route.error().message();
}
std::string Split(const std::string& arms) { return R"({"stable":"1","split":{"arms":[)" + arms + "]}}"; }
std::string Repeat(const std::string& what, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) {
    std::string one = what;
    if (const auto at = one.find('#'); at != std::string::npos) one.replace(at, 1, std::to_string(i));
    all += (i > 0 ? "," : "") + one;
  }
  return all;
}

TEST(Route, ComesBackAsItWasWritten) {
  const auto route = ParseRoute(kWhole);
  ASSERT_TRUE(route.ok()) << route.error().ToString();
  EXPECT_EQ(RouteText(*route), kWhole);
  EXPECT_EQ(ParseRoute(RouteText(*route)).value(), *route);
  EXPECT_EQ(route->rules[1].version.alias, "old");
  EXPECT_EQ(route->sticky, Sticky::kHeader);
  EXPECT_EQ(route->arms[2].version.kind, VersionName::Kind::kLatest);
  EXPECT_EQ(route->stable, VersionName::Number(3));
}

TEST(Route, TheLeastIsAStableVersion) {
  const auto route = ParseRoute(R"({"stable":"12"})");
  ASSERT_TRUE(route.ok()) << route.error().ToString();
  EXPECT_EQ(RouteText(*route), R"({"stable":"12"})");
  EXPECT_EQ(Refusal("{}"), "route_json: route.stable is missing");
}

TEST(Route, HeadersAreKeptInLowerCase) {
  const auto route =
      ParseRoute(R"({"stable":"1","rules":[{"header":"X-Beta","equals":"On","version":"2"}],)"
                 R"("split":{"sticky":"header:X-User","arms":[{"name":"a","version":"1","weight":10000}]}})");
  ASSERT_TRUE(route.ok()) << route.error().ToString();
  EXPECT_EQ(route->rules[0].header, "x-beta");
  EXPECT_EQ(route->rules[0].equals, "On");
  EXPECT_EQ(route->sticky_header, "x-user");
}

TEST(Route, EveryFaultIsNamed) {
  EXPECT_EQ(Refusal("{"), "route_json: a route must be JSON");
  EXPECT_EQ(Refusal("[]"), "route_json: a route must be an object");
  EXPECT_EQ(Refusal(R"({"stable":"1","stabel":"1"})"),
            "route_json: a route has no member 'stabel'; did you mean 'stable'?");
  EXPECT_EQ(Refusal(R"({"stable":"1","stable":"2"})"),
            "route_json: a member of a route stands twice in its object");
  EXPECT_EQ(Refusal(R"({"stable":1})"),
            R"(route_json: route.stable must be a text: "7", "latest" or "@alias")");
  EXPECT_EQ(Refusal(R"({"stable":"1","rules":{}})"), "route_json: route.rules must be an array");
  EXPECT_THAT(Refusal(std::string(70'000, ' ')), HasSubstr("has 70000 bytes; the limit is 65536"));
  EXPECT_EQ(Refusal(R"({"stable":[[[[[[[[[[]]]]]]]]]]})"),
            "route_json: a route nests no deeper than 8 levels");
  EXPECT_EQ(Refusal(Split(R"({"name":"a","version":"1","weight":-5})")),
            "route_json: split.arms[0].weight must be a whole number from 0 to 10000");
  EXPECT_EQ(Refusal(Split(R"({"name":"a","version":"1"})")), "route_json: split.arms[0].weight is missing");
}

TEST(Route, VersionsAreNumbersLatestOrAliases) {
  for (const char* bad : {"0", "-1", "01", "1.0", "", "v1", "@", "@a/b", "99999999999999999999", "Latest"}) {
    const auto version = VersionName::Parse(bad);
    ASSERT_FALSE(version.ok()) << bad;
    EXPECT_EQ(version.error().reason(), "route_version");
  }
  EXPECT_EQ(
      Refusal(R"({"stable":"v1"})"),
      "route_version: route.stable: 'v1' names no version: it must be a whole number above 0, 'latest' or "
      "'@' with an alias");
  for (const char* good : {"1", "9223372036854775807", "latest", "@champion"}) {
    EXPECT_EQ(VersionName::Parse(good).value().Text(), good);
  }
}

TEST(Route, WeightsSumToExactlyTenThousand) {
  EXPECT_EQ(Refusal(Split(R"({"name":"a","version":"1","weight":9999})")),
            "route_weights: the weights of split.arms sum to 9999; they must sum to exactly 10000");
  EXPECT_EQ(
      Refusal(Split(R"({"name":"a","version":"1","weight":10000},{"name":"b","version":"2","weight":1})")),
      "route_weights: the weights of split.arms sum to 10001; they must sum to exactly 10000");
  EXPECT_EQ(
      Refusal(Split(R"({"name":"a","version":"1","weight":10000},{"name":"b","version":"2","weight":0})")),
      "none");
}

TEST(Route, ArmsHaveNamesOfTheirOwnAndALimit) {
  EXPECT_EQ(
      Refusal(Split(R"({"name":"a","version":"1","weight":5000},{"name":"a","version":"2","weight":5000})")),
      "route_arm: two of split.arms are named 'a'");
  EXPECT_EQ(Refusal(Split("")), "route_arm: split.arms must not be empty");
  EXPECT_EQ(Refusal(Split(Repeat(R"({"name":"a#","version":"1","weight":0})", 17))),
            "route_arm: split.arms has 17 entries; the limit is 16");
  for (const char* bad : {"", "A", "1a", "rule-1", "a b", "abcdefghijklmnopqrstuvwxyzabcdefg"}) {
    EXPECT_THAT(Refusal(Split(R"({"name":")" + std::string(bad) + R"(","version":"1","weight":10000})")),
                HasSubstr("route_arm: split.arms[0].name"));
  }
}

TEST(Route, RulesHaveConditionsAndALimit) {
  const auto rules = [](const std::string& all) { return R"({"stable":"1","rules":[)" + all + "]}"; };
  EXPECT_EQ(Refusal(rules(R"({"version":"2"})")),
            "route_rule: rules[0] must have 'header' and 'equals', or 'tenant', or all of them");
  EXPECT_EQ(Refusal(rules(R"({"header":"x","version":"2"})")),
            "route_rule: rules[0] must have both 'header' and 'equals', or neither");
  EXPECT_EQ(Refusal(rules(R"({"header":"a b","equals":"1","version":"2"})")),
            "route_rule: rules[0].header is 'a b', which is no name of a header");
  EXPECT_EQ(Refusal(rules(R"({"header":"Authorization","equals":"Bearer x","version":"2"})")),
            "route_rule: rules[0].header is 'authorization', whose values are secrets");
  EXPECT_EQ(Refusal(rules(Repeat(R"({"tenant":"t#","version":"2"})", 65))),
            "route_rule: rules has 65 entries; the limit is 64");
  EXPECT_EQ(Refusal(rules(Repeat(R"({"header":"x#","equals":"1","version":"2"})", 9))),
            "route_rule: rules ask for 9 different headers; the limit is 8");
  EXPECT_EQ(Refusal(rules(Repeat(R"({"tenant":"t#","version":"2"})", 64))), "none");
}

TEST(Route, StickinessAndSalt) {
  const auto with = [](const std::string& members) {
    return R"({"stable":"1","split":{)" + members + R"("arms":[{"name":"a","version":"1","weight":10000}]}})";
  };
  EXPECT_EQ(
      Refusal(with(R"("sticky":"user",)")),
      "route_sticky: split.sticky is 'user'; it must be 'none', 'tenant' or 'header:' with a header's name");
  EXPECT_THAT(Refusal(with(R"("sticky":"header:",)")),
              HasSubstr("route_sticky: split.sticky names the header"));
  EXPECT_THAT(Refusal(with(R"("sticky":"header:cookie",)")), HasSubstr("route_sticky"));
  EXPECT_EQ(Refusal(with(R"("salt":")" + std::string(129, 's') + R"(",)")),
            "route_sticky: split.salt has 129 bytes; the limit is 128");
  EXPECT_EQ(Refusal(with(R"("salt":")" + std::string(128, 's') + R"(","sticky":"tenant",)")), "none");
}

TEST(Route, ShadowsAreBounded) {
  const auto shadows = [](const std::string& all) { return R"({"stable":"1","shadows":[)" + all + "]}"; };
  EXPECT_EQ(Refusal(shadows(R"({"version":"2","share":0})")),
            "route_shadow: shadows[0].share must be from 1 to 10000");
  EXPECT_EQ(Refusal(shadows(R"({"version":"2","share":5,"max_in_flight":0})")),
            "route_shadow: shadows[0].max_in_flight must be from 1 to 256");
  EXPECT_EQ(Refusal(shadows(Repeat(R"({"version":"2","share":5})", 5))),
            "route_shadow: shadows has 5 entries; the limit is 4");
}

TEST(Route, ModelsHaveSafeNames) {
  EXPECT_TRUE(CheckRoutedModel("minilm-v2.1").ok());
  EXPECT_EQ(CheckRoutedModel("a/b").error().reason(), "route_model");
  EXPECT_EQ(CheckRoutedModel("").error().reason(), "route_model");
}

}  // namespace
}  // namespace mezzo::releases
