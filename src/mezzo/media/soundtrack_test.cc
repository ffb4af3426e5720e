#include "mezzo/media/soundtrack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/media/music_library.h"
#include "mezzo/media/testing/sounds.h"

namespace mezzo::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FakeDecoder final : public SoundDecoder {
 public:
  Result<std::unique_ptr<SoundSource>> Open(SharedBytes file) override {
    opened.emplace_back(file.text());
    return std::unique_ptr<SoundSource>(
        std::make_unique<testing::SoundOf>(testing::Sine(500, 0.1, seconds(2))));
  }
  std::vector<std::string> opened;
};

/// Speaks one second for each character.
class FakeSpeech final : public SpeechSynthesizer {
 public:
  Result<Speech> Speak(const std::string& text, Language, Duration room, TimePoint) override {
    if (text == "?") return Internal("speech_failed", "cannot");
    rooms.push_back(room);
    return Speech{std::vector<float>(text.size() * kSampleRate, 0.1F)};
  }
  std::vector<Duration> rooms;
};

class SoundtrackTest : public ::testing::Test {
 protected:
  SoundtrackTest() {
    storyboard_.style = "fresh";
    storyboard_.shots.resize(2);
    storyboard_.shots[0].duration = seconds(3);
    storyboard_.shots[1].duration = seconds(4);
  }

  Result<Soundtrack> Make() {
    return MakeSoundtrack(storyboard_,
                          {decoder_, speech_,
                           [](const std::string& reference) -> Result<SharedBytes> {
                             return SharedBytes::FromString("upload of " + reference);
                           }},
                          kNever);
  }

  Storyboard storyboard_;
  FakeDecoder decoder_;
  FakeSpeech speech_;
};

TEST_F(SoundtrackTest, WithoutMusicAndSpeechThereIsNone) {
  const auto made = Make();

  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->mixer, nullptr);
}

TEST_F(SoundtrackTest, OpensTheBuiltInTrackOrTheUpload) {
  storyboard_.music = MusicSpec{.track = "fresh"};
  ASSERT_TRUE(Make().ok());
  storyboard_.music = MusicSpec{.upload = "song"};
  ASSERT_TRUE(Make().ok());

  EXPECT_THAT(decoder_.opened,
              ElementsAre(std::string(AsText(FindMusicTrack("fresh")->file)), "upload of song"));
}

TEST_F(SoundtrackTest, SpeechHasTheRoomOfItsShotAndIsCutWithANote) {
  storyboard_.shots[0].speech = "ab";
  storyboard_.shots[1].speech = "abcdef";

  const auto made = Make();

  ASSERT_TRUE(made.ok());
  EXPECT_THAT(speech_.rooms, ElementsAre(milliseconds(2800), milliseconds(3800)));
  EXPECT_THAT(made->notes, ElementsAre("the speech of shots[1] takes 6.0 s and was cut after 3.8 s"));
}

TEST_F(SoundtrackTest, AFailureOfTheSpeakerIsHandedOn) {
  storyboard_.shots[0].speech = "?";

  const auto made = Make();

  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().reason(), "speech_failed");
}

TEST(MusicLibrary, HoldsFourOpusFilesThatAreSmall) {
  EXPECT_EQ(MusicTracks().size(), 4U);
  for (const MusicTrack& track : MusicTracks()) {
    EXPECT_EQ(AsText(track.file).substr(0, 4), "OggS") << track.name;
    EXPECT_LE(track.file.size(), 300'000U) << track.name;
    EXPECT_GT(track.file.size(), 100'000U) << track.name;
  }
}

}  // namespace
}  // namespace mezzo::media
