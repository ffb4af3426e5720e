#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/runtime/callback.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/scope.h"
#include "mezzo/runtime/task.h"

namespace mezzo::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Task<Result<int>> Answer(int n) {
  if (n < 0) co_return InvalidArgument("negative", "n is negative");
  co_return n;
}

Task<Result<int>> Sum(int a, int b) {
  MEZZO_CO_TRY(const int x, co_await Answer(a));
  MEZZO_CO_TRY(const int y, co_await Answer(b));
  co_return x + y;
}

TEST(Task, ReturnsValuesAndErrorsThroughAwaits) {
  EXPECT_EQ(SyncWait(Sum(2, 3)).value(), 5);
  EXPECT_EQ(SyncWait(Sum(2, -3)).error().reason(), "negative");
}

Task<Result<int>> Countdown(int n) {
  if (n == 0) co_return 0;
  co_return co_await Countdown(n - 1);
}

TEST(Task, DeepChainsUnwindBySymmetricTransfer) { EXPECT_EQ(SyncWait(Countdown(20'000)).value(), 0); }

TEST(Task, AnUnstartedTaskIsFreed) {
  const auto task = Answer(1);  // AddressSanitizer's leak check is the assertion.
  SUCCEED();
}

TEST(Callback, HoldsSmallAndLargeMoveOnlyFunctions) {
  int calls = 0;
  auto small = std::make_unique<int>(1);
  Callback a = [&calls, small = std::move(small)] { calls += *small; };
  std::array<int, 64> big{};
  big[63] = 10;
  Callback b = [&calls, big] { calls += big[63]; };

  Callback c = std::move(a);
  c();
  b();

  EXPECT_EQ(calls, 11);
  EXPECT_FALSE(static_cast<bool>(a));  // NOLINT(bugprone-use-after-move): that it is empty is the point.
}

TEST(Loop, PostRunsOnTheLoopsThreadInOrder) {
  IoThreads threads(1);
  std::promise<std::vector<int>> done;
  std::vector<int> order;
  Loop& loop = threads.loop(0);

  for (int i = 0; i < 3; ++i) {
    loop.Post([&order, &loop, i] { order.push_back(Loop::Current() == &loop ? i : -1); });
  }
  loop.Post([&] { done.set_value(order); });

  EXPECT_THAT(done.get_future().get(), ::testing::ElementsAre(0, 1, 2));
}

TEST(Loop, TurnEndComesAfterHandlersThatAreReady) {
  Loop loop;
  std::vector<int> order;
  loop.Post([&] {
    order.push_back(1);
    loop.AtTurnEnd([&] {
      order.push_back(3);
      loop.Stop();
    });
  });
  loop.Post([&] { order.push_back(2); });

  loop.Run();

  EXPECT_THAT(order, ::testing::ElementsAre(1, 2, 3));
}

Task<Result<Duration>> TimedSleep(Context ctx, Duration how_long) {
  const auto start = steady_clock::now();
  MEZZO_CO_TRY_VOID(co_await SleepUntil(ctx, start + how_long));
  co_return Duration(steady_clock::now() - start);
}

template <typename T>
T RunOn(Loop& loop, Task<T> task) {
  std::promise<T> done;
  auto shared = std::make_shared<Task<T>>(std::move(task));
  loop.Post([&done, shared] {
    Start(std::move(*shared), [&done](T result) { done.set_value(std::move(result)); });
  });
  return done.get_future().get();
}

TEST(SleepUntil, WaitsIsCancelledAndHonoursTheDeadline) {
  IoThreads threads(1);
  const Context ctx;

  EXPECT_GE(RunOn(threads.loop(0), TimedSleep(ctx, milliseconds(5))).value(), milliseconds(5));

  const auto late = ctx.WithDeadline(steady_clock::now() + milliseconds(2));
  EXPECT_EQ(RunOn(threads.loop(0), TimedSleep(late, std::chrono::hours(1))).error().code(),
            Code::kDeadlineExceeded);

  std::thread canceller([&ctx] { ctx.Cancel(); });
  EXPECT_EQ(RunOn(threads.loop(0), TimedSleep(ctx, std::chrono::hours(1))).error().code(), Code::kCancelled);
  canceller.join();
}

TEST(CancelRegistration, RunsOnceAndNotAfterItsEnd) {
  const Context ctx;
  int calls = 0;
  {
    const CancelRegistration gone(ctx.cancel_state(), [&] { ++calls; });
  }
  const CancelRegistration kept(ctx.cancel_state(), [&] { ++calls; });

  ctx.Cancel();
  ctx.Cancel();
  const CancelRegistration late(ctx.cancel_state(), [&] { calls += 10; });

  EXPECT_EQ(calls, 11);
}

TEST(CancelRegistration, EndAndCancelFromTwoThreadsNeverTouchADeadCallback) {
  for (int round = 0; round < 500; ++round) {
    const Context ctx;
    auto counter = std::make_unique<std::atomic<int>>(0);
    auto registration =
        std::make_unique<CancelRegistration>(ctx.cancel_state(), [p = counter.get()] { ++*p; });
    std::thread canceller([&ctx] { ctx.Cancel(); });
    registration.reset();
    counter.reset();  // Sanitizers see a callback that runs after this.
    canceller.join();
  }
}

TEST(BlockingPool, OffloadReturnsToTheLoopItCameFrom) {
  IoThreads threads(2);
  BlockingPool pool({.name = "test", .threads = 1});
  struct Run {
    static Task<Result<bool>> Go(BlockingPool& pool, Loop& home) {
      auto work = [] { return Result<bool>(Loop::Current() == nullptr); };
      MEZZO_CO_TRY(const bool elsewhere, co_await Offload(pool, std::move(work)));
      co_return elsewhere&& Loop::Current() == &home;
    }
  };

  EXPECT_TRUE(RunOn(threads.loop(1), Run::Go(pool, threads.loop(1))).value());
}

TEST(BlockingPool, RefusesWhenTheQueueIsFull) {
  BlockingPool pool({.name = "test", .threads = 1, .max_queued = 1});
  std::promise<void> release;
  std::promise<void> started;
  auto gate = release.get_future().share();
  ASSERT_TRUE(pool.TrySubmit([gate, &started] {
    started.set_value();
    gate.wait();
  }));
  started.get_future().wait();
  ASSERT_TRUE(pool.TrySubmit([] {}));

  EXPECT_FALSE(pool.TrySubmit([] {}));

  EXPECT_EQ(pool.refused(), 1u);
  release.set_value();
}

TEST(Scope, StopCancelsAndWaits) {
  IoThreads threads(1);
  Scope scope;
  std::atomic<int> ended{0};
  struct Run {
    static Task<Result<void>> Go(Context ctx, std::atomic<int>* ended) {
      const auto slept = co_await SleepUntil(ctx, steady_clock::now() + std::chrono::hours(1));
      if (!slept.ok() && slept.error().code() == Code::kCancelled) ++*ended;
      co_return Result<void>();
    }
  };
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        scope.Spawn(threads.loop(0), Context(), [&ended](Context ctx) { return Run::Go(ctx, &ended); }));
  }

  EXPECT_TRUE(scope.Stop(std::chrono::seconds(10)));

  EXPECT_EQ(ended, 3);
  EXPECT_FALSE(
      scope.Spawn(threads.loop(0), Context(), [&ended](Context ctx) { return Run::Go(ctx, &ended); }));
}

}  // namespace
}  // namespace mezzo::runtime
