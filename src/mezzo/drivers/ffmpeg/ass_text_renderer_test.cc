#include "mezzo/drivers/ffmpeg/ass_text_renderer.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "mezzo/media/ass_script.h"

namespace mezzo::drivers {
namespace {

using media::FrameSize;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr FrameSize kFrame = {1280, 720};

media::Storyboard WithSubtitle(const std::string& text) {
  media::Storyboard out;
  out.resolution = media::Resolution::k720p;
  out.style = "fresh";
  out.shots.resize(1);
  out.shots[0].duration = seconds(4);
  out.shots[0].subtitles[0] = text;
  out.subtitles.burn[0] = true;
  return out;
}

std::string ScriptOf(const media::Storyboard& storyboard) {
  const media::Timeline timeline(storyboard);
  return MakeAssScript(storyboard, timeline, MakeSubtitles(storyboard, timeline));
}

/// What of the frame was written on: the smallest rectangle, and the number of pixels that are mostly
/// covered.
struct Ink {
  int left = INT_MAX;
  int top = INT_MAX;
  int right = 0;
  int bottom = 0;
  int pixels = 0;
};

Ink InkAt(media::TextRenderer& renderer, Duration time) {
  Ink ink;
  for (const media::AlphaMask& mask : renderer.Render(time)) {
    for (int y = 0; y < mask.alpha.height; ++y) {
      for (int x = 0; x < mask.alpha.width; ++x) {
        if (mask.alpha.row(y)[x] * mask.opacity < 128 * 255) continue;
        ink.left = std::min(ink.left, mask.x + x);
        ink.right = std::max(ink.right, mask.x + x);
        ink.top = std::min(ink.top, mask.y + y);
        ink.bottom = std::max(ink.bottom, mask.y + y);
        ++ink.pixels;
      }
    }
  }
  return ink;
}

class TextRendererTest : public ::testing::Test {
 protected:
  std::unique_ptr<media::TextRenderer> Open(const media::Storyboard& storyboard) {
    auto opened = factory_.Open(ScriptOf(storyboard), kFrame);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    return opened.ok() ? std::move(*opened) : nullptr;
  }
  Ink InkOf(const std::string& subtitle) { return InkAt(*Open(WithSubtitle(subtitle)), seconds(2)); }

  AssTextRendererFactory factory_;
};

TEST_F(TextRendererTest, SubtitlesStandAtTheBottomInTheMiddle) {
  for (const std::string text : {"你好，世界", "Hello world"}) {
    const Ink ink = InkOf(text);
    EXPECT_GT(ink.pixels, 1500) << text;
    EXPECT_NEAR((ink.left + ink.right) / 2.0, 640, 8) << text;
    EXPECT_GT(ink.top, 620) << text;
    EXPECT_LT(ink.bottom, 700) << text;
  }
}

TEST_F(TextRendererTest, TextIsThereDuringItsTimeOnly) {
  media::Storyboard storyboard = WithSubtitle("");
  storyboard.shots.push_back(WithSubtitle("Hello").shots[0]);
  const auto renderer = Open(storyboard);

  EXPECT_EQ(InkAt(*renderer, milliseconds(3990)).pixels, 0);
  EXPECT_GT(InkAt(*renderer, milliseconds(4000)).pixels, 500);
  EXPECT_GT(InkAt(*renderer, milliseconds(7990)).pixels, 500);
  EXPECT_EQ(InkAt(*renderer, milliseconds(8000)).pixels, 0);
}

TEST_F(TextRendererTest, TheSameTimeGivesTheSameMasksAgain) {
  const auto renderer = Open(WithSubtitle("Hello"));

  const Ink once = InkAt(*renderer, seconds(1));
  const Ink again = InkAt(*renderer, seconds(1));
  const Ink later = InkAt(*renderer, seconds(2));

  EXPECT_GT(once.pixels, 500);
  EXPECT_EQ(once.pixels, again.pixels);
  EXPECT_EQ(once.pixels, later.pixels);
}

TEST_F(TextRendererTest, OverridesInUserTextAreShownNotObeyed) {
  const Ink plain = InkOf("(bfs90) big");

  const Ink evil = InkOf("{\\fs90} big");

  EXPECT_NEAR(evil.bottom - evil.top, plain.bottom - plain.top, 6) << "the size did not change";
  EXPECT_GT(evil.right - evil.left, (plain.right - plain.left) * 3 / 4) << "the braces can be seen";
  EXPECT_GT(InkOf("a\\Nb").top, 620) << "no second line";
}

TEST_F(TextRendererTest, TitlesComeSlidingAndFade) {
  media::Storyboard storyboard = WithSubtitle("");
  storyboard.shots[0].text = "新品上市";
  const auto renderer = Open(storyboard);

  const Ink early = InkAt(*renderer, milliseconds(60));
  const Ink settled = InkAt(*renderer, seconds(2));

  EXPECT_LT(early.pixels, settled.pixels / 4) << "still transparent";
  EXPECT_GT(settled.pixels, 4000);
  EXPECT_GT(settled.left, 60);
  EXPECT_LT(settled.left, 130);
}

TEST_F(TextRendererTest, EveryStyleHasItsTitlesInsideTheFrame) {
  for (const char* style : {"technology", "literary", "fresh", "festive", "minimal"}) {
    for (const media::TextPlace place :
         {media::TextPlace::kCenter, media::TextPlace::kLower, media::TextPlace::kTop}) {
      media::Storyboard storyboard = WithSubtitle("字幕 subtitle");
      storyboard.style = style;
      storyboard.shots[0].text = "全新一代轻薄笔记本电脑为每一天的灵感而生 Light and strong";
      storyboard.shots[0].text_place = place;
      const Ink ink = InkAt(*Open(storyboard), seconds(2));
      EXPECT_GT(ink.pixels, 8000) << style;
      EXPECT_GE(ink.left, 20) << style;
      EXPECT_LE(ink.right, 1260) << style;
      EXPECT_GE(ink.top, 20) << style;
      EXPECT_LE(ink.bottom, 700) << style;
    }
  }
}

TEST_F(TextRendererTest, ACharacterThatNoFontHasIsRefusedByItsNumber) {
  const auto opened = factory_.Open(ScriptOf(WithSubtitle("ancient \U00012000")), kFrame);

  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().reason(), "text_unsupported");
  EXPECT_EQ(opened.error().message(), "no font on this host has the character U+12000");
}

TEST_F(TextRendererTest, AScriptThatIsNoneIsRefused) {
  const auto opened = factory_.Open("", kFrame);

  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().reason(), "text_failed");
}

}  // namespace
}  // namespace mezzo::drivers
