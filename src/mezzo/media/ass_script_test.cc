#include "mezzo/media/ass_script.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::media {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

Storyboard WithText(const std::string& title, const std::string& subtitle) {
  Storyboard out;
  out.style = "technology";
  out.shots.resize(2);
  for (Shot& shot : out.shots) shot.duration = seconds(5);
  out.shots[1].transition = {TransitionKind::kFade, seconds(1), Direction::kLeft};
  out.shots[1].text = title;
  out.shots[1].subtitles[0] = subtitle;
  out.subtitles.burn[0] = true;
  return out;
}

std::string ScriptOf(const Storyboard& storyboard) {
  const Timeline timeline(storyboard);
  return MakeAssScript(storyboard, timeline, MakeSubtitles(storyboard, timeline));
}

/// How many lines begin with `prefix`.
int CountLines(const std::string& script, const std::string& prefix) {
  int count = script.rfind(prefix, 0) == 0 ? 1 : 0;
  for (std::size_t at = script.find("\n" + prefix); at != std::string::npos;
       at = script.find("\n" + prefix, at + 1))
    ++count;
  return count;
}

TEST(AssScript, IsEmptyWhenThereIsNothingToWrite) {
  Storyboard storyboard = WithText("", "你好");
  storyboard.subtitles.burn[0] = false;

  EXPECT_EQ(ScriptOf(storyboard), "");
}

TEST(AssScript, WritesSubtitlesAtTheirTimes) {
  const std::string script = ScriptOf(WithText("", "你好"));

  EXPECT_THAT(script, HasSubstr("PlayResX: 1920\nPlayResY: 1080\n"));
  EXPECT_THAT(script, HasSubstr("Dialogue: 2,0:00:05.00,0:00:10.00,zh,,0,0,0,,你好\n"));
}

TEST(AssScript, ATitleComesWhenItsTransitionIsOver) {
  const std::string script = ScriptOf(WithText("Title", ""));

  EXPECT_THAT(script, HasSubstr("Dialogue: 1,0:00:06.00,0:00:10.00,title,"));
  EXPECT_THAT(script, HasSubstr("}Title\n"));
}

TEST(AssScript, UserTextCannotInjectOverridesOrEvents) {
  const std::string evil =
      "{\\fs200\\b1}big\\N{\\pos(0,0)}\nDialogue: 0,0:00:00.00,9:00:00.00,zh,,0,0,0,,owned\\h{";
  Storyboard storyboard = WithText("x", "x");
  const int events = CountLines(ScriptOf(storyboard), "Dialogue:");
  storyboard.shots[1].text = evil.substr(0, 30);
  storyboard.shots[1].subtitles[0] = evil;

  const std::string script = ScriptOf(storyboard);

  // More cues may come of a longer text, none of them beginning before the shot.
  EXPECT_THAT(script, Not(HasSubstr("\nDialogue: 0,")));
  EXPECT_GE(CountLines(script, "Dialogue:"), events);
  EXPECT_THAT(script, Not(HasSubstr(",,{\\fs200")));
  EXPECT_THAT(script, Not(HasSubstr(",,{\\pos(0,0)")));
}

TEST(EscapeAss, NothingIsLeftThatHasAMeaning) {
  EXPECT_EQ(EscapeAss("{\\b1}"),
            "\\{\\\xE2\x81\xA0"
            "b1\\}");
  EXPECT_EQ(EscapeAss("a\\N{b"), "a\\\xE2\x81\xA0N\\{b");
  EXPECT_EQ(EscapeAss("one\ntwo\r\x01"), "one\\Ntwo");
  EXPECT_EQ(EscapeAss("中文, plain"), "中文, plain");
}

/// The vertical margin of the first event of a style.
int MarginOf(const std::string& script, const std::string& style) {
  const std::string before = "," + style + ",,0,0,";
  const std::size_t at = script.find(before);
  return at == std::string::npos ? -1 : std::stoi(script.substr(at + before.size()));
}

TEST(AssScript, ChineseStandsRightAboveTheLinesOfEnglishThatThereAre) {
  Storyboard storyboard = WithText("", "你好");
  EXPECT_EQ(MarginOf(ScriptOf(storyboard), "zh"), 0) << "alone: the style's";
  storyboard.subtitles.burn[1] = true;
  const int none = MarginOf(ScriptOf(storyboard), "zh");
  storyboard.shots[1].subtitles[1] = "Hello";
  const int one = MarginOf(ScriptOf(storyboard), "zh");
  storyboard.shots[1].subtitles[1] = "A sentence that is certainly too long to stand on a single line";
  const int two = MarginOf(ScriptOf(storyboard), "zh");

  EXPECT_GT(none, 0);
  EXPECT_GE(one, none + 39) << "a line of English";
  EXPECT_NEAR(two - one, one - none, 1);
}

}  // namespace
}  // namespace mezzo::media
