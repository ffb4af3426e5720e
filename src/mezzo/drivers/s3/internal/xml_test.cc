#include "mezzo/drivers/s3/internal/xml.h"

#include <string>

#include <gtest/gtest.h>

namespace mezzo::drivers::internal {
namespace {

TEST(ParseXml, ReadsAnAnswerOfS3) {
  const auto root = ParseXml(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>\n"
      "  <Name>bucket</Name><!-- a comment -->\n"
      "  <Contents><Key>a&amp;b&#x2F;&#228;</Key><Size>12</Size></Contents>\n"
      "  <Contents><Key/></Contents>\n"
      "  <s3:IsTruncated>false</s3:IsTruncated >\n"
      "</ListBucketResult>\n<!-- end -->\n");
  ASSERT_TRUE(root.ok()) << root.error().ToString();
  EXPECT_EQ(root->name, "ListBucketResult");
  EXPECT_EQ(root->ChildText("Name"), "bucket");
  EXPECT_EQ(root->ChildText("IsTruncated"), "false");
  EXPECT_EQ(root->ChildText("None"), "");
  ASSERT_EQ(root->children.size(), 4U);
  EXPECT_EQ(root->Child("Contents")->ChildText("Key"), "a&b/\xC3\xA4");
  EXPECT_EQ(root->children[2].ChildText("Key"), "");
}

TEST(ParseXml, RefusesWhatCouldExpandOrReferOutside) {
  const std::string billion_laughs =
      "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c "
      "\"&b;&b;&b;&b;\">]><a>&c;</a>";
  const std::string external = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
  for (const std::string& text : {billion_laughs, external, std::string("<a>&x;</a>"),
                                  std::string("<a><![CDATA[b]]></a>"), std::string("<a><?php b ?></a>")}) {
    const auto root = ParseXml(text);
    ASSERT_FALSE(root.ok()) << text;
    EXPECT_EQ(root.error().reason(), "blob_answer_invalid");
  }
}

TEST(ParseXml, RefusesWhatIsNotWellFormed) {
  for (const char* text : {"",
                           " ",
                           "text",
                           "<",
                           "<a",
                           "<a>",
                           "<a></b>",
                           "<a></a",
                           "<a></a>b",
                           "<a><b></a></b>",
                           "<a b></a>",
                           "<a b=c></a>",
                           "<a b='c></a>",
                           "<a>&amp</a>",
                           "<a>&#0;</a>",
                           "<a>&#xD800;</a>",
                           "<a>&#x110000;</a>",
                           "<a>&#99999999;</a>",
                           "<a>&#;</a>",
                           "<a>&#x;</a>",
                           "<a>&#12a;</a>",
                           "<a><!-- </a>",
                           "<?xml",
                           "<></>",
                           "</a>"}) {
    EXPECT_FALSE(ParseXml(text).ok()) << text;
  }
}

TEST(ParseXml, KeepsItsLimits) {
  const XmlLimits limits{.max_bytes = 1000, .max_nodes = 5, .max_depth = 3};
  EXPECT_TRUE(ParseXml("<a><b><c/></b></a>", limits).ok());
  EXPECT_FALSE(ParseXml("<a><b><c><d/></c></b></a>", limits).ok());
  EXPECT_TRUE(ParseXml("<a><b/><b/><b/><b/></a>", limits).ok());
  EXPECT_FALSE(ParseXml("<a><b/><b/><b/><b/><b/></a>", limits).ok());
  EXPECT_FALSE(ParseXml("<a>" + std::string(1000, 'x') + "</a>", limits).ok());
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  EXPECT_FALSE(ParseXml(deep).ok());
}

TEST(EscapeXml, EscapesWhatAnElementMayNotHold) {
  EXPECT_EQ(EscapeXml("a<b>&\"c"), "a&lt;b&gt;&amp;&quot;c");
  EXPECT_EQ(ParseXml("<a>" + EscapeXml("<&\">") + "</a>")->text, "<&\">");
}

}  // namespace
}  // namespace mezzo::drivers::internal
