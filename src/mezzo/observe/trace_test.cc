#include "mezzo/observe/trace.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/observe/span_sink.h"
#include "mezzo/testing/manual_clock.h"

// ThreadSanitizer brings an operator new that can't be replaced.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MEZZO_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef MEZZO_COUNTS_ALLOCATIONS
#define MEZZO_COUNTS_ALLOCATIONS 1
#endif

namespace {
thread_local std::uint64_t allocations = 0;
}

#if MEZZO_COUNTS_ALLOCATIONS
// Counts this thread's allocations, for the promise that calls that are not sampled make none.
void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace mezzo::observe {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(ParseTraceParent, ReadsTheExampleOfTheStandard) {
  const auto context = ParseTraceParent(kParent);

  ASSERT_TRUE(context.ok());
  EXPECT_EQ(context->trace_id.Hex(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(context->span_id.Hex(), "b7ad6b7169203331");
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(FormatTraceParent(*context), kParent);
}

TEST(ParseTraceParent, IgnoresFlagsItDoesNotKnow) {
  const auto context = ParseTraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe");

  ASSERT_TRUE(context.ok());
  EXPECT_FALSE(context->sampled);
  EXPECT_TRUE(FormatTraceParent(*context).ends_with("-00"));
}

TEST(ParseTraceParent, ReadsLaterVersionsAsFarAsItCan) {
  EXPECT_TRUE(ParseTraceParent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").ok());
  EXPECT_TRUE(
      ParseTraceParent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future").ok());
  EXPECT_FALSE(ParseTraceParent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what").ok());
}

TEST(ParseTraceParent, RefusesWhatTheStandardRefuses) {
  const std::vector<std::pair<std::string_view, std::string_view>> cases = {
      {"", "shorter"},
      {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", "shorter"},
      {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011", "longer"},
      {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", "longer"},
      {"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "ff"},
      {"0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "version"},
      {"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "trace id that is not"},
      {"00-00000000000000000000000000000000-b7ad6b7169203331-01", "all-zero trace id"},
      {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "all-zero parent id"},
      {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333z-01", "parent id that is not"},
      {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0Z", "flags"},
      {"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "dash"},
  };
  for (const auto& [header, message] : cases) {
    const auto context = ParseTraceParent(header);
    ASSERT_FALSE(context.ok()) << header;
    EXPECT_EQ(context.error().reason(), "invalid_traceparent");
    EXPECT_THAT(context.error().message(), HasSubstr(std::string(message))) << header;
  }
}

TEST(LimitTraceState, PassesOnWhatIsWellFormed) {
  EXPECT_EQ(LimitTraceState("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
            "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
  EXPECT_EQ(LimitTraceState(" a=1 ,, 0tenant@sys=x y,"), "a=1,0tenant@sys=x y");
  EXPECT_EQ(LimitTraceState(""), "");
}

TEST(LimitTraceState, DropsAllOfWhatIsMalformed) {
  for (const std::string_view bad :
       {"a", "=1", "a=", "A=1", "a=1,a=2", "a=b=c", "a=\x01", "a@=1", "@a=1", "a=1,b"}) {
    EXPECT_EQ(LimitTraceState(bad), "") << bad;
  }
  std::string many = "k0=1";
  for (int i = 1; i <= 32; ++i) many += ",k" + std::to_string(i) + "=1";
  EXPECT_EQ(LimitTraceState(many), "");
  EXPECT_EQ(LimitTraceState(std::string(100'000, ',')), "");
}

TEST(LimitTraceState, DropsLongMembersFirstThenTheLast) {
  const std::string long_member = "long=" + std::string(200, 'x');
  std::string header = long_member;
  for (int i = 0; i < 4; ++i) header += ",k" + std::to_string(i) + "=" + std::string(100, 'y');
  const std::string without_long = header.substr(long_member.size() + 1);
  EXPECT_EQ(LimitTraceState(header), without_long);

  const std::string fifth = ",k4=" + std::string(120, 'z');
  EXPECT_EQ(LimitTraceState(without_long + fifth), without_long);
}

TEST(NewTraceId, IsDifferentEachTime) {
  EXPECT_NE(NewTraceId(), NewTraceId());
  EXPECT_NE(NewSpanId(), NewSpanId());
  EXPECT_FALSE(NewSpanId().empty());
}

TraceContext Parent(bool sampled) {
  return {.trace_id = NewTraceId(), .span_id = NewSpanId(), .sampled = sampled, .trace_state = "a=1"};
}

TEST(Sampler, FollowsTheParentUnlessToldNotTo) {
  Sampler sampler({.enabled = true, .ratio = 0.0});
  const TraceContext yes = Parent(true);
  const TraceContext no = Parent(false);
  EXPECT_TRUE(sampler.ShouldSample(&yes, yes.trace_id, "m"));
  EXPECT_FALSE(sampler.ShouldSample(&no, no.trace_id, "m"));

  ASSERT_TRUE(sampler.Set({.enabled = true, .follow_parent = false, .ratio = 1.0}).ok());
  EXPECT_TRUE(sampler.ShouldSample(&no, no.trace_id, "m"));
}

TEST(Sampler, TakesNothingWhenDisabled) {
  Sampler sampler;
  const TraceContext yes = Parent(true);

  EXPECT_FALSE(sampler.active());
  EXPECT_FALSE(sampler.ShouldSample(&yes, yes.trace_id, "m"));
  EXPECT_FALSE(sampler.ShouldSample(nullptr, NewTraceId(), "m"));
}

TEST(Sampler, TakesAboutItsRatioAndAlwaysTheSameTraces) {
  Sampler sampler({.enabled = true, .ratio = 0.25});
  int taken = 0;

  for (int i = 0; i < 20'000; ++i) {
    const TraceId id = NewTraceId();
    const bool first = sampler.ShouldSample(nullptr, id, "m");
    EXPECT_EQ(first, sampler.ShouldSample(nullptr, id, "m"));
    taken += first ? 1 : 0;
  }

  EXPECT_NEAR(taken, 5000, 400);  // Over six standard deviations.
}

TEST(Sampler, StopsWhenNoTracesRemain) {
  Sampler sampler({.enabled = true, .remaining = 2});

  EXPECT_TRUE(sampler.ShouldSample(nullptr, NewTraceId(), "m"));
  EXPECT_TRUE(sampler.ShouldSample(nullptr, NewTraceId(), "m"));
  EXPECT_FALSE(sampler.ShouldSample(nullptr, NewTraceId(), "m"));
  EXPECT_EQ(sampler.Get().remaining, 0U);
}

TEST(Sampler, AModelsSettingsWinUntilCleared) {
  Sampler sampler;
  ASSERT_TRUE(sampler.SetModel("traced", {.enabled = true}).ok());
  EXPECT_TRUE(sampler.ShouldSample(nullptr, NewTraceId(), "traced"));
  EXPECT_FALSE(sampler.ShouldSample(nullptr, NewTraceId(), "another"));
  EXPECT_TRUE(sampler.Get("traced").enabled);

  sampler.ClearModel("traced");

  EXPECT_FALSE(sampler.ShouldSample(nullptr, NewTraceId(), "traced"));
  EXPECT_FALSE(sampler.Get("traced").enabled);
}

TEST(Sampler, RefusesARatioOutOfRange) {
  Sampler sampler;

  for (const double ratio : {-0.1, 1.1, std::nan("")}) {
    const auto set = sampler.Set({.enabled = true, .ratio = ratio});
    ASSERT_FALSE(set.ok());
    EXPECT_EQ(set.error().reason(), "invalid_trace_ratio");
  }
  EXPECT_FALSE(sampler.Get().enabled);
}

TEST(Span, BoundsItsAttributesStagesAndTexts) {
  Span span("op", SpanKind::kServer, Parent(true), SpanId{}, WallTime{});

  for (int i = 0; i < 40; ++i) span.Set("k" + std::to_string(i), i);
  for (int i = 0; i < 40; ++i) span.AddStage("s", WallTime{}, WallTime{});
  span.Set("k0", std::string(10'000, 'x'));

  EXPECT_EQ(span.attributes().size(), Span::kMaxAttributes);
  EXPECT_EQ(span.dropped_attributes(), 8U);
  EXPECT_EQ(span.stages().size(), Span::kMaxStages);
  EXPECT_EQ(std::get<std::string>(span.attributes()[0].value).size(), Span::kMaxTextBytes);
}

class TracerTest : public ::testing::Test {
 protected:
  testing::ManualClock clock_;
  Registry registry_;
  Sampler sampler_;
  SpanSink sink_{{}, clock_, nullptr, registry_};
  Tracer tracer_{clock_, sampler_, sink_};
};

TEST_F(TracerTest, ContinuesTheCallersTrace) {
  ASSERT_TRUE(sampler_.Set({.enabled = true}).ok());
  const TraceContext parent = Parent(true);

  const auto span = tracer_.Start("infer", SpanKind::kServer, &parent, "m");

  ASSERT_NE(span, nullptr);
  EXPECT_EQ(span->context().trace_id, parent.trace_id);
  EXPECT_NE(span->context().span_id, parent.span_id);
  EXPECT_EQ(span->parent(), parent.span_id);
  EXPECT_EQ(span->context().trace_state, "a=1");
  EXPECT_EQ(span->start(), clock_.WallNow());
}

TEST_F(TracerTest, AllocatesNothingForCallsThatAreNotSampled) {
  ASSERT_TRUE(sampler_.Set({.enabled = true, .ratio = 0.0}).ok());
  ASSERT_TRUE(sampler_.SetModel("other", {.enabled = true}).ok());
  const TraceContext parent = Parent(false);
  tracer_.Finish(
      tracer_.Start("infer", SpanKind::kServer, nullptr, "m"));  // Warms the thread's random bytes.
  const std::uint64_t before = allocations;

  for (int i = 0; i < 1000; ++i) {
    tracer_.Finish(tracer_.Start("infer", SpanKind::kServer, nullptr,
                                 "a model with a long name, over any small buffer"));
    tracer_.Finish(tracer_.Start("infer", SpanKind::kServer, &parent, "m"));
  }

  EXPECT_EQ(allocations, before);
  if (MEZZO_COUNTS_ALLOCATIONS == 1) EXPECT_GT(before, 0U) << "the count does not count";
}

}  // namespace
}  // namespace mezzo::observe
