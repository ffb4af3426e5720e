#include "mezzo/media/ladder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/testing/manual_clock.h"

namespace mezzo::media {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LadderTest : public ::testing::Test {
 protected:
  /// Holds a pressure for some time, told every second.
  DegradationLevel Hold(double pressure, int for_seconds) {
    for (int i = 0; i < for_seconds; ++i) {
      ladder_.Update(pressure, clock_.Now());
      clock_.Advance(seconds(1));
    }
    return ladder_.Update(pressure, clock_.Now());
  }

  testing::ManualClock clock_;
  DegradationLadder ladder_{{}};
};

TEST_F(LadderTest, ClimbsOneLevelAtATimeAndOnlyAfterAWhile) {
  EXPECT_EQ(Hold(1.0, 9), DegradationLevel::kFull);
  EXPECT_EQ(Hold(1.0, 1), DegradationLevel::kNoSpeech);
  EXPECT_EQ(Hold(1.0, 9), DegradationLevel::kNoSpeech);
  EXPECT_EQ(Hold(1.0, 1), DegradationLevel::kFewerSteps);
  EXPECT_EQ(Hold(1.0, 10), DegradationLevel::kSmaller);
  EXPECT_EQ(Hold(1.0, 100), DegradationLevel::kSmaller);
}

TEST_F(LadderTest, StopsAtTheLevelThatThePressureCallsFor) {
  EXPECT_EQ(Hold(0.75, 300), DegradationLevel::kNoSpeech);
  EXPECT_EQ(Hold(0.90, 300), DegradationLevel::kFewerSteps);
}

TEST_F(LadderTest, ABriefPeakChangesNothing) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Hold(1.0, 8), DegradationLevel::kFull);
    EXPECT_EQ(Hold(0.2, 2), DegradationLevel::kFull);
  }
}

TEST_F(LadderTest, BetweenTheThresholdsItStays) {
  Hold(0.75, 20);

  EXPECT_EQ(Hold(0.6, 1000), DegradationLevel::kNoSpeech);
}

TEST_F(LadderTest, ComesDownAfterALongerWhile) {
  Hold(1.0, 30);

  EXPECT_EQ(Hold(0.1, 59), DegradationLevel::kSmaller);
  EXPECT_EQ(Hold(0.1, 1), DegradationLevel::kFewerSteps);
  EXPECT_EQ(Hold(0.1, 60), DegradationLevel::kNoSpeech);
  EXPECT_EQ(Hold(0.1, 60), DegradationLevel::kFull);
}

Storyboard Rich() {
  Storyboard out;
  out.shots.resize(2);
  out.shots[0].prompt = "a chair";
  out.shots[0].speech = "hello";
  out.shots[1].picture = "p";
  return out;
}

TEST(ApplyDegradation, GivesUpMoreWithEachLevelAndSaysSo) {
  Storyboard full = Rich();
  EXPECT_THAT(ApplyDegradation(DegradationLevel::kFull, full).notes, IsEmpty());
  EXPECT_EQ(full.shots[0].speech, "hello");

  Storyboard silent = Rich();
  const Degradation no_speech = ApplyDegradation(DegradationLevel::kNoSpeech, silent);
  EXPECT_THAT(no_speech.notes, ElementsAre("speech left out: the platform is under pressure"));
  EXPECT_EQ(silent.shots[0].speech, "");
  EXPECT_EQ(no_speech.steps_factor, 1);
  EXPECT_EQ(silent.resolution, Resolution::k1080p);

  Storyboard smaller = Rich();
  const Degradation all = ApplyDegradation(DegradationLevel::kSmaller, smaller);
  EXPECT_EQ(all.notes.size(), 3U);
  EXPECT_EQ(all.steps_factor, 0.5);
  EXPECT_EQ(smaller.resolution, Resolution::k720p);
}

TEST(ApplyDegradation, SaysNothingOfWhatWasNotAskedFor) {
  Storyboard plain;
  plain.resolution = Resolution::k720p;
  plain.shots.resize(1);
  plain.shots[0].picture = "p";

  EXPECT_THAT(ApplyDegradation(DegradationLevel::kSmaller, plain).notes, IsEmpty());
}

TEST(DegradationName, EveryLevelHasOne) {
  EXPECT_EQ(DegradationName(DegradationLevel::kFewerSteps), "fewer_steps");
  EXPECT_EQ(DegradationName(DegradationLevel::kSmaller), "smaller");
}

}  // namespace
}  // namespace mezzo::media
