#include "mezzo/media/mixer.h"

#include <cmath>
#include <numbers>

#include <gtest/gtest.h>

#include "mezzo/media/loudness.h"
#include "mezzo/media/testing/sounds.h"

namespace mezzo::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::LevelBetween;
using testing::Sine;
using testing::SoundOf;

std::vector<float> ReadAll(Mixer& mixer, std::size_t piece_frames) {
  std::vector<float> out;
  std::vector<float> piece(piece_frames * kChannels);
  while (true) {
    const auto frames = mixer.Read(piece);
    EXPECT_TRUE(frames.ok());
    if (!frames.ok()) return out;
    out.insert(out.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*frames * kChannels));
    if (*frames < piece_frames) return out;
  }
}

double LoudnessOf(const std::vector<float>& sound) {
  LoudnessMeter meter;
  meter.Add(sound);
  return meter.Integrated();
}

double TruePeakOf(const std::vector<float>& sound) {
  TruePeakFilter filters[kChannels];
  double peak = 0;
  for (std::size_t i = 0; i < sound.size(); ++i) peak = std::max(peak, filters[i % kChannels].Push(sound[i]));
  return 20 * std::log10(peak);
}

/// Speech-like: bursts of a tone of 300 Hz.
Speech Voice(Duration duration) {
  Speech out;
  out.samples.resize(SoundFrames(duration));
  for (std::size_t i = 0; i < out.samples.size(); ++i) {
    const double t = static_cast<double>(i) / kSampleRate;
    out.samples[i] = static_cast<float>(0.2 * std::sin(2 * std::numbers::pi * 300 * t) *
                                        (0.5 + 0.5 * std::sin(2 * std::numbers::pi * 4 * t)));
  }
  return out;
}

std::unique_ptr<SoundSource> Tone(double hertz, double amplitude, Duration duration) {
  return std::make_unique<SoundOf>(Sine(hertz, amplitude, duration));
}

TEST(Mixer, MusicIsRepeatedToTheLengthAndBroughtToTheTarget) {
  Mixer mixer({.length = seconds(20)}, Tone(500, 0.02, milliseconds(700)), {});
  ASSERT_TRUE(mixer.Prepare().ok());

  const std::vector<float> sound = ReadAll(mixer, 1000);

  EXPECT_EQ(sound.size(), 20U * kSampleRate * kChannels);
  EXPECT_NEAR(LoudnessOf(sound), -16, 0.1);
  EXPECT_NEAR(mixer.loudness(), -16, 0.1);
}

TEST(Mixer, FadesInAndOut) {
  Mixer mixer({.length = seconds(10), .fade_in = seconds(1), .fade_out = seconds(2)},
              Tone(500, 0.1, seconds(30)), {});
  ASSERT_TRUE(mixer.Prepare().ok());

  const std::vector<float> sound = ReadAll(mixer, 4096);

  const double full = LevelBetween(sound, 4, 5);
  EXPECT_LT(LevelBetween(sound, 0, 0.05), full - 25);
  EXPECT_NEAR(LevelBetween(sound, 0.45, 0.55), full - 6, 0.5) << "half way up";
  EXPECT_NEAR(LevelBetween(sound, 8.95, 9.05), full - 6, 0.5) << "half way down";
  EXPECT_LT(LevelBetween(sound, 9.95, 10), full - 25);
}

/// The part of a frequency in a piece of sound, in decibels: how music is told from speech.
double LevelOf(const std::vector<float>& sound, double hertz, double from, double to) {
  double re = 0;
  double im = 0;
  const auto first = static_cast<std::size_t>(from * kSampleRate);
  const auto last = static_cast<std::size_t>(to * kSampleRate);
  for (std::size_t i = first; i < last; ++i) {
    const double angle = 2 * std::numbers::pi * hertz * static_cast<double>(i) / kSampleRate;
    re += sound[i * kChannels] * std::cos(angle);
    im += sound[i * kChannels] * std::sin(angle);
  }
  return 20 * std::log10(std::hypot(re, im) / static_cast<double>(last - first) + 1e-12);
}

TEST(Mixer, MusicGoesDownUnderSpeechAndComesBack) {
  std::vector<SpeechPart> speech;
  speech.push_back({seconds(4), Voice(seconds(3))});
  Mixer mixer({.length = seconds(12), .duck_decibels = -14}, Tone(1000, 0.1, seconds(30)), std::move(speech));
  ASSERT_TRUE(mixer.Prepare().ok());

  const std::vector<float> sound = ReadAll(mixer, 4096);

  const double before = LevelOf(sound, 1000, 2, 3.5);
  EXPECT_NEAR(LevelOf(sound, 1000, 4.5, 6.5), before - 14, 0.5);
  EXPECT_NEAR(LevelOf(sound, 1000, 7.7, 9), before, 0.5);
  EXPECT_GT(LevelOf(sound, 300, 4.5, 6.5), LevelOf(sound, 1000, 4.5, 6.5) + 6) << "the speech stands out";
  EXPECT_NEAR(LoudnessOf(sound), -16, 0.1);
}

TEST(Mixer, StaysDownBetweenSpeechesThatFollowSoon) {
  std::vector<SpeechPart> speech;
  speech.push_back({seconds(2), Voice(seconds(2))});
  speech.push_back({milliseconds(4400), Voice(seconds(2))});
  Mixer mixer({.length = seconds(10)}, Tone(1000, 0.1, seconds(30)), std::move(speech));
  ASSERT_TRUE(mixer.Prepare().ok());

  const std::vector<float> sound = ReadAll(mixer, 4096);

  EXPECT_NEAR(LevelOf(sound, 1000, 4.05, 4.35), LevelOf(sound, 1000, 3, 3.9), 0.5);
}

TEST(Mixer, SpeechAloneReachesTheTargetToo) {
  std::vector<SpeechPart> speech;
  speech.push_back({seconds(1), Voice(seconds(8))});
  Mixer mixer({.length = seconds(10)}, nullptr, std::move(speech));
  ASSERT_TRUE(mixer.Prepare().ok());

  const std::vector<float> sound = ReadAll(mixer, 4096);

  EXPECT_NEAR(LoudnessOf(sound), -16, 0.1);
  EXPECT_LT(LevelBetween(sound, 0, 0.9), -90);
}

TEST(Mixer, SpeechBeyondTheEndIsCutSoftly) {
  std::vector<SpeechPart> speech;
  speech.push_back({seconds(4), Voice(seconds(8))});
  Mixer mixer({.length = seconds(5)}, nullptr, std::move(speech));
  ASSERT_TRUE(mixer.Prepare().ok());

  const std::vector<float> sound = ReadAll(mixer, 4096);

  EXPECT_EQ(sound.size(), 5U * kSampleRate * kChannels);
  EXPECT_LT(std::abs(sound.back()), 0.01);
}

TEST(Mixer, TruePeaksStayBelowTheCeilingAlsoWhenTheGainIsHigh) {
  // Clicks over a quiet tone: the loudness asks for a gain that the clicks do not allow.
  std::vector<float> sound = Sine(200, 0.01, seconds(5));
  for (std::size_t i = 0; i < sound.size(); i += 24000) {
    for (std::size_t k = 0; k < 40 && i + k < sound.size(); ++k) sound[i + k] = k % 4 < 2 ? 0.9F : -0.9F;
  }
  Mixer mixer({.length = seconds(5), .fade_in = milliseconds(0), .fade_out = milliseconds(0)},
              std::make_unique<SoundOf>(sound), {});
  ASSERT_TRUE(mixer.Prepare().ok());

  const std::vector<float> out = ReadAll(mixer, 4096);

  EXPECT_LE(TruePeakOf(out), -1.4);
  EXPECT_NEAR(LoudnessOf(out), -16, 0.5);
}

TEST(Mixer, PiecesOfAnySizeGiveTheSameSound) {
  const auto mix = [](std::size_t piece) {
    std::vector<SpeechPart> speech;
    speech.push_back({seconds(1), Voice(seconds(1))});
    Mixer mixer({.length = milliseconds(3333)}, Tone(700, 0.3, milliseconds(900)), std::move(speech));
    EXPECT_TRUE(mixer.Prepare().ok());
    return ReadAll(mixer, piece);
  };

  const std::vector<float> reference = mix(4096);

  EXPECT_EQ(mix(999), reference);
  EXPECT_EQ(mix(7), reference);
}

TEST(Mixer, TheLimiterDoesNotShiftTheSound) {
  std::vector<float> click(kSampleRate * kChannels, 0.0F);
  click[24000 * kChannels] = click[24000 * kChannels + 1] = 0.5F;
  Mixer mixer({.length = seconds(1), .fade_in = milliseconds(0), .fade_out = milliseconds(0)},
              std::make_unique<SoundOf>(click), {});
  ASSERT_TRUE(mixer.Prepare().ok());

  const std::vector<float> out = ReadAll(mixer, 4096);

  const auto loudest = std::max_element(out.begin(), out.end());
  EXPECT_EQ((loudest - out.begin()) / 2, 24000);
}

TEST(Mixer, EmptyMusicIsAnErrorNotAnEndlessLoop) {
  Mixer mixer({.length = seconds(1)}, std::make_unique<SoundOf>(std::vector<float>{}), {});

  const auto prepared = mixer.Prepare();

  ASSERT_FALSE(prepared.ok());
  EXPECT_EQ(prepared.error().reason(), "sound_invalid");
}

TEST(Mixer, SilenceStaysSilent) {
  Mixer mixer({.length = seconds(1)}, std::make_unique<SoundOf>(std::vector<float>(48000, 0.0F)), {});
  ASSERT_TRUE(mixer.Prepare().ok());

  for (const float sample : ReadAll(mixer, 4096)) ASSERT_EQ(sample, 0.0F);
  EXPECT_TRUE(std::isinf(mixer.loudness()));
}

}  // namespace
}  // namespace mezzo::media
