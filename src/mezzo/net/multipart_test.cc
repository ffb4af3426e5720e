#include "mezzo/net/multipart.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::net {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kType = "multipart/form-data; boundary=XX";

std::string Part(const std::string& headers, const std::string& content) {
  return "--XX\r\n" + headers + "\r\n" + content + "\r\n";
}
std::string Field(const std::string& name, const std::string& content) {
  return Part("Content-Disposition: form-data; name=\"" + name + "\"\r\n", content);
}
std::string WhyNot(std::string_view type, const std::string& body, const FormLimits& limits = {}) {
  const auto parts = ParseFormData(type, body, limits);
  return parts.ok() ? "" : parts.error().reason() + ": " + parts.error().message();
}

TEST(ParseFormData, GivesFieldsAndFilesInOrder) {
  const std::string picture("\x89PNG\r\n\0--XY\r\n\r\n", 15);
  const std::string body =
      Field("prompt", "a cat") +
      Part(
          "content-disposition: form-data; name=image[]; filename=\"a \\\"b\\\".png\"\r\n"
          "Content-Type: image/png; x=y\r\nX-Other: 1\r\n",
          picture) +
      Field("empty", "") + "--XX--\r\nepilogue";
  const auto parts = ParseFormData(kType, body);
  ASSERT_TRUE(parts.ok()) << parts.error().ToString();
  ASSERT_EQ(parts->size(), 3U);
  EXPECT_EQ((*parts)[0].name, "prompt");
  EXPECT_EQ((*parts)[0].content, "a cat");
  EXPECT_EQ((*parts)[0].file_name, "");
  EXPECT_EQ((*parts)[1].name, "image[]");
  EXPECT_EQ((*parts)[1].file_name, "a \"b\".png");
  EXPECT_EQ((*parts)[1].content_type, "image/png");
  EXPECT_EQ((*parts)[1].content, picture);
  EXPECT_EQ((*parts)[2].content, "");
}

TEST(ParseFormData, TakesBoundariesInQuotesAndAFormWithoutParts) {
  const auto quoted =
      ParseFormData("Multipart/Form-Data; charset=utf-8; Boundary=\"a b:c\"",
                    "--a b:c \t\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--a b:c--");
  ASSERT_TRUE(quoted.ok()) << quoted.error().ToString();
  EXPECT_EQ((*quoted)[0].content, "1");
  EXPECT_EQ(ParseFormData(kType, "--XX--\r\n")->size(), 0U);
  EXPECT_EQ(ParseFormData(kType, "\r\n" + Field("a", "1") + "--XX--")->size(), 1U);
}

TEST(ParseFormData, ALongerBoundaryInAContentIsContent) {
  const auto parts = ParseFormData(kType, Field("a", "--XX\r\n--X\r\nXX--") + "--XX--");
  ASSERT_FALSE(parts.ok()) << "a line that begins with the boundary ends the part";
  EXPECT_EQ((*ParseFormData(kType, Field("a", "x--XX\r\n-XX--") + "--XX--"))[0].content, "x--XX\r\n-XX--");
}

TEST(ParseFormData, SaysWhatIsWrong) {
  const std::string end = "--XX--";
  EXPECT_THAT(WhyNot("application/json", end),
              HasSubstr("form_malformed: the form can't be read: its type is"));
  EXPECT_THAT(WhyNot("multipart/form-data", end), HasSubstr("names no boundary"));
  EXPECT_THAT(WhyNot("multipart/form-data; boundary=", end), HasSubstr("'' is no boundary"));
  EXPECT_THAT(WhyNot("multipart/form-data; boundary=\"x", end), HasSubstr("does not end"));
  EXPECT_THAT(WhyNot("multipart/form-data; boundary=" + std::string(71, 'x'), end),
              HasSubstr("is no boundary"));
  EXPECT_THAT(WhyNot("multipart/form-data; boundary=a\x01", end), HasSubstr("is no boundary"));
  EXPECT_THAT(WhyNot(kType, ""), HasSubstr("does not begin with its boundary"));
  EXPECT_THAT(WhyNot(kType, "preamble\r\n" + end), HasSubstr("does not begin with its boundary"));
  EXPECT_THAT(WhyNot(kType, "--XXX\r\n"), HasSubstr("not followed by a line's end"));
  EXPECT_THAT(WhyNot(kType, Field("a", "1")), HasSubstr("last boundary is missing"));
  EXPECT_THAT(WhyNot(kType, "--XX\r\n"), HasSubstr("headers of part 1 do not end"));
  EXPECT_THAT(WhyNot(kType, Part("", "1") + end), HasSubstr("part 1 has no name"));
  EXPECT_THAT(WhyNot(kType, Part("Content-Disposition: form-data\r\n", "1") + end), HasSubstr("has no name"));
  EXPECT_THAT(WhyNot(kType, Part("Content-Disposition: attachment; name=a\r\n", "1") + end),
              HasSubstr("is no form-data"));
  EXPECT_THAT(WhyNot(kType, Part("nonsense\r\n", "1") + end), HasSubstr("has no ':'"));
  EXPECT_THAT(WhyNot(kType, Part("Content-Disposition: form-data; name=a\r\n"
                                 "Content-Transfer-Encoding: base64\r\n",
                                 "1") +
                                end),
              HasSubstr("transfer encoding 'base64'"));
}

TEST(ParseFormData, HasItsLimits) {
  std::string many;
  for (int i = 0; i < 5; ++i) many += Field("a", "1");
  many += "--XX--";
  EXPECT_EQ(WhyNot(kType, many, {.max_parts = 5}), "");
  EXPECT_THAT(WhyNot(kType, many, {.max_parts = 4}), HasSubstr("form_too_many_parts"));
  const std::string wide = Part("X: " + std::string(5000, 'x') + "\r\n", "1") + "--XX--";
  EXPECT_THAT(WhyNot(kType, wide), HasSubstr("do not end within 4096 bytes"));
}

TEST(IsFormData, LooksAtTheTypeOnly) {
  EXPECT_TRUE(IsFormData("multipart/form-data; boundary=x"));
  EXPECT_TRUE(IsFormData(" MULTIPART/FORM-DATA"));
  EXPECT_FALSE(IsFormData("multipart/form-data-x"));
  EXPECT_FALSE(IsFormData(""));
}

}  // namespace
}  // namespace mezzo::net
