#include "mezzo/app/cli/flow_run.h"

#include <deque>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/testing/manual_clock.h"

namespace mezzo::app::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::Pair;

const TimePoint kStart{seconds(100)};

FlowRun::Options ShortRun(Duration duration = seconds(1)) {
  FlowRun::Options options;
  options.duration = duration;
  return options;
}

/// Virtual time: `connections` connections to a server that answers each request after `service`, but answers
/// nothing between `stall_from` and `stall_to`. Runs until the flow has finished.
struct FakeServer {
  Duration service = milliseconds(1);
  std::size_t connections = 1;
  Duration stall_from = Duration::max();
  Duration stall_to = Duration::max();

  [[nodiscard]] TimePoint AnswerTime(TimePoint sent) const {
    const Duration done = sent + service - kStart;
    return kStart + (done >= stall_from && done < stall_to ? stall_to : done);
  }

  void Serve(FlowRun& run) const {
    testing::ManualClock clock;
    clock.SetTo(kStart);
    std::deque<std::pair<TimePoint, Ticket>> busy;
    while (!run.Finished(clock.Now())) {
      run.Advance(clock.Now());
      while (!busy.empty() && busy.front().first <= clock.Now()) {
        run.Finish(busy.front().second, {}, clock.Now());
        busy.pop_front();
      }
      while (busy.size() < connections) {
        const auto ticket = run.Take(clock.Now());
        if (!ticket.has_value()) break;
        busy.emplace_back(AnswerTime(clock.Now()), *ticket);
      }
      clock.Advance(std::chrono::microseconds(100));
    }
  }
};

TEST(FlowRun, ChargesAStallToEveryRequestThatShouldHaveBeenSentMeanwhile) {
  // 100 requests/s for 10 s; the server stands still for 2 s: a fifth of all requests have to see it.
  FlowRun run(ShortRun(seconds(10)), UniformArrivals(100));
  run.Begin(kStart);

  FakeServer{.connections = 1, .stall_from = seconds(4), .stall_to = seconds(6)}.Serve(run);

  const FlowTally tally = run.Collect();
  EXPECT_EQ(tally.intended, 1000u);
  EXPECT_EQ(tally.ok, 1000u);
  // Requests intended evenly through the stall wait from 2 s down to 0: the 90th percentile is in its middle.
  EXPECT_NEAR(Seconds(tally.latency.Quantile(0.90)), 1.1, 0.15);
  EXPECT_NEAR(Seconds(tally.latency.Quantile(0.99)), 1.9, 0.15);
  EXPECT_NEAR(Seconds(tally.latency.max()), 2.0, 0.02);
  // What a generator that waits for answers would have reported: one slow request in a thousand.
  EXPECT_LT(tally.service.Quantile(0.99), milliseconds(2));
}

TEST(FlowRun, ClosedLoopKeepsTheConcurrencyAndCountsFromSending) {
  FlowRun::Options options = ShortRun();
  options.concurrency = 4;
  FlowRun run(options, nullptr);
  run.Begin(kStart);

  FakeServer{.service = milliseconds(10), .connections = 100}.Serve(run);

  const FlowTally tally = run.Collect();
  EXPECT_NEAR(static_cast<double>(tally.ok), 400, 8);
  EXPECT_LE(tally.latency.max(), milliseconds(11));
}

TEST(FlowRun, NothingIsTakenBeforeTheStartAndAfterTheEnd) {
  FlowRun::Options options = ShortRun();
  options.concurrency = 1;
  FlowRun run(options, nullptr);
  EXPECT_FALSE(run.Take(kStart).has_value());
  run.Begin(kStart);

  EXPECT_FALSE(run.Take(kStart - milliseconds(1)).has_value());
  EXPECT_FALSE(run.Finished(kStart - milliseconds(1)));
  EXPECT_FALSE(run.Take(kStart + seconds(1)).has_value());
  EXPECT_TRUE(run.Finished(kStart + seconds(1)));
}

TEST(FlowRun, WarmupRequestsAreSentButNotMeasured) {
  FlowRun::Options options = ShortRun(seconds(1));
  options.warmup = seconds(1);
  FlowRun run(options, UniformArrivals(100));
  run.Begin(kStart);

  FakeServer{}.Serve(run);

  const FlowTally tally = run.Collect();
  EXPECT_EQ(tally.intended, 100u);
  EXPECT_EQ(tally.ok, 100u);
  EXPECT_EQ(tally.latency.count(), 100u);
  EXPECT_EQ(tally.answers_in_window, 100u);
}

TEST(FlowRun, DropsWhatExceedsTheOutstandingRequestsAndCountsIt) {
  FlowRun::Options options = ShortRun();
  options.max_outstanding = 10;
  FlowRun run(options, UniformArrivals(100));
  run.Begin(kStart);

  run.Advance(kStart + milliseconds(500));  // 51 arrivals, none answered.
  int taken = 0;
  while (run.Take(kStart + milliseconds(500))) ++taken;

  EXPECT_EQ(taken, 10);
  EXPECT_EQ(run.Collect().intended, 51u);
  EXPECT_EQ(run.Collect().dropped, 41u);
}

TEST(FlowRun, GivesUpOnRequestsThatWaitedForAConnectionLongerThanTheTimeout) {
  FlowRun::Options options = ShortRun();
  options.timeout = milliseconds(100);
  FlowRun run(options, UniformArrivals(10));
  run.Begin(kStart);

  run.Advance(kStart + milliseconds(250));  // At 0, 100 and 200 ms.

  const FlowTally tally = run.Collect();
  EXPECT_EQ(tally.failed, 2u);
  EXPECT_THAT(tally.failures, ElementsAre(Pair("not_sent", 2)));
  EXPECT_TRUE(run.Take(kStart + milliseconds(250)).has_value());
  EXPECT_FALSE(run.Take(kStart + milliseconds(250)).has_value());
}

TEST(FlowRun, SeparatesLateRefusedAndFailed) {
  FlowRun::Options options = ShortRun();
  options.deadline = milliseconds(50);
  FlowRun run(options, UniformArrivals(100));
  run.Begin(kStart);
  run.Advance(kStart + milliseconds(35));  // Four arrivals.
  const auto take = [&run] { return *run.Take(kStart + milliseconds(35)); };

  run.Finish(take(), {}, kStart + milliseconds(40));  // In time.
  run.Finish(take(), {}, kStart + milliseconds(61));  // 51 ms: late.
  run.Finish(take(), {.kind = Completion::Kind::kRefused, .detail = "503 queue_full"},
             kStart + milliseconds(40));
  run.Finish(take(), {.kind = Completion::Kind::kFailed, .detail = "timeout"}, kStart + milliseconds(40));

  const FlowTally tally = run.Collect();
  EXPECT_EQ(tally.ok, 2u);
  EXPECT_EQ(tally.late, 1u);
  EXPECT_EQ(tally.answers_in_window, 2u);
  EXPECT_EQ(tally.good_in_window, 1u);
  EXPECT_THAT(tally.refusals, ElementsAre(Pair("503 queue_full", 1)));
  EXPECT_THAT(tally.failures, ElementsAre(Pair("timeout", 1)));
  EXPECT_EQ(tally.latency.count(), 2u);
  EXPECT_EQ(tally.refusal_latency.count(), 1u);
}

TEST(FlowRun, AnswersAfterTheEndCountAsOkButNotInRates) {
  FlowRun run(ShortRun(milliseconds(100)), UniformArrivals(100));
  run.Begin(kStart);

  FakeServer{.service = milliseconds(1),
             .connections = 1,
             .stall_from = milliseconds(50),
             .stall_to = milliseconds(500)}
      .Serve(run);

  const FlowTally tally = run.Collect();
  EXPECT_EQ(tally.ok, 10u);
  EXPECT_EQ(tally.answers_in_window, 5u);
  EXPECT_EQ(run.window_end(), kStart + milliseconds(100));
}

TEST(FlowRun, CountedRequestsEndTheFlowAndTheWindowWithTheLastAnswer) {
  FlowRun::Options options = ShortRun(std::chrono::hours(1));
  options.max_requests = 5;
  FlowRun run(options, UniformArrivals(10));
  run.Begin(kStart);

  FakeServer{.service = milliseconds(20)}.Serve(run);

  EXPECT_EQ(run.Collect().ok, 5u);
  EXPECT_EQ(run.Collect().answers_in_window, 5u);
  EXPECT_NEAR(Seconds(run.window_end() - kStart), 0.42, 0.001);
}

TEST(FlowRun, ATraceShorterThanTheRunEndsIt) {
  FlowRun run(ShortRun(seconds(10)), TraceArrivals({milliseconds(0), milliseconds(30)}, 1));
  run.Begin(kStart);

  FakeServer{}.Serve(run);

  EXPECT_EQ(run.Collect().ok, 2u);
  EXPECT_NEAR(Seconds(run.window_end() - kStart), 0.031, 0.001);
}

TEST(FlowRun, StopForgetsWhatWasNotSent) {
  FlowRun run(ShortRun(), UniformArrivals(100));
  run.Begin(kStart);
  run.Advance(kStart + milliseconds(45));
  const auto ticket = run.Take(kStart + milliseconds(45));

  run.Stop(kStart + milliseconds(45));
  EXPECT_FALSE(run.Finished(kStart + milliseconds(45)));
  run.Finish(*ticket, {}, kStart + milliseconds(50));

  EXPECT_TRUE(run.Finished(kStart + milliseconds(50)));
  EXPECT_EQ(run.Collect().intended, 1u);
  EXPECT_EQ(run.Collect().ok, 1u);
}

TEST(FlowTally, KindsBeyondTheLimitAreOther) {
  FlowRun run(ShortRun(), UniformArrivals(1000));
  run.Begin(kStart);
  run.Advance(kStart + milliseconds(99));
  for (int i = 0; i < 100; ++i) {
    const std::string detail = std::to_string(i);
    run.Finish(*run.Take(kStart + milliseconds(99)), {.kind = Completion::Kind::kFailed, .detail = detail},
               kStart + milliseconds(99));
  }
  EXPECT_EQ(run.Collect().failures.size(), 65u);
  EXPECT_EQ(run.Collect().failures.at("other"), 36u);
}

}  // namespace
}  // namespace mezzo::app::cli
