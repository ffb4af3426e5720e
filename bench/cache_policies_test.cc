// The reference policies on traces small enough to follow by hand.

#include "cache_policies.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "cache_traces.h"
#include <gtest/gtest.h>

namespace mezzo::bench {
namespace {

/// 'h' for a hit and '.' for a miss, of each request.
template <typename Policy>
std::string Asked(Policy policy, const std::vector<Key>& trace) {
  std::string answers;
  for (const Key key : trace) answers += policy.Ask(key) ? 'h' : '.';
  return answers;
}

TEST(CachePolicies, LruDropsWhatWasAskedForLongestAgo) {
  // 3 takes the place of 2, since 1 was asked for again; then 2 that of 1.
  EXPECT_EQ(Asked(Lru(2), {1, 2, 1, 3, 1, 2, 3, 1}), "..h.h...");
}

TEST(CachePolicies, S3FifoKeepsWhatIsReadAndPassesTheRestThroughTheSmallQueue) {
  // Ten places, one small. 1 goes to small, 2 to 10 to main (nothing evicted yet). 11 evicts 1 into the
  // ghosts (8 remain of use). 1 comes back from the ghosts: 11, the only small one, makes room; main has ten
  // now, one too many. 12 so evicts from main: 2. 3 stays; 2 is gone and no ghost, because main's victims
  // leave none.
  EXPECT_EQ(Asked(S3Fifo(10), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 12, 3, 2}),
            "............."
            "h.");
}

TEST(CachePolicies, S3FifoGivesSecondChancesInTheMainQueue) {
  // As above, but 2 has been read: 12 evicts 3 instead.
  EXPECT_EQ(Asked(S3Fifo(10), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 2, 11, 1, 12, 2, 3}), "..........h...h.");
}

TEST(CachePolicies, S3FifoLiftsOnlyWhatWasReadTwiceOutOfTheSmallQueue) {
  // 1 is read twice in the small queue and 11 evicts: 1 goes to main, and nothing has left yet; small is
  // empty then, so main gives its oldest, 2.
  EXPECT_EQ(Asked(S3Fifo(10), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 1, 11, 1, 2}), "..........hh.h.");
  // Read once it is evicted.
  EXPECT_EQ(Asked(S3Fifo(10), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 11, 2, 1}), "..........h.h.");
}

TEST(CachePolicies, SegmentedLruLiftsWhatIsHitAndLetsTheUpperSegmentSinkOneByOne) {
  SegmentedLru lru(3, 1);
  lru.Insert(1);  // Lower.
  lru.Insert(2);  // The lower one is full: upper.
  lru.Insert(3);  // Upper.
  EXPECT_TRUE(lru.full());
  EXPECT_EQ(lru.victim(), 1U);
  EXPECT_TRUE(lru.Touch(1));  // 1 rises, 2 sinks.
  EXPECT_EQ(lru.victim(), 2U);
  lru.EvictVictim();
  EXPECT_FALSE(lru.Touch(2));
  EXPECT_EQ(lru.victim(), 3U) << "with nothing in the lower segment the upper one's oldest";
}

TEST(CachePolicies, WTinyLfuLetsInOnlyWhatWasAskedForMoreOften) {
  // Three places: a window of one, a main part of two (one lower, one upper). 1 and 2 go to main when 4 needs
  // room: 3 is compared with 1, once each, and goes. Then 4 leaves the window for 1 in the same way.
  for (const auto logic : {WTinyLfu::Logic::kPaper, WTinyLfu::Logic::kLibCacheSim}) {
    EXPECT_EQ(Asked(WTinyLfu(3, logic), {1, 2, 3, 4, 1, 2}), "....hh");
  }
  // By the paper 3, asked for three times in the window, is worth more than 1.
  EXPECT_EQ(Asked(WTinyLfu(3, WTinyLfu::Logic::kPaper), {1, 2, 3, 3, 3, 4, 3, 1}), "...hh.h.");
  // libCacheSim does not count hits in the window, but that 1 was counted again when it left it.
  EXPECT_EQ(Asked(WTinyLfu(3, WTinyLfu::Logic::kLibCacheSim), {1, 2, 3, 3, 3, 4, 3, 1}), "...hh..h");
}

TEST(CachePolicies, WTinyLfuForgetsByHalves) {
  // 1, asked for six times, is the main part's oldest. Requests 30, 60 and 90 halve its count to 3, 1 and 0;
  // only then a key that is asked for once is worth more.
  const auto found_after = [](Key others) {
    std::vector<Key> trace(6, 1);
    trace.insert(trace.end(), 5, 2);
    for (Key i = 0; i < others; ++i) trace.push_back(100 + i);
    trace.push_back(1);
    return Asked(WTinyLfu(3, WTinyLfu::Logic::kPaper), trace).back();
  };
  EXPECT_EQ(found_after(40), 'h');
  EXPECT_EQ(found_after(70), 'h');
  EXPECT_EQ(found_after(90), '.');
}

TEST(CacheTraces, AreWhatTheirNamesSay) {
  EXPECT_EQ(Loop(3, 7), (std::vector<Key>{0, 1, 2, 0, 1, 2, 0}));

  std::vector<std::size_t> counts(1000);
  for (const Key key : Zipf(1.0, 1000, 100'000, 1)) ++counts[key];
  std::sort(counts.begin(), counts.end(), std::greater<>());
  EXPECT_NEAR(static_cast<double>(counts[0]) / 100'000, 1 / 7.485,
              0.01);  // The 1,000th harmonic number is 7.485.
  EXPECT_NEAR(static_cast<double>(counts[0]) / static_cast<double>(counts[9]), 10, 2);
  EXPECT_EQ(Zipf(1.0, 1000, 100, 1), Zipf(1.0, 1000, 100, 1));
  EXPECT_NE(Zipf(1.0, 1000, 100, 1), Zipf(1.0, 1000, 100, 2));
}

}  // namespace
}  // namespace mezzo::bench
