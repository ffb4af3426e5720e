#include "mezzo/models/internal/eviction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::models::internal {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

EvictionCandidate Candidate(std::size_t id, ByteCount bytes, double uses, bool young = false) {
  return {.id = id, .bytes = bytes, .uses = uses, .load_time = seconds(1), .young = young};
}

TEST(ChooseVictims, TakesTheLeastUsedFirst) {
  EXPECT_THAT(ChooseVictims({Candidate(0, 10, 5), Candidate(1, 10, 1), Candidate(2, 10, 9)}, 10),
              ElementsAre(1));
}

TEST(ChooseVictims, WeighsReloadCostAndSize) {
  auto slow = Candidate(0, 10, 1);
  slow.load_time = seconds(60);
  EXPECT_THAT(ChooseVictims({slow, Candidate(1, 10, 1)}, 10), ElementsAre(1));
  EXPECT_THAT(ChooseVictims({Candidate(0, 10, 1), Candidate(1, 1000, 1)}, 10), ElementsAre(1));
}

TEST(ChooseVictims, TakesNoneThatTheOthersMakeUnnecessary) {
  // By value 0 goes first, but 1 is needed for its size and then suffices alone.
  EXPECT_THAT(ChooseVictims({Candidate(0, 10, 0.001), Candidate(1, 100, 2)}, 50), ElementsAre(1));
}

TEST(ChooseVictims, TakesYoungOnesOnlyWhenItMust) {
  const std::vector<EvictionCandidate> both = {Candidate(0, 10, 0, true), Candidate(1, 10, 50)};
  EXPECT_THAT(ChooseVictims(both, 10), ElementsAre(1));
  EXPECT_THAT(ChooseVictims(both, 20), UnorderedElementsAre(0, 1));
}

TEST(ChooseVictims, TakesNobodyWhenAllWouldNotDo) {
  EXPECT_THAT(ChooseVictims({Candidate(0, 10, 0), Candidate(1, 10, 0)}, 21), IsEmpty());
}

TEST(DecayingCount, HalvesInAHalfLife) {
  DecayingCount count;
  const TimePoint start(seconds(100));
  count.Add(8, start, seconds(10));
  count.Add(0, start + seconds(20), seconds(10));
  EXPECT_NEAR(count.count(), 2, 1e-9);
}

}  // namespace
}  // namespace mezzo::models::internal
