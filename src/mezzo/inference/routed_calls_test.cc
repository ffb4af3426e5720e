// Calls whose version a route decides: arms, retries on the stable version, hedges, shadows, charges.

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/inference/call_fault.h"
#include "mezzo/inference/local_service.h"
#include "mezzo/inference/testing/fake_models.h"
#include "mezzo/observe/exposition.h"
#include "mezzo/observe/span_sink.h"
#include "mezzo/releases/router.h"
#include "mezzo/tenancy/testing/directories.h"

namespace mezzo::inference {
namespace {

using releases::kWholeWeight;
using releases::VersionName;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::FloatsOf;
using testing::MakeCall;
using testing::MakeFloats;

struct Recorded final : releases::ArmOutcomes {
  Mutex mu;
  std::vector<releases::ArmOutcome> outcomes GUARDED_BY(mu);
  void Record(const releases::ArmOutcome& outcome) override {
    MutexLock lock(mu);
    outcomes.push_back(outcome);
  }
  std::vector<releases::ArmOutcome> All() {
    MutexLock lock(mu);
    return outcomes;
  }
};
struct Sink final : releases::OutcomeSink {
  std::map<std::string, std::shared_ptr<Recorded>> arms;
  std::shared_ptr<releases::ArmOutcomes> Arm(const std::string& /*model*/, const std::string& /*series*/,
                                             const std::string& arm) override {
    auto& one = arms[arm];
    if (one == nullptr) one = std::make_shared<Recorded>();
    return one;
  }
};

/// Multiplies its input; fails or waits as it is told.
class Multiplier {
 public:
  explicit Multiplier(float factor) : factor_(factor) {}
  Result<std::vector<tensor::Tensor>> operator()(std::span<const tensor::Tensor* const> inputs,
                                                 engine::RunControl* /*control*/) {
    ++runs;
    {
      MutexLock lock(mu_);
      const TimePoint until = std::chrono::steady_clock::now() + seconds(60);
      while (closed_ && changed_.WaitUntil(mu_, until)) {
      }
    }
    if (broken) return Internal("engine_failed", "the engine broke");
    std::vector<float> values = FloatsOf(*inputs[0]);
    for (float& value : values) {
      if (value == 666) return InvalidArgument("engine_rejected_input", "666 is refused");
      value *= factor_;
    }
    return std::vector<tensor::Tensor>{MakeFloats(inputs[0]->shape, values)};
  }
  void Close(bool closed) {
    MutexLock lock(mu_);
    closed_ = closed;
    changed_.NotifyAll();
  }
  std::atomic<int> runs = 0;         // A count; no partner.
  std::atomic<bool> broken = false;  // Set between calls; no partner.

 private:
  const float factor_;
  Mutex mu_;
  CondVar changed_;
  bool closed_ GUARDED_BY(mu_) = false;
};

class RoutedCallsTest : public ::testing::Test {
 protected:
  RoutedCallsTest() {
    Add(1, {{"IN", {-1, 2}}}, std::ref(one_));
    Add(2, {{"IN", {-1, 2}}}, std::ref(two_));
    Add(3, {{"OTHER", {-1, 2}}}, std::ref(three_));
  }
  ~RoutedCallsTest() override {
    one_.Close(false);
    two_.Close(false);
    EXPECT_TRUE(scope_.Stop(seconds(60)));
    loops_.Stop();
    catalog_.Clear();
  }

  void Add(std::int64_t number, std::vector<std::pair<std::string, tensor::Shape>> inputs,
           testing::RunFunction run) {
    auto version =
        testing::MakeVersion({.inputs = std::move(inputs), .version = number, .run = std::move(run)});
    version->extension = binder_.Bind(*version).value();
    catalog_.Add(version);
  }
  /// Everything to the arm `canary`, with version 1 behind it.
  void RouteTo(std::int64_t version, std::vector<releases::RouteShadow> shadows = {}) {
    router_.Update(
        {{.model = "m",
          .revision = ++revision_,
          .route = {
              .salt = std::to_string(revision_),
              .arms = {{.name = "stable", .version = VersionName::Number(1), .weight = 0},
                       {.name = "canary", .version = VersionName::Number(version), .weight = kWholeWeight}},
              .shadows = std::move(shadows),
              .stable = VersionName::Number(1)}}});
  }
  void RouteToStable(std::vector<releases::RouteShadow> shadows = {}) {
    router_.Update({{.model = "m",
                     .revision = ++revision_,
                     .route = {.shadows = std::move(shadows), .stable = VersionName::Number(1)}}});
  }
  std::string Stamp(const std::string& arm) const { return arm + ";" + std::to_string(revision_); }

  std::future<Result<InferenceAnswer>> Start(InferenceCall call,
                                             const runtime::Context& ctx = runtime::Context()) {
    auto promise = std::make_shared<std::promise<Result<InferenceAnswer>>>();
    auto future = promise->get_future();
    loops_.loop(0).Post([this, ctx, call = std::move(call), promise]() mutable {
      runtime::Start(service_.Infer(ctx, caller_, std::move(call)),
                     [promise](Result<InferenceAnswer> answer) { promise->set_value(std::move(answer)); });
    });
    return future;
  }
  Result<InferenceAnswer> Send(InferenceCall call, const runtime::Context& ctx = runtime::Context()) {
    return Start(std::move(call), ctx).get();
  }
  static InferenceCall Call(float a, const std::string& version = "") {
    InferenceCall call = MakeCall("m", {{"IN", MakeFloats({1, 2}, {a, 0})}});
    call.version = version;
    return call;
  }
  std::string Metrics() { return observe::Render(registry_, observe::ExpositionFormat::kPrometheusText); }
  std::vector<releases::ArmOutcome> Outcomes(const std::string& arm) { return sink_.arms[arm]->All(); }
  template <typename Condition>
  static bool Eventually(Condition condition) {
    const TimePoint until = std::chrono::steady_clock::now() + seconds(60);
    while (!condition() && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(milliseconds(1));
    return condition();
  }

  RealClock clock_;
  observe::Registry registry_;
  InferenceMetrics metrics_{registry_};
  observe::Sampler sampler_;
  observe::SpanSink sink_of_spans_{{}, clock_, nullptr, registry_};
  observe::Tracer tracer_{clock_, sampler_, sink_of_spans_};
  Multiplier one_{1}, two_{2}, three_{3};
  testing::FakeCatalog catalog_;
  // Versions that wait for the test must not keep others from running.
  sched::DeviceExecutor executor_{{.scheduler = {.slots = 4}, .inline_limit = Duration::zero()}, clock_};
  RuntimeBinder binder_{executor_, metrics_, clock_, 1024};
  Sink sink_;
  releases::Router router_{{.breaker = {.consecutive_failures = 4, .first_cooldown = seconds(600)}},
                           {.clock = clock_, .registry = registry_, .outcomes = &sink_}};
  std::int64_t revision_ = 0;
  runtime::Scope scope_;
  LocalService service_{catalog_, executor_, tracer_, clock_, {.background = &scope_, .routes = &router_}};
  tenancy::CallerRef caller_ = tenancy::testing::MakeCaller(
      tenancy::testing::MakeTenant("t", static_cast<std::uint32_t>(executor_.AddTenant({.name = "t"}))));
  runtime::IoThreads loops_{1};
};

TEST_F(RoutedCallsTest, WithoutARouteTheNewestVersionAnswers) {
  InferenceCall call = MakeCall("m", {{"OTHER", MakeFloats({1, 2}, {5, 0})}});
  const auto answer = Send(std::move(call));
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->version, "3");
  EXPECT_EQ(answer->route, "");
}

TEST_F(RoutedCallsTest, AnArmsVersionAnswersAndItsOutcomeIsRecorded) {
  RouteTo(2);
  const auto answer = Send(Call(5));
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->version, "2");
  EXPECT_EQ(answer->route, Stamp("canary"));
  EXPECT_THAT(FloatsOf(answer->outputs[0].tensor), ElementsAre(10, 0));
  ASSERT_EQ(Outcomes("canary").size(), 1U);
  EXPECT_FALSE(Outcomes("canary")[0].failed);
  EXPECT_GT(Outcomes("canary")[0].latency, Duration::zero());
  EXPECT_GT(Outcomes("canary")[0].cost, 0);
  EXPECT_EQ(one_.runs, 0);
}

TEST_F(RoutedCallsTest, WhoNamesAVersionGetsIt) {
  RouteTo(2);
  const auto answer = Send(Call(5, "1"));
  EXPECT_EQ(answer->version, "1");
  EXPECT_EQ(answer->route, "");
  EXPECT_TRUE(Outcomes("canary").empty());
}

TEST_F(RoutedCallsTest, RulesLookAtTheCallsHeaders) {
  router_.Update(
      {{.model = "m",
        .revision = ++revision_,
        .route = {.rules = {{.header = "x-beta", .equals = "1", .version = VersionName::Number(2)}},
                  .stable = VersionName::Number(1)}}});
  InferenceCall call = Call(5);
  const std::string beta = "1";
  call.headers = {&beta, [](const void* from, std::string_view name) -> std::optional<std::string_view> {
                    if (name != "x-beta") return std::nullopt;
                    return *static_cast<const std::string*>(from);
                  }};
  EXPECT_EQ(Send(std::move(call))->route, Stamp("rule-1"));
  EXPECT_EQ(Send(Call(5))->route, Stamp("stable"));
}

TEST_F(RoutedCallsTest, WhatFailsOnAnArmTheStableVersionAnswersUntilTheBreakerOpens) {
  RouteTo(2);
  two_.broken = true;
  for (int i = 0; i < 10; ++i) {
    const auto answer = Send(Call(5));
    ASSERT_TRUE(answer.ok()) << answer.error().ToString();
    EXPECT_EQ(answer->version, "1");
    EXPECT_EQ(answer->route, Stamp("stable"));
  }
  EXPECT_EQ(one_.runs, 10);
  ASSERT_EQ(Outcomes("canary").size(), 4U) << "then its breaker is open";
  EXPECT_TRUE(Outcomes("canary")[0].failed);
  EXPECT_TRUE(Outcomes("canary")[0].retried);
}

TEST_F(RoutedCallsTest, WhatTheStableVersionRefusesAsWellIsTheCallersFault) {
  RouteTo(2);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Send(Call(666)).error().reason(), "engine_rejected_input");
  EXPECT_TRUE(Outcomes("canary").empty());
  EXPECT_EQ(Send(Call(5))->version, "2") << "no breaker has opened";
}

TEST_F(RoutedCallsTest, AVersionThatTakesOtherInputsOrIsNotThereIsToBlame) {
  RouteTo(3);
  EXPECT_EQ(Send(Call(5))->version, "1");
  ASSERT_EQ(Outcomes("canary").size(), 1U);
  EXPECT_TRUE(Outcomes("canary")[0].failed);
  RouteTo(9);
  EXPECT_EQ(Send(Call(5))->version, "1");
  EXPECT_EQ(Outcomes("canary").size(), 2U);
  InferenceCall bad = MakeCall("m", {{"NONE", MakeFloats({1, 2}, {5, 0})}});
  RouteTo(2);
  EXPECT_FALSE(Send(std::move(bad)).ok());
  EXPECT_EQ(Outcomes("canary").size(), 2U);
}

TEST_F(RoutedCallsTest, AVersionOnDiskIsLoadedWhileTheStableOneAnswers) {
  catalog_.PutOnDisk("m", "2");
  RouteTo(2);
  EXPECT_EQ(Send(Call(5))->version, "1");
  EXPECT_TRUE(Outcomes("canary").empty()) << "nobody's fault";
  EXPECT_TRUE(Eventually([&] { return Send(Call(5))->version == "2"; }));
}

TEST_F(RoutedCallsTest, WhenTheStableVersionFailsTooItsErrorIsTheAnswer) {
  RouteTo(2);
  one_.broken = two_.broken = true;
  EXPECT_EQ(Send(Call(5)).error().reason(), "engine_failed");
  EXPECT_GE(one_.runs, 1);
  EXPECT_GE(two_.runs, 1);
  ASSERT_EQ(Outcomes("canary").size(), 1U);
  EXPECT_TRUE(Outcomes("canary")[0].retried);
}

TEST_F(RoutedCallsTest, ALateArmIsOvertakenByTheStableVersion) {
  RouteToStable();
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Send(Call(1)).ok());
  RouteTo(2);
  two_.Close(true);
  const auto answer = Send(Call(5));
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->version, "1");
  EXPECT_EQ(answer->route, Stamp("stable"));
  ASSERT_EQ(Outcomes("canary").size(), 1U);
  EXPECT_TRUE(Outcomes("canary")[0].late);
  EXPECT_FALSE(Outcomes("canary")[0].failed) << "slow is not wrong: latency is judged as such";
  two_.Close(false);
}

TEST_F(RoutedCallsTest, WhatIsLateAndYetFirstIsTheAnswer) {
  RouteToStable();
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Send(Call(1)).ok());
  const int before = one_.runs;
  RouteTo(2);
  two_.Close(true);
  one_.Close(true);
  auto answer = Start(Call(5));
  ASSERT_TRUE(Eventually([&] { return one_.runs > before; })) << "the stable version was asked as well";
  two_.Close(false);
  EXPECT_EQ(answer.get()->version, "2");
  one_.Close(false);
  ASSERT_EQ(Outcomes("canary").size(), 1U);
  EXPECT_FALSE(Outcomes("canary")[0].late);
}

TEST_F(RoutedCallsTest, MostOfTheDeadlineIsTheLatestThatTheStableVersionIsAsked) {
  RouteTo(2);  // Nothing is known of the stable version's latency.
  two_.Close(true);
  const auto ctx = runtime::Context().WithDeadline(clock_.Now() + seconds(6));
  const auto answer = Send(Call(5), ctx);
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->version, "1");
  two_.Close(false);
}

TEST_F(RoutedCallsTest, ACallerWhoLeavesIsAnsweredAtOnceAndBlamesNobody) {
  RouteToStable();
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Send(Call(1)).ok());
  RouteTo(2);
  one_.Close(true);
  two_.Close(true);
  const runtime::Context ctx;
  auto answer = Start(Call(5), ctx);
  ASSERT_TRUE(Eventually([&] { return two_.runs > 0; }));
  ctx.Cancel();
  EXPECT_EQ(answer.get().error().code(), Code::kCancelled);
  EXPECT_TRUE(Outcomes("canary").empty());
  one_.Close(false);
  two_.Close(false);
}

TEST_F(RoutedCallsTest, ShadowsAnswerNobodyAndAreCompared) {
  RouteToStable({{.version = VersionName::Number(2), .share = kWholeWeight, .max_in_flight = 4}});
  const auto answer = Send(Call(5));
  EXPECT_EQ(answer->version, "1");
  ASSERT_TRUE(Eventually([&] {
    return Metrics().find(
               "mezzo_route_shadow_calls_total{model=\"m\",version=\"2\",outcome=\"different\"} 1") !=
           std::string::npos;
  }));
  EXPECT_NE(Metrics().find("mezzo_route_shadow_max_difference{model=\"m\",version=\"2\"} 5"),
            std::string::npos)
      << Metrics();
  ASSERT_EQ(Outcomes(releases::kShadowArm).size(), 1);
  EXPECT_FALSE(Outcomes(releases::kShadowArm)[0].failed);
  EXPECT_EQ(two_.runs, 1);
}

TEST_F(RoutedCallsTest, ShadowsBeyondTheLimitAreDroppedAndNobodyWaitsForThem) {
  RouteToStable({{.version = VersionName::Number(2), .share = kWholeWeight, .max_in_flight = 2}});
  two_.Close(true);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(Send(Call(5)).ok());
  two_.Close(false);
  EXPECT_TRUE(Eventually([&] { return Outcomes(releases::kShadowArm).size() == 2; }));
  const auto& dropped = router_.Find("m");
  ASSERT_NE(dropped, nullptr);
  EXPECT_LE(two_.runs, 2);
}

TEST_F(RoutedCallsTest, ARouteToAnUnknownAliasSaysSo) {
  router_.Update({{.model = "m", .revision = 1, .route = {.stable = VersionName::Parse("@gone").value()}}});
  EXPECT_EQ(Send(Call(5)).error().ToString(),
            "FAILED_PRECONDITION route_alias_unknown: the route of model 'm' goes to '@gone', and no version "
            "stands "
            "under it");
}

TEST(FaultOf, SaysWhoIsToBlame) {
  EXPECT_EQ(FaultOf(Internal("engine_failed", "")), Fault::kVersion);
  EXPECT_EQ(FaultOf(Unavailable("worker_died", "")), Fault::kVersion);
  EXPECT_EQ(FaultOf(Unavailable("breaker_open", "")), Fault::kVersion);
  EXPECT_EQ(FaultOf(DeadlineExceeded("worker_hung", "")), Fault::kVersion);
  EXPECT_EQ(FaultOf(ResourceExhausted("worker_memory_exceeded", "")), Fault::kVersion);
  EXPECT_EQ(FaultOf(ResourceExhausted("rate_limited", "")), Fault::kCaller);
  EXPECT_EQ(FaultOf(PermissionDenied("class_not_allowed", "")), Fault::kCaller);
  EXPECT_EQ(FaultOf(Cancelled("cancelled", "")), Fault::kCaller);
  EXPECT_EQ(FaultOf(Unavailable("shutting_down", "")), Fault::kCaller);
  EXPECT_EQ(FaultOf(Unavailable("overloaded", "")), Fault::kOverload);
  EXPECT_EQ(FaultOf(InvalidArgument("input_shape", "")), Fault::kEither);
}

}  // namespace
}  // namespace mezzo::inference
