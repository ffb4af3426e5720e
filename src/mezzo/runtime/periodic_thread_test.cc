#include "mezzo/runtime/periodic_thread.h"

#include <atomic>
#include <functional>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/testing/manual_clock.h"

namespace mezzo::runtime {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Counts rounds, each of which lasts until the test finishes it.
class Rounds {
 public:
  PeriodicThread::Pause operator()() {
    const MutexLock lock(mu_);
    ++begun_;
    changed_.NotifyAll();
    const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!pause_ && changed_.WaitUntil(mu_, limit)) {
    }
    return std::exchange(pause_, std::nullopt).value_or(PeriodicThread::Pause{});
  }
  /// Waits until the round `n` (from 1) has begun.
  void AwaitBegun(int n) {
    const MutexLock lock(mu_);
    const auto limit = std::chrono::steady_clock::now() + seconds(30);
    while (begun_ < n && changed_.WaitUntil(mu_, limit)) {
    }
    ASSERT_GE(begun_, n);
  }
  void Finish(PeriodicThread::Pause pause) {
    const MutexLock lock(mu_);
    pause_ = pause;
    changed_.NotifyAll();
  }
  int begun() {
    const MutexLock lock(mu_);
    return begun_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int begun_ GUARDED_BY(mu_) = 0;
  std::optional<PeriodicThread::Pause> pause_ GUARDED_BY(mu_);
};

/// A clock that tells when it was looked at.
class WatchedClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override {
    ++looks_;
    return clock_.Now();
  }
  [[nodiscard]] WallTime WallNow() const override { return clock_.WallNow(); }
  void Advance(Duration duration) { clock_.Advance(duration); }
  /// Waits until the thread has looked at it between rounds, and found that it must go on waiting.
  [[nodiscard]] bool AwaitWaiting() const {
    const int enough = looks_ + 4;
    const auto limit = std::chrono::steady_clock::now() + seconds(30);
    while (looks_ < enough && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
    return looks_ >= enough;
  }

 private:
  testing::ManualClock clock_;
  mutable std::atomic<int> looks_{0};  // Alone.
};

PeriodicThread::Options Looking(Duration first = {}) {
  return {.name = "test", .first = first, .longest_sleep = milliseconds(1)};
}

TEST(PeriodicThread, WaitsBeforeTheFirstRoundAndAsEachRoundSays) {
  WatchedClock clock;
  Rounds rounds;
  PeriodicThread thread(Looking(seconds(5)), clock, std::ref(rounds));
  thread.Start();
  ASSERT_TRUE(clock.AwaitWaiting());
  clock.Advance(seconds(5) - milliseconds(1));
  ASSERT_TRUE(clock.AwaitWaiting());
  EXPECT_EQ(rounds.begun(), 0);
  clock.Advance(milliseconds(1));
  rounds.AwaitBegun(1);
  clock.Advance(hours(1));  // The pause begins when the round ends.
  rounds.Finish({.longest = seconds(10)});
  ASSERT_TRUE(clock.AwaitWaiting());
  EXPECT_EQ(rounds.begun(), 1);
  clock.Advance(seconds(10));
  rounds.AwaitBegun(2);
  rounds.Finish({});
  rounds.AwaitBegun(3);  // Without a pause.
  rounds.Finish({.longest = hours(1)});
  thread.Stop();
  EXPECT_EQ(rounds.begun(), 3);
}

TEST(PeriodicThread, AWakeEndsThePauseAtItsLeastOnly) {
  WatchedClock clock;
  Rounds rounds;
  PeriodicThread thread(Looking(hours(1)), clock, std::ref(rounds));
  thread.Start();
  ASSERT_TRUE(clock.AwaitWaiting());
  EXPECT_EQ(rounds.begun(), 0);
  thread.Wake();
  rounds.AwaitBegun(1);
  rounds.Finish({.longest = hours(1), .least = seconds(2)});
  ASSERT_TRUE(clock.AwaitWaiting());
  thread.Wake();
  thread.Wake();  // Two are one.
  clock.Advance(seconds(2) - milliseconds(1));
  ASSERT_TRUE(clock.AwaitWaiting());
  EXPECT_EQ(rounds.begun(), 1);
  clock.Advance(milliseconds(1));
  rounds.AwaitBegun(2);
  rounds.Finish({.longest = hours(1)});
  ASSERT_TRUE(clock.AwaitWaiting());
  EXPECT_EQ(rounds.begun(), 2) << "the wakes were for the round before";
}

TEST(PeriodicThread, AWakeDuringARoundCallsForAnother) {
  WatchedClock clock;
  Rounds rounds;
  PeriodicThread thread(Looking(), clock, std::ref(rounds));
  thread.Start();
  rounds.AwaitBegun(1);
  thread.Wake();
  rounds.Finish({.longest = hours(1)});
  rounds.AwaitBegun(2);
  rounds.Finish({.longest = hours(1)});
  ASSERT_TRUE(clock.AwaitWaiting());
  EXPECT_EQ(rounds.begun(), 2);
}

TEST(PeriodicThread, TheLeastPauseIsNoLongerThanTheLongest) {
  WatchedClock clock;
  Rounds rounds;
  PeriodicThread thread(Looking(), clock, std::ref(rounds));
  thread.Start();
  rounds.AwaitBegun(1);
  thread.Wake();
  rounds.Finish({.longest = Duration::zero(), .least = hours(1)});
  rounds.AwaitBegun(2);
  rounds.Finish({.longest = hours(1)});
}

TEST(PeriodicThread, StopEndsAPauseAtOnceAndWaitsForTheRound) {
  const RealClock clock;
  Rounds rounds;
  PeriodicThread thread({.name = "test"}, clock, std::ref(rounds));
  EXPECT_FALSE(thread.stopping());
  thread.Start();
  rounds.AwaitBegun(1);
  std::atomic<bool> stopped{false};  // Alone.
  std::thread stopper([&] {
    thread.Stop();
    stopped = true;
  });
  while (!thread.stopping()) std::this_thread::yield();
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_FALSE(stopped) << "the round still runs";
  rounds.Finish({.longest = Duration::zero()});
  stopper.join();
  thread.Stop();  // Again.
  EXPECT_EQ(rounds.begun(), 1);

  Rounds pausing;
  PeriodicThread sleeper({.name = "test", .first = hours(24)}, clock, std::ref(pausing));
  sleeper.Start();
  sleeper.Stop();  // Or the test never ends.
  EXPECT_EQ(pausing.begun(), 0);
}

TEST(PeriodicThread, RunsNothingWithoutStartNorAfterStop) {
  const RealClock clock;
  std::atomic<int> ran{0};  // Alone.
  const auto round = [&] {
    ++ran;
    return PeriodicThread::Pause{};
  };
  {
    PeriodicThread never({.name = "test"}, clock, round);
    never.Wake();
    std::this_thread::sleep_for(milliseconds(30));
  }
  EXPECT_EQ(ran, 0);
  PeriodicThread ended({.name = "test"}, clock, round);
  ended.Stop();
  ended.Start();
  ended.Stop();
  EXPECT_EQ(ran, 0);

  PeriodicThread busy({.name = "test"}, clock, round);
  busy.Start();
  while (ran < 100) std::this_thread::yield();
  busy.Stop();
  const int then = ran;
  std::this_thread::sleep_for(milliseconds(30));
  EXPECT_EQ(ran, then);
}

TEST(PeriodicThread, StandsWakesAndStopsFromManyThreads) {
  const RealClock clock;
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    std::atomic<int> running{0}, ran{0};  // Alone.
    std::atomic<bool> overlapped{false};  // Likewise.
    PeriodicThread thread({.name = "test"}, clock, [&] {
      if (running.fetch_add(1) != 0) overlapped = true;
      ++ran;
      running.fetch_sub(1);
      return PeriodicThread::Pause{.longest = hours(1)};
    });
    thread.Start();
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (std::uint32_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        std::minstd_rand random(seed * 100 + i);
        const int wakes = static_cast<int>(random() % 50);
        for (int n = 0; n < wakes; ++n) thread.Wake();
        thread.Stop();
        EXPECT_EQ(running, 0);
      });
    }
    for (std::thread& each : threads) each.join();
    EXPECT_FALSE(overlapped);
    EXPECT_LE(ran, 4 * 50 + 1);
  }
}

}  // namespace
}  // namespace mezzo::runtime
