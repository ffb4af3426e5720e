#include "mezzo/media/subtitles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/media/line_breaking.h"

namespace mezzo::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(DisplayColumns, WideCharactersCountTwo) {
  EXPECT_EQ(DisplayColumns("abc"), 3U);
  EXPECT_EQ(DisplayColumns("中文，"), 6U);
  EXPECT_EQ(DisplayColumns("e\u0301"), 1U) << "a combining accent takes no place";
  EXPECT_EQ(DisplayColumns("\U0001F600"), 2U);
}

TEST(BreakLines, BreaksLatinTextAtSpacesEvenly) {
  EXPECT_THAT(BreakLines("the quick brown fox jumps over it", 20),
              ElementsAre("the quick brown", "fox jumps over it"));
}

TEST(BreakLines, BreaksChineseBetweenCharactersButNotBeforePunctuation) {
  EXPECT_THAT(BreakLines("今天天气很好我们去公园", 12), ElementsAre("今天天气很好", "我们去公园"));
  for (const std::string& line : BreakLines("天天天天天天。天天天天天天，天天天天天「天天」天天天", 12)) {
    EXPECT_THAT(line, Not(::testing::StartsWith("。")));
    EXPECT_THAT(line, Not(::testing::StartsWith("，")));
    EXPECT_THAT(line, Not(::testing::StartsWith("」")));
    EXPECT_THAT(line, Not(::testing::EndsWith("「")));
    EXPECT_LE(DisplayColumns(line), 12U);
  }
}

TEST(BreakLines, PrefersToBreakAfterPunctuation) {
  EXPECT_THAT(BreakLines("轻盈如羽，坚固如山。全新一代产品，为每一天的灵感而生。", 42),
              ElementsAre("轻盈如羽，坚固如山。", "全新一代产品，为每一天的灵感而生。"));
}

TEST(BreakLines, DoesNotBreakWordsUnlessTheyAreTooLong) {
  EXPECT_THAT(BreakLines("Mezzo平台very good", 12), ElementsAre("Mezzo平台", "very good"));
  EXPECT_THAT(BreakLines("abcdefghijklmnop", 6), ElementsAre("abcdef", "ghijkl", "mnop"));
}

TEST(BreakLines, KeepsTheAuthorsLinesAndDropsControls) {
  EXPECT_THAT(BreakLines("one\ntwo  three\x01\x1b", 40), ElementsAre("one", "two three"));
  EXPECT_THAT(BreakLines(" \n\t ", 40), IsEmpty());
}

TEST(BreakLines, NeverExceedsTheWidthNorLosesText) {
  const std::string text =
      "混合 mixed 文字 with 数字123和（括号）, “quotes”——以及 averyveryverylongwordindeed。";
  for (std::size_t width = 2; width <= 60; ++width) {
    std::string joined;
    for (const std::string& line : BreakLines(text, width)) {
      EXPECT_LE(DisplayColumns(line), width);
      joined += line;
    }
    std::string expected = text;
    std::erase(expected, ' ');
    std::erase(joined, ' ');
    EXPECT_EQ(joined, expected) << width;
  }
}

Storyboard WithSubtitle(const std::string& chinese, const std::string& english) {
  Storyboard out;
  out.style = "fresh";
  out.shots.resize(2);
  out.shots[0].duration = seconds(4);
  out.shots[1].duration = seconds(6);
  out.shots[1].subtitles[0] = chinese;
  out.shots[1].subtitles[1] = english;
  return out;
}

TEST(MakeSubtitles, AShortTextIsOneCueAsLongAsItsShot) {
  const Storyboard storyboard = WithSubtitle("你好", "Hello");

  const auto tracks = MakeSubtitles(storyboard, Timeline(storyboard));

  ASSERT_EQ(tracks.size(), 2U);
  EXPECT_EQ(tracks[0].language, Language::kChinese);
  EXPECT_THAT(tracks[0].cues, ElementsAre(Cue{{seconds(4), seconds(10)}, "你好"}));
  EXPECT_THAT(tracks[1].cues, ElementsAre(Cue{{seconds(4), seconds(10)}, "Hello"}));
}

TEST(MakeSubtitles, ALongTextBecomesCuesOfTwoLinesThatFollowEachOther) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "seven77 ";
  const Storyboard storyboard = WithSubtitle("", text);

  const auto tracks = MakeSubtitles(storyboard, Timeline(storyboard));

  ASSERT_EQ(tracks.size(), 1U);
  const auto& cues = tracks[0].cues;
  ASSERT_EQ(cues.size(), 3U);
  EXPECT_EQ(cues.front().span.start, seconds(4));
  EXPECT_EQ(cues.back().span.end, seconds(10));
  for (std::size_t i = 0; i < cues.size(); ++i) {
    EXPECT_LE(std::count(cues[i].text.begin(), cues[i].text.end(), '\n'), 1);
    EXPECT_GT(cues[i].span.end - cues[i].span.start, milliseconds(1500));
    if (i > 0) {
      EXPECT_EQ(cues[i].span.start, cues[i - 1].span.end);
    }
  }
}

TEST(WebVtt, IsWrittenAsTheStandardSays) {
  const SubtitleTrack track{Language::kEnglish,
                            {{{milliseconds(1500), seconds(4)}, "Hello\nworld"},
                             {{seconds(4), std::chrono::minutes(61) + milliseconds(7)}, "a < b & c --> d"}}};

  EXPECT_EQ(ToWebVtt(track),
            "WEBVTT\n"
            "\n1\n00:00:01.500 --> 00:00:04.000\nHello\nworld\n"
            "\n2\n00:00:04.000 --> 01:01:00.007\na &lt; b &amp; c --&gt; d\n");
}

TEST(WebVtt, TextCannotEndItsCueOrBeginAnother) {
  const std::string escaped = EscapeWebVtt("\n\nNOTE x\r\n\n00:00:00.000 --> 00:00:09.000\n<b>");

  EXPECT_THAT(escaped, Not(HasSubstr("\n\n")));
  EXPECT_THAT(escaped, Not(HasSubstr("-->")));
  EXPECT_THAT(escaped, Not(HasSubstr("<")));
  EXPECT_THAT(escaped, Not(HasSubstr("\r")));
  EXPECT_NE(escaped.front(), '\n');
}

}  // namespace
}  // namespace mezzo::media
