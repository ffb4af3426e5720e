#include "mezzo/models/internal/keeper.h"

#include <atomic>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace mezzo::models::internal {
namespace {

using namespace std::chrono_literals;

bool Within(Duration limit, const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

TEST(Keeper, TidiesUpOnceAfterARunOfWorkNotAfterEachPiece) {
  std::atomic<int> done = 0;
  std::atomic<int> tidied = 0;
  std::atomic<int> done_when_tidied = 0;
  Keeper keeper([] { return Duration::zero(); },
                [&] {
                  done_when_tidied = done.load();
                  ++tidied;
                },
                {});
  for (int i = 0; i < 20; ++i) {
    keeper.Post([&done] { ++done; });
    std::this_thread::sleep_for(2ms);
  }
  EXPECT_TRUE(Within(10s, [&tidied] { return tidied > 0; }));
  EXPECT_EQ(done_when_tidied, 20);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(tidied, 1);
}

TEST(Keeper, TidiesUpSometimesWhenWorkNeverPauses) {
  std::atomic<int> tidied = 0;
  Keeper keeper([] { return Duration::zero(); }, [&tidied] { ++tidied; }, {.settled = 1h, .longest = 50ms});
  EXPECT_TRUE(Within(10s, [&] {
    keeper.Post([] {});
    std::this_thread::sleep_for(1ms);
    return tidied > 0;
  }));
}

TEST(Keeper, TicksWhenItAskedToAndWhenWoken) {
  std::atomic<int> ticks = 0;
  Keeper keeper([&ticks] { return ++ticks < 3 ? Duration(5ms) : Duration::zero(); }, nullptr, {});
  EXPECT_EQ(ticks, 0) << "the first tick is asked for";
  keeper.Wake();
  EXPECT_TRUE(Within(10s, [&ticks] { return ticks == 3; }));
  std::this_thread::sleep_for(30ms);
  EXPECT_EQ(ticks, 3);
  keeper.Wake();
  EXPECT_TRUE(Within(10s, [&ticks] { return ticks == 4; }));
}

TEST(Keeper, DoesWhatWasPostedBeforeItEndsAndOnTheCallerAfterwards) {
  std::atomic<int> done = 0;
  Keeper keeper([] { return Duration::zero(); }, nullptr, {});
  for (int i = 0; i < 100; ++i) keeper.Post([&done] { ++done; });
  keeper.Stop();
  EXPECT_EQ(done, 100);
  keeper.Post([&done] { ++done; });
  EXPECT_EQ(done, 101);
}

}  // namespace
}  // namespace mezzo::models::internal
