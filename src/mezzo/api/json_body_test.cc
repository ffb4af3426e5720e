#include "mezzo/api/json_body.h"

#include <string>

#include <gtest/gtest.h>

namespace mezzo::api {
namespace {

Error Bad(std::string message) { return InvalidArgument("request_member", std::move(message)); }

std::string Refusal(std::string_view text, int max_depth) {
  const auto parsed = ParseJsonObject<nlohmann::json>(text, max_depth, Bad);
  if (parsed.ok()) return "";
  EXPECT_EQ(parsed.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(parsed.error().reason(), "request_member");
  return parsed.error().message();
}

/// An object in which lists stand in one another, `depth` levels in all.
std::string Nested(int depth) {
  return R"({"a":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
}

TEST(ParseJsonObject, TakesAnObjectAsDeepAsAllowed) {
  const auto flat = ParseJsonObject<nlohmann::json>(R"({"b":1,"a":"x"})", 1, Bad);
  ASSERT_TRUE(flat.ok()) << flat.error().ToString();
  EXPECT_EQ(flat->dump(), R"({"a":"x","b":1})");
  for (int depth = 2; depth <= 40; ++depth) {
    EXPECT_EQ(Refusal(Nested(depth), depth), "");
    EXPECT_EQ(Refusal(Nested(depth), depth - 1),
              "the body nests deeper than " + std::to_string(depth - 1) + " levels");
  }
  EXPECT_EQ(Refusal(R"({"a":{"b":{}}})", 2), "the body nests deeper than 2 levels");
}

TEST(ParseJsonObject, KeepsTheOrderOfAnOrderedObject) {
  const auto parsed = ParseJsonObject<nlohmann::ordered_json>(R"({"b":1,"a":2})", 1, Bad);
  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_EQ(parsed->dump(), R"({"b":1,"a":2})");
}

TEST(ParseJsonObject, RefusesWhatIsNoObject) {
  for (const std::string_view text : {"", " ", "{", R"({"a":})", "{} x", "{'a':1}", "\xff", R"({"a":NaN})"}) {
    EXPECT_EQ(Refusal(text, 4), "the body is not valid JSON") << text;
  }
  for (const std::string_view text : {"[]", "1", "null", R"("a")", "[{}]"}) {
    EXPECT_EQ(Refusal(text, 4), "the body must be a JSON object") << text;
  }
}

TEST(ParseJsonObject, BuildsNothingOfAVeryDeepText) {
  EXPECT_EQ(Refusal(std::string(10'000'000, '['), 8), "the body nests deeper than 8 levels");
  EXPECT_EQ(Refusal(Nested(5'000'000), 8), "the body nests deeper than 8 levels");
}

}  // namespace
}  // namespace mezzo::api
