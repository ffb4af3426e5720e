#include "mezzo/observe/span_sink.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/observe/exposition.h"
#include "mezzo/observe/internal/otlp_json.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::observe {
namespace {

using internal::SpanBuffer;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

std::unique_ptr<Span> NewSpan(std::string_view name = "op") {
  TraceContext context{.trace_id = NewTraceId(), .span_id = NewSpanId(), .sampled = true, .trace_state = {}};
  return std::make_unique<Span>(name, SpanKind::kServer, std::move(context), SpanId{}, WallTime{});
}

class SpanBufferTest : public ::testing::Test {
 protected:
  TimePoint At(Duration after) const { return TimePoint(seconds(1)) + after; }
  bool Add(Duration after) { return buffer_.Add(NewSpan(), At(after)); }

  SpanBuffer buffer_{{.max_queued = 5,
                      .max_batch = 3,
                      .max_delay = seconds(2),
                      .max_attempts = 3,
                      .first_pause = milliseconds(100),
                      .longest_pause = milliseconds(150)}};
};

TEST_F(SpanBufferTest, HoldsAPartialBatchUntilItsDelay) {
  ASSERT_TRUE(Add(seconds(0)));

  EXPECT_EQ(buffer_.NextDue(false), At(seconds(2)));
  EXPECT_FALSE(buffer_.Begin(At(milliseconds(1999)), false));
  EXPECT_TRUE(buffer_.Begin(At(seconds(2)), false));
  EXPECT_EQ(buffer_.batch().size(), 1U);
}

TEST_F(SpanBufferTest, SendsAFullBatchAtOnceAndKeepsTheRest) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Add(seconds(0)));

  ASSERT_TRUE(buffer_.Begin(At(seconds(0)), false));

  EXPECT_EQ(buffer_.batch().size(), 3U);
  EXPECT_FALSE(buffer_.Begin(At(seconds(9)), false)) << "one batch at a time";
  EXPECT_EQ(buffer_.Finish(true, false, At(seconds(0))), 0U);
  EXPECT_EQ(buffer_.size(), 1U);
}

TEST_F(SpanBufferTest, FlushMakesAPartialBatchDue) {
  ASSERT_TRUE(Add(seconds(0)));

  EXPECT_TRUE(buffer_.Begin(At(seconds(0)), true));
}

TEST_F(SpanBufferTest, RefusesSpansBeyondItsBoundCountingTheBatchThatIsOut) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Add(seconds(0)));
  ASSERT_TRUE(buffer_.Begin(At(seconds(0)), false));

  EXPECT_FALSE(Add(seconds(0)));
  static_cast<void>(buffer_.Finish(true, false, At(seconds(0))));
  EXPECT_TRUE(Add(seconds(0)));
}

TEST_F(SpanBufferTest, RetriesAfterGrowingPausesThenDrops) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Add(seconds(0)));

  ASSERT_TRUE(buffer_.Begin(At(seconds(0)), false));
  EXPECT_EQ(buffer_.Finish(false, true, At(seconds(0))), 0U);
  EXPECT_FALSE(buffer_.Begin(At(milliseconds(99)), true)) << "a flush does not cut a pause";
  ASSERT_TRUE(buffer_.Begin(At(milliseconds(100)), false));
  EXPECT_EQ(buffer_.Finish(false, true, At(milliseconds(100))), 0U);
  EXPECT_EQ(buffer_.NextDue(false), At(milliseconds(250))) << "twice 100 ms, but at most 150 ms";
  ASSERT_TRUE(buffer_.Begin(At(milliseconds(250)), false));
  EXPECT_EQ(buffer_.Finish(false, true, At(milliseconds(250))), 3U);

  EXPECT_EQ(buffer_.size(), 0U);
  EXPECT_EQ(buffer_.NextDue(true), kNever);
}

TEST_F(SpanBufferTest, DropsAtOnceWhatNoRetryCanHelp) {
  ASSERT_TRUE(Add(seconds(0)));
  ASSERT_TRUE(buffer_.Begin(At(seconds(2)), false));

  EXPECT_EQ(buffer_.Finish(false, false, At(seconds(2))), 1U);
}

TEST_F(SpanBufferTest, ANewBatchStartsWithAllItsAttempts) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Add(seconds(0)));
  ASSERT_TRUE(buffer_.Begin(At(seconds(0)), false));
  static_cast<void>(buffer_.Finish(false, true, At(seconds(0))));
  ASSERT_TRUE(buffer_.Begin(At(seconds(1)), false));
  static_cast<void>(buffer_.Finish(true, false, At(seconds(1))));
  ASSERT_TRUE(Add(seconds(1)));

  ASSERT_TRUE(buffer_.Begin(At(seconds(3)), false));
  EXPECT_EQ(buffer_.Finish(false, true, At(seconds(3))), 0U);
  ASSERT_TRUE(buffer_.Begin(At(seconds(4)), false));
  EXPECT_EQ(buffer_.Finish(false, true, At(seconds(4))), 0U);
}

TEST(EncodeOtlp, WritesTheRequestOfTheProtocol) {
  Span span(
      "infer", SpanKind::kServer,
      {.trace_id = ParseTraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")->trace_id,
       .span_id = {{1, 2, 3, 4, 5, 6, 7, 8}},
       .sampled = true,
       .trace_state = "a=1"},
      SpanId{{0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31}},
      WallTime(Duration(1'700'000'000'000'000'001)));
  span.Set("model", "a\"\n\xFF");
  span.Set("rows", 4);
  span.Set("score", 0.5);
  span.Set("hit", true);
  span.AddStage("queue", WallTime(Duration(1)), WallTime(Duration(2)));
  span.Fail("no luck");
  span.End(WallTime(Duration(1'700'000'000'000'000'009)));
  std::vector<std::unique_ptr<const Span>> spans;
  spans.push_back(std::make_unique<const Span>(std::move(span)));

  EXPECT_EQ(
      internal::EncodeOtlp(spans, "mezzo", "0.1.0"),
      R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"mezzo"}},)"
      R"({"key":"service.version","value":{"stringValue":"0.1.0"}}]},)"
      R"("scopeSpans":[{"scope":{"name":"mezzo","version":"0.1.0"},"spans":[)"
      R"({"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"0102030405060708","parentSpanId":"b7ad6b7169203331",)"
      R"("name":"infer","kind":2,"startTimeUnixNano":"1700000000000000001","endTimeUnixNano":"1700000000000000009",)"
      R"("traceState":"a=1","attributes":[{"key":"model","value":{"stringValue":"a\"\n?"}},)"
      R"({"key":"rows","value":{"intValue":"4"}},{"key":"score","value":{"doubleValue":0.5}},)"
      R"({"key":"hit","value":{"boolValue":true}}],"status":{"code":2,"message":"no luck"}},)"
      R"({"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"0102030405060709","parentSpanId":"0102030405060708",)"
      R"("name":"queue","kind":1,"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]})");
}

TEST(EncodeOtlp, WritesNumbersThatJsonLacksAsStrings) {
  auto span = NewSpan();
  span->Set("a", std::numeric_limits<double>::infinity());
  span->Set("b", std::numeric_limits<double>::quiet_NaN());
  std::vector<std::unique_ptr<const Span>> spans;
  spans.push_back(std::move(span));

  const std::string json = internal::EncodeOtlp(spans, "mezzo", "1");

  EXPECT_THAT(json, HasSubstr(R"({"doubleValue":"Infinity"})"));
  EXPECT_THAT(json, HasSubstr(R"({"doubleValue":"NaN"})"));
  EXPECT_THAT(json, HasSubstr(R"("status":{"code":1})"));
}

/// Answers with the scripted errors, then with success; tells a waiting test of each call.
class FakeExporter final : public SpanExporter {
 public:
  Result<void> Export(std::string otlp_json, Duration timeout) override {
    const MutexLock lock(mu_);
    bodies_.push_back(std::move(otlp_json));
    timeouts_.push_back(timeout);
    changed_.NotifyAll();
    while (blocked_) changed_.Wait(mu_);
    if (bodies_.size() <= errors_.size()) return errors_[bodies_.size() - 1];
    return {};
  }
  void FailWith(std::vector<Error> errors) {
    const MutexLock lock(mu_);
    errors_ = std::move(errors);
  }
  void Block(bool blocked) {
    const MutexLock lock(mu_);
    blocked_ = blocked;
    changed_.NotifyAll();
  }
  void WaitForCalls(std::size_t calls) {
    const MutexLock lock(mu_);
    while (bodies_.size() < calls) changed_.Wait(mu_);
  }
  std::vector<std::string> bodies() {
    const MutexLock lock(mu_);
    return bodies_;
  }
  std::vector<Duration> timeouts() {
    const MutexLock lock(mu_);
    return timeouts_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool blocked_ GUARDED_BY(mu_) = false;
  std::vector<Error> errors_ GUARDED_BY(mu_);
  std::vector<std::string> bodies_ GUARDED_BY(mu_);
  std::vector<Duration> timeouts_ GUARDED_BY(mu_);
};

class SpanSinkTest : public ::testing::Test {
 protected:
  std::string Metrics() const { return Render(registry_, ExpositionFormat::kPrometheusText); }

  RealClock clock_;  // The sink's thread waits in real time; no test waits for a delay to pass.
  Registry registry_;
  FakeExporter exporter_;
  SpanSink sink_{{.service_name = "test",
                  .service_version = "1",
                  .export_timeout = seconds(5),
                  .buffer = {.max_queued = 4,
                             .max_batch = 2,
                             .max_delay = std::chrono::hours(1),
                             .max_attempts = 3,
                             .first_pause = Duration(1),
                             .longest_pause = Duration(1)}},
                 clock_,
                 &exporter_,
                 registry_};
};

TEST_F(SpanSinkTest, ExportsAFullBatchByItself) {
  sink_.Add(NewSpan("one"));
  sink_.Add(NewSpan("two"));

  exporter_.WaitForCalls(1);

  EXPECT_THAT(exporter_.bodies()[0], HasSubstr("\"one\""));
  EXPECT_THAT(exporter_.bodies()[0], HasSubstr("\"two\""));
  EXPECT_EQ(exporter_.timeouts()[0], seconds(5));
}

TEST_F(SpanSinkTest, StopDeliversWhatWaits) {
  sink_.Add(NewSpan("left over"));

  EXPECT_TRUE(sink_.Stop(seconds(60)));

  EXPECT_THAT(exporter_.bodies(), ::testing::ElementsAre(HasSubstr("left over")));
  EXPECT_THAT(Metrics(), HasSubstr("mezzo_observe_spans_exported_total 1\n"));
  EXPECT_TRUE(sink_.Stop(seconds(60))) << "calling it again does nothing";
}

TEST_F(SpanSinkTest, StopWithoutTimeDropsAndCounts) {
  sink_.Add(NewSpan());

  EXPECT_FALSE(sink_.Stop(Duration::zero()));

  EXPECT_THAT(Metrics(), HasSubstr("mezzo_observe_spans_dropped_total{reason=\"stopped\"} 1\n"));
  sink_.Add(NewSpan());
  EXPECT_THAT(Metrics(), HasSubstr("mezzo_observe_spans_dropped_total{reason=\"stopped\"} 2\n"));
}

TEST_F(SpanSinkTest, DropsAndCountsWhenTheQueueIsFull) {
  exporter_.Block(true);
  sink_.Add(NewSpan());
  sink_.Add(NewSpan());
  exporter_.WaitForCalls(1);

  for (int i = 0; i < 3; ++i) sink_.Add(NewSpan());

  EXPECT_THAT(Metrics(), HasSubstr("mezzo_observe_spans_dropped_total{reason=\"queue_full\"} 1\n"));
  EXPECT_THAT(Metrics(), HasSubstr("mezzo_observe_spans_queued 4\n"));
  exporter_.Block(false);
}

TEST_F(SpanSinkTest, TriesAgainAfterErrorsThatMayPass) {
  exporter_.FailWith({Unavailable("collector_down", "no"), DeadlineExceeded("collector_slow", "no")});
  sink_.Add(NewSpan("kept"));

  EXPECT_TRUE(sink_.Stop(seconds(60)));

  const auto bodies = exporter_.bodies();
  ASSERT_EQ(bodies.size(), 3U);
  EXPECT_EQ(bodies[0], bodies[2]) << "the same spans with the same ids";
  EXPECT_THAT(Metrics(), HasSubstr("mezzo_observe_span_exports_total{outcome=\"error\"} 2\n"));
}

TEST_F(SpanSinkTest, GivesUpAtOnceAfterOtherErrors) {
  exporter_.FailWith({InvalidArgument("bad_spans", "no")});
  sink_.Add(NewSpan());

  EXPECT_FALSE(sink_.Stop(seconds(60)));

  EXPECT_EQ(exporter_.bodies().size(), 1U);
  EXPECT_THAT(Metrics(), HasSubstr("mezzo_observe_spans_dropped_total{reason=\"export_failed\"} 1\n"));
}

}  // namespace
}  // namespace mezzo::observe
