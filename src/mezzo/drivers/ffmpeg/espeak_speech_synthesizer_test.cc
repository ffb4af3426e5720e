#include "mezzo/drivers/ffmpeg/espeak_speech_synthesizer.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "mezzo/drivers/ffmpeg/ffmpeg_sound_decoder.h"

namespace mezzo::drivers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SpeechTest : public ::testing::Test {
 protected:
  TimePoint In(Duration time) { return clock_.Now() + time; }

  RealClock clock_;
  FfmpegSoundDecoder decoder_{{}};
  EspeakSpeechSynthesizer speech_{{}, decoder_, clock_};
};

double Level(const media::Speech& speech) {
  double sum = 0;
  for (const float sample : speech.samples) sum += static_cast<double>(sample) * sample;
  return 10 * std::log10(sum / static_cast<double>(speech.samples.size()) + 1e-20);
}

TEST_F(SpeechTest, SpeaksChineseAndEnglish) {
  for (const auto& [text, language] :
       {std::pair("全新一代产品，为灵感而生。", media::Language::kChinese),
        std::pair("Light as a feather, solid as a mountain.", media::Language::kEnglish)}) {
    const auto speech = speech_.Speak(text, language, seconds(10), In(seconds(30)));
    ASSERT_TRUE(speech.ok()) << speech.error().ToString();
    EXPECT_GT(speech->duration(), milliseconds(1200)) << text;
    EXPECT_LT(speech->duration(), seconds(8)) << text;
    EXPECT_GT(Level(*speech), -35) << text;
  }
}

TEST_F(SpeechTest, SpeaksFasterWhenThereIsLittleRoom) {
  const std::string text = "Light as a feather, solid as a mountain, made for everyday inspiration.";
  const auto slow = speech_.Speak(text, media::Language::kEnglish, seconds(30), In(seconds(30)));
  ASSERT_TRUE(slow.ok());

  const Duration room = slow->duration() * 3 / 4;
  const auto fast = speech_.Speak(text, media::Language::kEnglish, room, In(seconds(30)));

  ASSERT_TRUE(fast.ok());
  EXPECT_LE(fast->duration(), room);
}

TEST_F(SpeechTest, TextIsNotTakenForOptionsOrMarkup) {
  const auto speech =
      speech_.Speak("--version <speak>", media::Language::kEnglish, seconds(10), In(seconds(30)));

  ASSERT_TRUE(speech.ok()) << speech.error().ToString();
  EXPECT_GT(speech->duration(), milliseconds(500));
}

TEST_F(SpeechTest, AMissingProgramIsAnErrorThatNamesIt) {
  EspeakSpeechSynthesizer missing({.program = "no-such-speaker"}, decoder_, clock_);

  const auto speech = missing.Speak("x", media::Language::kEnglish, seconds(1), In(seconds(5)));

  ASSERT_FALSE(speech.ok());
  EXPECT_EQ(speech.error().reason(), "child_failed");
  EXPECT_EQ(speech.error().message(), "no-such-speaker: can't start: No such file or directory");
}

TEST_F(SpeechTest, OutputThatIsNoSoundIsAnError) {
  EspeakSpeechSynthesizer echo({.program = "echo"}, decoder_, clock_);

  const auto speech = echo.Speak("x", media::Language::kEnglish, seconds(1), In(seconds(5)));

  ASSERT_FALSE(speech.ok());
  EXPECT_EQ(speech.error().reason(), "speech_failed");
}

}  // namespace
}  // namespace mezzo::drivers
