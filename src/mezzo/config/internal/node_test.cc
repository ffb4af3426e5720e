#include "mezzo/config/internal/node.h"

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::config::internal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Repeat(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

std::string Refusal(std::string_view text, const DocumentLimits& limits = {}) {
  const auto result = ParseDocument(text, "a.yaml", limits);
  if (result.ok()) return "(accepted)";
  EXPECT_EQ(result.error().reason(), "config_syntax");
  return result.error().message();
}

TEST(ParseDocument, KeepsKindsStylesAndPlaces) {
  const auto root = ParseDocument("a:\n  b: [1, \"2\"]\n  c: ~\n", "a.yaml", {});

  ASSERT_TRUE(root.ok()) << root.error().message();
  ASSERT_EQ(root->kind, Node::Kind::kMap);
  const Node& a = root->items.at(0);
  EXPECT_EQ(a.key, "a");
  EXPECT_EQ(a.key_origin.ToString(), "a.yaml:1:1");
  const Node& b = a.items.at(0);
  ASSERT_EQ(b.kind, Node::Kind::kList);
  EXPECT_EQ(b.items.at(0).style, Node::Style::kPlain);
  EXPECT_EQ(b.items.at(0).origin.ToString(), "a.yaml:2:7");
  EXPECT_EQ(b.items.at(1).style, Node::Style::kQuoted);
  EXPECT_EQ(a.items.at(1).kind, Node::Kind::kNull);
  EXPECT_EQ(a.items.at(1).key_origin.ToString(), "a.yaml:3:3");
}

TEST(ParseDocument, ReadsNothingAsNull) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n", "~"}) {
    const auto root = ParseDocument(text, "a.yaml", {});
    ASSERT_TRUE(root.ok()) << text;
    EXPECT_EQ(root->kind, Node::Kind::kNull) << text;
  }
}

TEST(ParseDocument, RefusesDuplicateKeys) {
  EXPECT_EQ(Refusal("a: 1\nb: 2\na: 3\n"), "a.yaml:3:1: duplicate key 'a', first given on line 1");
  EXPECT_EQ(Refusal("x: {a: 1, \"a\": 2}"), "a.yaml:1:11: duplicate key 'a', first given on line 1");
  EXPECT_EQ(Refusal("x: {a: 1}\ny: {a: 1}\n"), "(accepted)");
}

TEST(ParseDocument, RefusesAnchorsAliasesAndTags) {
  EXPECT_THAT(Refusal("a: &x [1]\nb: *x\n"), StartsWith("a.yaml:1:4: anchors"));
  EXPECT_THAT(Refusal("a: &x 1\n"), StartsWith("a.yaml:1:4: anchors"));
  EXPECT_THAT(Refusal("b: *x\n"), HasSubstr("a.yaml:1:"));
  EXPECT_THAT(Refusal("a: !!binary aGk=\n"), HasSubstr("tags are not allowed"));
  EXPECT_THAT(Refusal("a: !custom {b: 1}\n"), HasSubstr("tags are not allowed"));
  const std::string bomb =
      "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n";
  EXPECT_THAT(Refusal(bomb), StartsWith("a.yaml:1:4: anchors"));
}

TEST(ParseDocument, RefusesSecondDocument) {
  EXPECT_EQ(Refusal("a: 1\n---\nb: 2\n"),
            "a.yaml:2:1: one document is allowed, but a second one starts here");
}

TEST(ParseDocument, RefusesKeysThatAreNotPlainWords) {
  EXPECT_THAT(Refusal("? [a, b]\n: 1\n"), HasSubstr("a key must be a plain word"));
  EXPECT_THAT(Refusal("? {a: b}\n: 1\n"), HasSubstr("a key must be a plain word"));
  EXPECT_THAT(Refusal("~: 1\n"), HasSubstr("a key must not be null"));
}

TEST(ParseDocument, RefusesDepthBeyondTheLimit) {
  const std::string allowed = Repeat("[", 32) + Repeat("]", 32);
  EXPECT_EQ(Refusal(allowed), "(accepted)");
  EXPECT_EQ(Refusal("[" + allowed + "]"), "a.yaml:1:33: nested deeper than 32 levels");
  EXPECT_THAT(Refusal("a: {b: {c: 1}}", {.max_depth = 2}),
              StartsWith("a.yaml:1:8: nested deeper than 2 levels"));
}

TEST(ParseDocument, RefusesTooManyNodesAndBytes) {
  EXPECT_THAT(Refusal("[1, 2, 3, 4]", {.max_nodes = 4}), HasSubstr("more than 4 values"));
  EXPECT_EQ(Refusal("abcdef", {.max_bytes = 5}),
            "a.yaml: the document has 6 bytes, more than the limit of 5");
}

TEST(ParseDocument, RefusesControlBytesAndBadUtf8WithTheirPlace) {
  using std::string_view_literals::operator""sv;
  EXPECT_EQ(Refusal("a: 1\nb: x\0y\n"sv), "a.yaml:2:5: the byte \\x00 is not allowed");
  EXPECT_EQ(Refusal("a: \x1b[0m"), "a.yaml:1:4: the byte \\x1b is not allowed");
  EXPECT_EQ(Refusal("a: \xff"), "a.yaml:1:4: not UTF-8 (byte \\xff)");
  EXPECT_EQ(Refusal("a: \xc0\x80"), "a.yaml:1:4: not UTF-8 (byte \\xc0)");
  EXPECT_EQ(Refusal("a: \xed\xa0\x80"), "a.yaml:1:4: not UTF-8 (byte \\xed)");
  EXPECT_EQ(Refusal("a: \xf4\x90\x80\x80"), "a.yaml:1:4: not UTF-8 (byte \\xf4)");
  EXPECT_EQ(Refusal("a: \xe2\x82"), "a.yaml:1:4: not UTF-8 (byte \\xe2)");
  EXPECT_EQ(Refusal("a: \xe2\x82\xac"), "(accepted)");
}

TEST(ParseDocument, NamesThePlaceOfBrokenSyntax) {
  EXPECT_THAT(Refusal("a: [1, 2\n"), StartsWith("a.yaml:2:1: "));
  EXPECT_EQ(Refusal("a:\n\tb: 1\n"),
            "a.yaml:2:3: illegal map value (this line is indented with a tab; YAML takes spaces only)");
  EXPECT_THAT(Refusal("a: 1\n b: 2\n"), StartsWith("a.yaml:2:"));
  EXPECT_THAT(Refusal("a: b: c\n"), StartsWith("a.yaml:1:"));
  EXPECT_THAT(Refusal("}"), StartsWith("a.yaml:1:"));
}

TEST(ParseDocument, RefusesQuotesThatDoNotClose) {
  EXPECT_EQ(Refusal("a: \"open\n"), "a.yaml:1:4: the quoted text has no end");
  EXPECT_EQ(Refusal("a: 'it''s\n"), "a.yaml:1:4: the quoted text has no end");
  EXPECT_EQ(Refusal("a: \"open\\\"\n"), "a.yaml:1:4: the quoted text has no end");
  EXPECT_EQ(Refusal("a: 'it''s'\nb: \"\\\\\"\nc: ''\n\"d\": 'e\n  f'\n"), "(accepted)");
  EXPECT_EQ(Refusal("\xef\xbb\xbf\"a\": \"\xe2\x82\xac\"\nb: \"x\"\n"), "(accepted)");
}

TEST(ParseDocument, RefusesEveryProperPrefixOfAFlowDocument) {
  const std::string text = "{a: [1, \"x\", 'y'], b: {c: d}}";
  for (std::size_t size = 1; size < text.size(); ++size) {
    EXPECT_NE(Refusal(text.substr(0, size)), "(accepted)") << text.substr(0, size);
    EXPECT_NE(Refusal(text.substr(0, size) + "\n"), "(accepted)") << text.substr(0, size);
  }
}

TEST(ParseDocument, CostsAboutLinearTimeForHostileText) {
  constexpr std::size_t kSize = std::size_t{128} << 10;
  for (const std::string_view unit :
       {"[",   "{",   "- ", "? ",     "a: ",     "a:\n",  "\"",    "'",  "&a ", "*a ", "!",
        "|\n", "%",   "#",  "- - - ", "[a: ",    "{a: [", "---\n", ":",  "\t",  " ",   "\n",
        "x",   "x\n", ",",  "[]",     "a: {}\n", "@",     "`",     "\\", ">\n "}) {
    const std::string text = Repeat(unit, kSize / unit.size());
    const auto begin = std::chrono::steady_clock::now();

    (void)ParseDocument(text, "a.yaml", {});

    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2)) << unit;
  }
}

}  // namespace
}  // namespace mezzo::config::internal
