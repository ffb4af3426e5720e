#include "mezzo/media/storyboard.h"

#include <string>

#include <gtest/gtest.h>

#include "mezzo/media/style_preset.h"

namespace mezzo::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string WithShots(const std::string& shots, const std::string& rest = "") {
  return R"({"style": "technology", "shots": [)" + shots + "]" + rest + "}";
}

/// Three shots of five seconds, the middle one as given.
std::string WithMiddleShot(const std::string& members) {
  const std::string plain = R"({"picture": "a", "duration": 5})";
  return WithShots(plain + R"(, {"picture": "b", "duration": 5)" + members + "}, " + plain);
}

std::string ErrorOf(const std::string& json) {
  const auto parsed = ParseStoryboard(json);
  if (parsed.ok()) return "it was taken";
  EXPECT_EQ(parsed.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(parsed.error().reason(), "storyboard_invalid");
  return parsed.error().message();
}

TEST(Storyboard, ReadsEverythingThatItsAuthorSaid) {
  const auto parsed = ParseStoryboard(R"({
    "resolution": "720p", "aspect": "portrait", "format": "webm_vp9", "fps": 25, "style": "festive",
    "shots": [
      {"prompt": "a red lantern", "duration": 7.5, "motion": {"kind": "pan_up", "amount": 0.2},
       "text": "新年快乐", "text_place": "center", "subtitle": {"zh": "你好", "en": "Hello"}, "speech": "你好"},
      {"picture": "upload:1", "duration": 7.5, "motion": "still", "fit": "contain",
       "transition": {"kind": "wipe", "duration": 1, "direction": "up"}}],
    "subtitles": {"burn": ["en"], "tracks": false},
    "music": {"upload": "song", "fade_in": 1, "fade_out": 3},
    "speech": {"language": "en"},
    "logo": {"picture": "logo", "corner": "bottom_left", "height": 0.1, "opacity": 0.5}})");

  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_EQ(parsed->resolution, Resolution::k720p);
  EXPECT_EQ(parsed->aspect, Aspect::kPortrait);
  EXPECT_EQ(parsed->format, VideoFormat::kWebmVp9);
  EXPECT_EQ(parsed->fps, 25);
  ASSERT_EQ(parsed->shots.size(), 2U);
  EXPECT_EQ(parsed->shots[0].prompt, "a red lantern");
  EXPECT_EQ(parsed->shots[0].motion, (Motion{MotionKind::kPanUp, 0.2}));
  EXPECT_EQ(parsed->shots[0].text_place, TextPlace::kCenter);
  EXPECT_EQ(parsed->shots[0].subtitles[1], "Hello");
  EXPECT_EQ(parsed->shots[0].speech, "你好");
  EXPECT_EQ(parsed->shots[1].fit, PictureFit::kContain);
  EXPECT_EQ(parsed->shots[1].transition, (Transition{TransitionKind::kWipe, seconds(1), Direction::kUp}));
  EXPECT_FALSE(parsed->subtitles.burn[0]);
  EXPECT_TRUE(parsed->subtitles.burn[1]);
  EXPECT_FALSE(parsed->subtitles.tracks);
  EXPECT_EQ(parsed->music->upload, "song");
  EXPECT_EQ(parsed->music->fade_out, seconds(3));
  EXPECT_EQ(parsed->speech_language, Language::kEnglish);
  EXPECT_EQ(parsed->logo->corner, Corner::kBottomLeft);
  EXPECT_EQ(parsed->TotalDuration(), seconds(15));
}

TEST(Storyboard, TakesFromTheStyleWhatIsLeftOut) {
  const auto parsed = ParseStoryboard(WithMiddleShot(R"(, "subtitle": {"en": "Hi"})"));

  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  const StylePreset& style = *FindStylePreset("technology");
  EXPECT_EQ(parsed->shots[0].motion, style.motions[0]);
  EXPECT_EQ(parsed->shots[1].motion, style.motions[1]);
  EXPECT_EQ(parsed->shots[0].transition.kind, TransitionKind::kCut);
  EXPECT_EQ(parsed->shots[1].transition, style.transitions[0]);
  EXPECT_EQ(parsed->music->track, style.music);
  EXPECT_TRUE(parsed->subtitles.burn[1]) << "the only language there is";
  EXPECT_FALSE(parsed->subtitles.burn[0]);
}

TEST(Storyboard, ShortensAStylesTransitionToHalfOfAShortShot) {
  const auto parsed =
      ParseStoryboard(WithShots(R"({"picture": "a", "duration": 14.4}, {"picture": "b", "duration": 0.6})"));

  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_EQ(parsed->shots[1].transition.duration, milliseconds(300));
}

TEST(Storyboard, EveryPresetMakesAValidStoryboard) {
  for (const StylePreset& style : StylePresets()) {
    const auto parsed =
        ParseStoryboard(R"({"style": ")" + std::string(style.name) +
                        R"(", "shots": [{"prompt": "p", "duration": 8}, {"prompt": "p", "duration": 8}]})");
    EXPECT_TRUE(parsed.ok()) << style.name << ": " << parsed.error().ToString();
    EXPECT_NE(StyledPrompt(style, "a chair"), "a chair");
  }
}

TEST(Storyboard, NamesPlaceValueAndLimitOfWhatIsWrong) {
  EXPECT_EQ(ErrorOf(WithMiddleShot(R"(, "fit": "stretch")")),
            "shots[1].fit is \"stretch\"; it must be one of cover, contain");
  EXPECT_EQ(ErrorOf(WithMiddleShot(R"(, "motion": {"kind": "zoom_in", "amount": 0.9})")),
            "shots[1].motion.amount is 0.9; it must be 0 to 0.5");
  EXPECT_EQ(
      ErrorOf(WithMiddleShot(R"(, "transition": {"kind": "fade", "duration": 3})")),
      "shots[1].transition.duration is 3; it must be 0.2 to 2 seconds (at most half of each of its shots)");
  EXPECT_EQ(ErrorOf(WithMiddleShot(R"(, "transition": {"kind": "cut", "duration": 1})")),
            "shots[1].transition.duration is 1; a cut takes no time");
  EXPECT_EQ(ErrorOf(WithMiddleShot(R"(, "text": 7)")), "shots[1].text is a number; it must be a string");
  EXPECT_EQ(ErrorOf(WithMiddleShot(R"(, "subtitel": {})")),
            "shots[1].subtitel is not a known name; did you mean \"subtitle\"?");
  EXPECT_EQ(ErrorOf(WithMiddleShot(R"(, "text": ")" + std::string(81, 'x') + "\"")),
            "shots[1].text has 81 characters; the limit is 80");
  EXPECT_EQ(ErrorOf(WithShots(R"({"duration": 15})")),
            "shots[0] has neither a prompt nor a picture; it needs one of them");
  EXPECT_EQ(ErrorOf(WithShots(R"({"prompt": "p", "duration": 15, "transition": "fade"})")),
            "shots[0].transition is \"fade\"; the first shot has nothing to take over from and must begin "
            "with \"cut\"");
  EXPECT_EQ(ErrorOf(WithShots(R"({"prompt": "p", "duration": 0.4})")),
            "shots[0].duration is 0.4; a shot lasts 0.5 to 60 seconds");
  EXPECT_EQ(ErrorOf(WithShots(R"({"prompt": "p", "duration": 10})")),
            "the shots last 10 seconds together; a video lasts 15 to 60");
  EXPECT_EQ(ErrorOf(WithShots("")), "shots is empty; a video has at least one");
  const std::string fifteen = R"({"prompt": "p", "duration": 15})";
  EXPECT_EQ(ErrorOf(WithShots(fifteen, R"(, "fps": 60)")), "fps is 60; it must be 24, 25 or 30");
  EXPECT_EQ(ErrorOf(WithShots(fifteen, R"(, "music": {"track": "polka"})")),
            "music.track is \"polka\"; the built-in tracks are technology, literary, fresh, festive");
  EXPECT_EQ(ErrorOf(WithShots(fifteen, R"(, "music": {})")),
            "music names both or none of \"track\" and \"upload\"; it needs one of them");
  EXPECT_EQ(ErrorOf(WithShots(fifteen, R"(, "music": "loud")")),
            "music is \"loud\"; it must be \"auto\", \"none\" or an object");
  EXPECT_EQ(ErrorOf(WithShots(fifteen, R"(, "logo": {"picture": "l", "height": 0.6})")),
            "logo.height is 0.6; it must be 0.02 to 0.5 of the frame's height");
  EXPECT_EQ(ErrorOf(WithShots(fifteen, R"(, "subtitles": {"burn": ["fr"]})")),
            "subtitles.burn[0] is \"fr\"; it must be one of zh, en");
  EXPECT_EQ(ErrorOf(R"({"style": "baroque", "shots": []})"),
            "style is \"baroque\"; it must be one of technology, literary, fresh, festive, minimal");
  EXPECT_EQ(ErrorOf("[]"), "the storyboard is an array; it must be an object");
}

TEST(Storyboard, CountsCharactersNotBytes) {
  std::string text;
  for (int i = 0; i < 80; ++i) text += "字";

  EXPECT_TRUE(ParseStoryboard(WithMiddleShot(R"(, "text": ")" + text + "\"")).ok());
  EXPECT_EQ(ErrorOf(WithMiddleShot(R"(, "text": ")" + text + "字\"")),
            "shots[1].text has 81 characters; the limit is 80");
}

TEST(Storyboard, TakesSixtyShotsAndNotOneMore) {
  std::string shots = R"({"prompt": "p", "duration": 1})";
  for (int i = 1; i < 60; ++i) shots += R"(, {"prompt": "p", "duration": 1})";

  EXPECT_TRUE(ParseStoryboard(WithShots(shots)).ok());
  EXPECT_EQ(ErrorOf(WithShots(shots + R"(, {"prompt": "p", "duration": 1})")),
            "shots has 61 items; the limit is 60");
}

TEST(Storyboard, RefusesWhatIsNotJsonOrTooLong) {
  EXPECT_NE(ErrorOf("{\"shots\": [").find("the storyboard is not JSON"), std::string::npos);
  EXPECT_NE(ErrorOf("{\"style\": \"\xFF\"}").find("the storyboard is not JSON"), std::string::npos);
  EXPECT_EQ(ErrorOf(std::string((256 << 10) + 1, ' ')),
            "the storyboard has 262145 bytes; the limit is 262144");
}

TEST(Storyboard, HugeNumbersAreOutOfRangeNotOverflow) {
  EXPECT_NE(ErrorOf(WithShots(R"({"prompt": "p", "duration": 1e300})")).find("a shot lasts 0.5 to 60"),
            std::string::npos);
  EXPECT_NE(
      ErrorOf(WithShots(R"({"prompt": "p", "duration": 15})", R"(, "fps": 1e300)")).find("a whole number"),
      std::string::npos);
}

TEST(Storyboard, SizesFollowResolutionAndAspect) {
  EXPECT_EQ(SizeOf(Resolution::k1080p, Aspect::kLandscape), (FrameSize{1920, 1080}));
  EXPECT_EQ(SizeOf(Resolution::k720p, Aspect::kPortrait), (FrameSize{720, 1280}));
  EXPECT_EQ(SizeOf(Resolution::k1080p, Aspect::kSquare), (FrameSize{1080, 1080}));
}

}  // namespace
}  // namespace mezzo::media
