#include "mezzo/drivers/ffmpeg/ffmpeg_sound_decoder.h"

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/drivers/ffmpeg/testing/ebur128.h"
#include "mezzo/media/loudness.h"
#include "mezzo/media/mixer.h"
#include "mezzo/media/music_library.h"
#include "mezzo/media/testing/sounds.h"

namespace mezzo::drivers {
namespace {

using media::kChannels;
using media::kSampleRate;
using std::chrono::seconds;

std::vector<float> ReadAll(media::SoundSource& source, std::size_t piece_frames = 5000) {
  std::vector<float> out;
  std::vector<float> piece(piece_frames * kChannels);
  while (true) {
    const auto frames = source.Read(piece);
    EXPECT_TRUE(frames.ok()) << frames.error().ToString();
    if (!frames.ok()) return out;
    out.insert(out.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*frames * kChannels));
    if (*frames < piece_frames) return out;
  }
}

std::string Number(std::uint32_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

/// A WAV file of one channel, 16 bits: a sine of 440 Hz, a quarter of full scale, one second.
std::string Wav(int rate) {
  std::string samples;
  for (int i = 0; i < rate; ++i) {
    samples += Number(
        static_cast<std::uint16_t>(std::lround(8192 * std::sin(2 * std::numbers::pi * 440 * i / rate))), 2);
  }
  const auto r = static_cast<std::uint32_t>(rate);
  return "RIFF" + Number(static_cast<std::uint32_t>(36 + samples.size()), 4) + "WAVEfmt " + Number(16, 4) +
         Number(1, 2) + Number(1, 2) + Number(r, 4) + Number(2 * r, 4) + Number(2, 2) + Number(16, 2) +
         "data" + Number(static_cast<std::uint32_t>(samples.size()), 4) + samples;
}

class SoundDecoderTest : public ::testing::Test {
 protected:
  FfmpegSoundDecoder decoder_{{}};
};

TEST_F(SoundDecoderTest, ResamplesToFortyEightKilohertzStereo) {
  for (const int rate : {8000, 22050, 44100, 48000}) {
    auto source = decoder_.Open(SharedBytes::FromString(Wav(rate)));
    ASSERT_TRUE(source.ok()) << source.error().ToString();

    const std::vector<float> sound = ReadAll(**source);

    EXPECT_NEAR(static_cast<double>(sound.size()) / kChannels, kSampleRate, 60) << rate;
    int crossings = 0;
    for (std::size_t i = kChannels; i < sound.size(); i += kChannels) {
      crossings += sound[i - kChannels] < 0 && sound[i] >= 0 ? 1 : 0;
    }
    EXPECT_NEAR(crossings, 440, 2) << rate;
    EXPECT_NEAR(media::testing::LevelBetween(sound, 0.1, 0.9), 20 * std::log10(0.25) - 3.01, 0.1) << rate;
    EXPECT_EQ(sound[1001], sound[1000]) << "both channels";
  }
}

TEST_F(SoundDecoderTest, RewindingGivesTheSameSoundAgain) {
  auto source = decoder_.Open(SharedBytes(nullptr, media::FindMusicTrack("literary")->file));
  ASSERT_TRUE(source.ok());
  const std::vector<float> once = ReadAll(**source);

  ASSERT_TRUE((*source)->Rewind().ok());

  EXPECT_EQ(ReadAll(**source, 777), once);
}

TEST_F(SoundDecoderTest, BuiltInTracksLoopWithoutASeam) {
  for (const media::MusicTrack& track : media::MusicTracks()) {
    auto source = decoder_.Open(SharedBytes(nullptr, track.file));
    ASSERT_TRUE(source.ok()) << track.name;
    const std::vector<float> sound = ReadAll(**source);
    const double length = static_cast<double>(sound.size()) / kChannels / kSampleRate;
    EXPECT_GT(length, 20) << track.name;
    EXPECT_LT(length, 35) << track.name;
    EXPECT_GT(media::testing::LevelBetween(sound, 0, length), -30) << track.name;

    // The step from the last frame to the first is not larger than steps inside.
    double largest = 0;
    for (std::size_t i = kChannels; i < sound.size(); ++i) {
      largest = std::max(largest, static_cast<double>(std::abs(sound[i] - sound[i - kChannels])));
    }
    EXPECT_LT(std::abs(sound[0] - sound[sound.size() - 2]), 0.5 * largest) << track.name;
  }
}

TEST_F(SoundDecoderTest, RefusesWhatIsNotSoundOrTooLarge) {
  const auto garbage =
      decoder_.Open(SharedBytes::FromString("this is not a sound file, whatever it says it is"));
  ASSERT_FALSE(garbage.ok());
  EXPECT_EQ(garbage.error().reason(), "sound_invalid");
  const auto playlist =
      decoder_.Open(SharedBytes::FromString("#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nfile:///etc/passwd\n"));
  ASSERT_FALSE(playlist.ok());
  EXPECT_EQ(playlist.error().reason(), "sound_invalid");

  FfmpegSoundDecoder small({.max_bytes = 100});
  const auto large = small.Open(SharedBytes::FromString(std::string(101, 'x')));
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.error().reason(), "sound_too_large");
  EXPECT_EQ(large.error().message(), "the sound file has 101 bytes; the limit is 100");
}

TEST_F(SoundDecoderTest, DamagedFilesEndOrFailButNeverHang) {
  const std::string good(AsText(media::FindMusicTrack("fresh")->file));
  for (std::size_t i = 1; i < 40; ++i) {
    std::string bad = good.substr(0, good.size() / 40 * i);
    for (std::size_t k = 1000; k < bad.size(); k += 997 + i) bad[k] = static_cast<char>(bad[k] ^ 0x5A);
    auto source = decoder_.Open(SharedBytes::FromString(bad));
    if (!source.ok()) continue;
    std::vector<float> piece(48000 * kChannels);
    for (int seconds_read = 0; seconds_read < 60; ++seconds_read) {
      const auto frames = (*source)->Read(piece);
      if (!frames.ok()) EXPECT_EQ(frames.error().reason(), "sound_invalid");
      if (!frames.ok() || *frames < 48000) break;
      ASSERT_LT(seconds_read, 40) << "longer than the whole file";
    }
  }
}

TEST_F(SoundDecoderTest, OurLoudnessIsFfmpegs) {
  std::vector<std::vector<float>> sounds = {media::testing::Sine(1000, 0.1, seconds(5)),
                                            media::testing::Sine(60, 0.5, seconds(5)),
                                            media::testing::Sine(8000, 0.05, seconds(5))};
  for (const media::MusicTrack& track : media::MusicTracks()) {
    auto source = decoder_.Open(SharedBytes(nullptr, track.file));
    ASSERT_TRUE(source.ok());
    sounds.push_back(ReadAll(**source));
  }
  sounds.push_back(sounds.back());
  sounds.back().resize(sounds.back().size() + 10 * kSampleRate * kChannels, 0.0F);  // Gated out.

  for (const auto& sound : sounds) {
    media::LoudnessMeter meter;
    meter.Add(sound);
    EXPECT_NEAR(meter.Integrated(), testing::FfmpegLoudness(sound), 0.11);
  }
}

TEST_F(SoundDecoderTest, EveryTrackIsMixedToTheTargetByFfmpegsMeterToo) {
  for (const media::MusicTrack& track : media::MusicTracks()) {
    auto source = decoder_.Open(SharedBytes(nullptr, track.file));
    ASSERT_TRUE(source.ok());
    media::Mixer mixer({.length = seconds(15)}, std::move(*source), {});
    ASSERT_TRUE(mixer.Prepare().ok());
    std::vector<float> sound(15 * kSampleRate * kChannels);
    ASSERT_TRUE(mixer.Read(sound).ok());

    EXPECT_NEAR(testing::FfmpegLoudness(sound), -16, 0.2) << track.name;
  }
}

}  // namespace
}  // namespace mezzo::drivers
