#include "mezzo/media/loudness.h"

#include <cmath>
#include <limits>
#include <numbers>

#include <gtest/gtest.h>

#include "mezzo/media/testing/sounds.h"

namespace mezzo::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Sine;

double LoudnessOf(const std::vector<float>& sound) {
  LoudnessMeter meter;
  meter.Add(sound);
  return meter.Integrated();
}

TEST(LoudnessMeter, AFullScaleSineOnOneChannelIsMinusThree) {
  // BS.1770-4: a 997 Hz sine at 0 dBFS on the left channel reads -3.01 LKFS.
  std::vector<float> sound = Sine(997, 1.0, seconds(10));
  for (std::size_t i = 1; i < sound.size(); i += kChannels) sound[i] = 0;

  EXPECT_NEAR(LoudnessOf(sound), -3.01, 0.02);
}

TEST(LoudnessMeter, MeetsTheMinimumRequirementsOfEbuTech3341) {
  // Test cases 1 to 4 of table 1: stereo sines of 1 kHz, 0.1 LU of tolerance.
  const auto tone = [](double dbfs, Duration length) { return Sine(1000, DecibelsToGain(dbfs), length); };
  EXPECT_NEAR(LoudnessOf(tone(-23, seconds(20))), -23, 0.1);
  EXPECT_NEAR(LoudnessOf(tone(-33, seconds(20))), -33, 0.1);
  std::vector<float> sound;
  for (const auto& [dbfs, length] : {std::pair(-36, 10), std::pair(-23, 60), std::pair(-36, 10)}) {
    const auto part = tone(dbfs, seconds(length));
    sound.insert(sound.end(), part.begin(), part.end());
  }
  EXPECT_NEAR(LoudnessOf(sound), -23, 0.1) << "the relative gate";
  sound.clear();
  for (const auto& [dbfs, length] :
       {std::pair(-72, 10), std::pair(-36, 10), std::pair(-23, 60), std::pair(-36, 10), std::pair(-72, 10)}) {
    const auto part = tone(dbfs, seconds(length));
    sound.insert(sound.end(), part.begin(), part.end());
  }
  EXPECT_NEAR(LoudnessOf(sound), -23, 0.1) << "the absolute gate";
}

TEST(LoudnessMeter, SilenceAndTooLittleSoundHaveNoLoudness) {
  EXPECT_EQ(LoudnessOf(std::vector<float>(kSampleRate * 4, 0.0F)), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(LoudnessOf(Sine(1000, 0.5, milliseconds(399))), -std::numeric_limits<double>::infinity());
  EXPECT_GT(LoudnessOf(Sine(1000, 0.5, milliseconds(400))), -10);
}

TEST(LoudnessMeter, PiecesOfAnySizeGiveTheSameLoudness) {
  const std::vector<float> sound = Sine(440, 0.3, seconds(3));
  LoudnessMeter pieces;
  const std::span<const float> all(sound);
  for (std::size_t at = 0; at < sound.size(); at += 2 * 1237) {
    pieces.Add(all.subspan(at, std::min<std::size_t>(2 * 1237, sound.size() - at)));
  }

  EXPECT_DOUBLE_EQ(pieces.Integrated(), LoudnessOf(sound));
}

TEST(TruePeakFilter, SeesThePeakBetweenTheSamples) {
  // A sine of a quarter of the rate, 45 degrees off: its samples are 3 dB below its peak.
  TruePeakFilter filter;
  double peak = 0;
  for (int i = 0; i < 4800; ++i) {
    const auto sample = static_cast<float>(0.5 * std::sin(std::numbers::pi / 2 * i + std::numbers::pi / 4));
    const double now = filter.Push(sample);
    if (i > 100) peak = std::max(peak, now);
  }

  EXPECT_NEAR(20 * std::log10(peak / 0.5), 0, 0.3);
}

}  // namespace
}  // namespace mezzo::media
