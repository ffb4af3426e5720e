#include "mezzo/drivers/ffmpeg/espeak_speech_synthesizer.h"

#include <sys/stat.h>

#include <cmath>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "mezzo/drivers/ffmpeg/ffmpeg_sound_decoder.h"
#include "mezzo/drivers/ffmpeg/internal/child_process.h"

namespace mezzo::drivers {
namespace {

using internal::ChildProcess;
using internal::RunChild;
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

TEST(ChildProcess, GetsItsInputAndGivesItsOutput) {
  const RealClock clock;
  const std::string text(300'000, 'x');

  const auto out = RunChild({.command = {"cat"}, .input = text}, clock.Now() + seconds(10), clock);

  ASSERT_TRUE(out.ok()) << out.error().ToString();
  EXPECT_EQ(*out, text);
}

TEST(ChildProcess, IsKilledAtTheDeadline) {
  const RealClock clock;
  const TimePoint start = clock.Now();

  const auto out = RunChild({.command = {"sleep", "30"}}, start + milliseconds(100), clock);

  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().reason(), "deadline");
  EXPECT_LT(clock.Now() - start, seconds(5));
}

TEST(ChildProcess, TooMuchOutputEndsIt) {
  const RealClock clock;

  const auto out = RunChild({.command = {"yes"}, .max_output = 10'000}, clock.Now() + seconds(10), clock);

  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().message(), "yes: it wrote more than 10000 bytes");
}

TEST(ChildProcess, ItsStatusIsToldAndItsEnvironmentIsEmpty) {
  const RealClock clock;
  const auto failed = RunChild({.command = {"sh", "-c", "exit 3"}}, clock.Now() + seconds(10), clock);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().message(), "sh: it ended with status 3");

  const auto environment = RunChild({.command = {"env"}}, clock.Now() + seconds(10), clock);
  ASSERT_TRUE(environment.ok());
  EXPECT_EQ(*environment, "PATH=/usr/local/bin:/usr/bin:/bin\n");
}

TEST(ChildProcess, CannotWriteFiles) {
  const RealClock clock;
  const std::string path = ::testing::TempDir() + "/mezzo_child_wrote_this";

  const auto out = RunChild({.command = {"sh", "-c", "sleep 0.05; echo hello >" + path}},
                            clock.Now() + seconds(10), clock);

  EXPECT_FALSE(out.ok());
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    EXPECT_EQ(status.st_size, 0);
    ::unlink(path.c_str());
  }
}

}  // namespace
}  // namespace mezzo::drivers
