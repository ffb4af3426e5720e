#include "mezzo/inference/local_service.h"

#include <atomic>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/inference/testing/fake_models.h"
#include "mezzo/observe/exposition.h"
#include "mezzo/observe/span_sink.h"
#include "mezzo/tenancy/testing/directories.h"

namespace mezzo::inference {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::FloatsOf;
using ::testing::HasSubstr;
using testing::MakeCall;
using testing::MakeFloats;
using testing::MakeVersion;

/// Doubles its input and remembers the rows of its batches; waits at a gate while it is closed.
class Doubler {
 public:
  Result<std::vector<tensor::Tensor>> operator()(std::span<const tensor::Tensor* const> inputs,
                                                 engine::RunControl* /*control*/) {
    {
      MutexLock lock(mu_);
      ++entered_;
      changed_.NotifyAll();
      while (closed_) changed_.Wait(mu_);
      rows_.push_back(inputs[0]->shape[0]);
    }
    std::vector<float> values = FloatsOf(*inputs[0]);
    for (float& value : values) {
      if (value == 666) return InvalidArgument("engine_rejected_input", "666 is refused");
      if (value == 500 || broken_) return Internal("engine_failed", "the engine broke");
      value *= 2;
    }
    return std::vector<tensor::Tensor>{MakeFloats(inputs[0]->shape, values)};
  }

  void Break() { broken_ = true; }
  void Close() {
    MutexLock lock(mu_);
    closed_ = true;
  }
  void Open() {
    MutexLock lock(mu_);
    closed_ = false;
    changed_.NotifyAll();
  }
  void AwaitEntered(int count) {
    MutexLock lock(mu_);
    while (entered_ < count) changed_.Wait(mu_);
  }
  std::vector<std::int64_t> rows() {
    MutexLock lock(mu_);
    return rows_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool closed_ GUARDED_BY(mu_) = false;
  int entered_ GUARDED_BY(mu_) = 0;
  std::atomic<bool> broken_ = false;  // Set between calls; no partner.
  std::vector<std::int64_t> rows_ GUARDED_BY(mu_);
};

class LocalServiceTest : public ::testing::Test {
 protected:
  LocalServiceTest() { AddModel({.inputs = {{"IN", {-1, 2}}}, .run = std::ref(doubler_)}); }
  ~LocalServiceTest() override {
    doubler_.Open();
    loops_.Stop();
    catalog_.Clear();
  }

  void AddModel(testing::VersionSpec spec) {
    auto version = MakeVersion(std::move(spec));
    version->extension = binder_.Bind(*version).value();
    catalog_.Add(version);
  }

  std::future<Result<InferenceAnswer>> Send(InferenceCall call,
                                            const runtime::Context& ctx = runtime::Context()) {
    auto promise = std::make_shared<std::promise<Result<InferenceAnswer>>>();
    auto future = promise->get_future();
    loops_.loop(0).Post([this, ctx, call = std::move(call), promise]() mutable {
      runtime::Start(service_.Infer(ctx, caller_, std::move(call)),
                     [promise](Result<InferenceAnswer> answer) { promise->set_value(std::move(answer)); });
    });
    return future;
  }
  static InferenceCall Call(float a, float b) { return MakeCall("m", {{"IN", MakeFloats({1, 2}, {a, b})}}); }

  RealClock clock_;
  observe::Registry registry_;
  InferenceMetrics metrics_{registry_};
  observe::Sampler sampler_;
  observe::SpanSink sink_{{}, clock_, nullptr, registry_};
  observe::Tracer tracer_{clock_, sampler_, sink_};
  Doubler doubler_;
  testing::FakeCatalog catalog_;
  sched::DeviceExecutor executor_{{.scheduler = {.slots = 1}, .inline_limit = Duration::zero()}, clock_};
  RuntimeBinder binder_{executor_, metrics_, clock_, 1024};
  LocalService service_{catalog_, executor_, tracer_, clock_};
  tenancy::CallerRef caller_ = tenancy::testing::MakeCaller(
      tenancy::testing::MakeTenant("t", static_cast<std::uint32_t>(executor_.AddTenant({.name = "t"}))));
  runtime::IoThreads loops_{1};
};

TEST_F(LocalServiceTest, AnswersACall) {
  const auto answer = Send(Call(1, 2)).get();

  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  ASSERT_EQ(answer->outputs.size(), 1u);
  EXPECT_EQ(answer->outputs[0].name, "OUT");
  EXPECT_THAT(FloatsOf(answer->outputs[0].tensor), ElementsAre(2, 4));
  EXPECT_EQ(answer->version, "1");
  EXPECT_EQ(answer->batch_rows, 1u);
}

TEST_F(LocalServiceTest, WhatWaitsWhileTheDeviceIsBusyBecomesOneBatch) {
  doubler_.Close();
  auto first = Send(Call(0, 0));
  doubler_.AwaitEntered(1);
  std::vector<std::future<Result<InferenceAnswer>>> waiting;
  for (int i = 1; i <= 5; ++i) waiting.push_back(Send(Call(static_cast<float>(i), 0)));
  while (executor_.totals().queued_items < 5) std::this_thread::yield();

  doubler_.Open();

  EXPECT_TRUE(first.get().ok());
  for (int i = 1; i <= 5; ++i) {
    const auto answer = waiting[static_cast<std::size_t>(i - 1)].get();
    ASSERT_TRUE(answer.ok());
    EXPECT_THAT(FloatsOf(answer->outputs[0].tensor), ElementsAre(2.0F * static_cast<float>(i), 0));
    EXPECT_EQ(answer->batch_rows, 5u);
  }
  EXPECT_THAT(doubler_.rows(), ElementsAre(1, 5));
}

TEST_F(LocalServiceTest, OneRefusedInputDoesNotFailItsNeighbours) {
  doubler_.Close();
  auto first = Send(Call(0, 0));
  doubler_.AwaitEntered(1);
  auto good = Send(Call(1, 1));
  auto bad = Send(Call(666, 1));
  while (executor_.totals().queued_items < 2) std::this_thread::yield();

  doubler_.Open();

  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(good.get().ok());
  EXPECT_EQ(bad.get().error().reason(), "engine_rejected_input");
}

TEST_F(LocalServiceTest, CancellingTakesAQueuedCallOutAtOnce) {
  doubler_.Close();
  auto first = Send(Call(0, 0));
  doubler_.AwaitEntered(1);
  const runtime::Context ctx;
  auto queued = Send(Call(1, 1), ctx);
  while (executor_.totals().queued_items < 1) std::this_thread::yield();

  ctx.Cancel();

  EXPECT_EQ(queued.get().error().code(), Code::kCancelled);  // While the device is still busy.
  doubler_.Open();
  EXPECT_TRUE(first.get().ok());
  EXPECT_THAT(doubler_.rows(), ElementsAre(1));
}

TEST_F(LocalServiceTest, ACallThatCannotMakeItsDeadlineIsRefusedOnTime) {
  doubler_.Close();
  auto first = Send(Call(0, 0));
  doubler_.AwaitEntered(1);

  const auto late =
      Send(Call(1, 1), runtime::Context().WithDeadline(clock_.Now() + std::chrono::milliseconds(30))).get();

  ASSERT_FALSE(late.ok());  // And that while the slot is still occupied.
  EXPECT_THAT(late.error().reason(), ::testing::AnyOf("deadline_unreachable", "deadline_expired"));
  doubler_.Open();
  EXPECT_TRUE(first.get().ok());
}

TEST_F(LocalServiceTest, RepeatedEngineFailuresOpenTheBreaker) {
  doubler_.Break();
  std::string last;
  for (int i = 0; i < 50 && last != "breaker_open"; ++i) last = Send(Call(1, 0)).get().error().reason();

  EXPECT_EQ(last, "breaker_open");
}

TEST_F(LocalServiceTest, ACallersBadValuesNeverOpenTheBreaker) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(Send(Call(500, 0)).get().error().reason(), "engine_failed");
  }
  EXPECT_TRUE(Send(Call(1, 2)).get().ok());
}

TEST_F(LocalServiceTest, ACallersBadValuesFailNobodyElseInTheBatch) {
  doubler_.Close();
  auto first = Send(Call(1, 1));
  doubler_.AwaitEntered(1);
  auto good = Send(Call(2, 3));
  auto bad = Send(Call(500, 0));
  auto other = Send(Call(4, 5));
  doubler_.Open();

  EXPECT_TRUE(first.get().ok());
  EXPECT_THAT(FloatsOf(good.get().value().outputs[0].tensor), ElementsAre(4, 6));
  EXPECT_EQ(bad.get().error().reason(), "engine_failed");
  EXPECT_THAT(FloatsOf(other.get().value().outputs[0].tensor), ElementsAre(8, 10));
}

TEST_F(LocalServiceTest, CountsAndTimesEveryStage) {
  ASSERT_TRUE(Send(Call(1, 2)).get().ok());
  ASSERT_FALSE(Send(Call(666, 2)).get().ok());

  const auto statistics = service_.Statistics("m", "1").value();
  const std::string text = observe::Render(registry_, observe::ExpositionFormat::kOpenMetrics);

  ASSERT_EQ(statistics.size(), 1u);
  EXPECT_EQ(statistics[0].success.count, 1u);
  EXPECT_EQ(statistics[0].fail.count, 1u);
  EXPECT_EQ(statistics[0].execution_count, 1u);
  EXPECT_GT(statistics[0].compute_infer.ns, 0u);
  EXPECT_THAT(
      text,
      HasSubstr(R"(mezzo_inference_requests_total{model="m",version="1",tenant="t",outcome="success"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(mezzo_inference_stage_seconds_count{model="m",version="1",stage="run"} 1)"));
  EXPECT_EQ(service_.Statistics("nope", "").error().code(), Code::kNotFound);
}

TEST_F(LocalServiceTest, UnknownModelsAreNamed) {
  const auto answer = Send(MakeCall("nope", {})).get();

  EXPECT_EQ(answer.error().message(), "Request for unknown model: 'nope' is not found");
}

TEST_F(LocalServiceTest, ManyCallsFromManyThreadsAllEnd) {
  std::atomic<int> answered{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const runtime::Context ctx;
        auto answer = Send(Call(static_cast<float>(t), static_cast<float>(i)), ctx);
        if (i % 7 == 0) ctx.Cancel();
        if (answer.wait_for(seconds(30)) == std::future_status::ready) ++answered;
      }
    });
  }
  for (auto& thread : threads) thread.join();

  EXPECT_EQ(answered, 800);
}

TEST_F(LocalServiceTest, CallsShareABatchWhenTheirSharedNumberIsTheSame) {
  std::vector<std::pair<std::int64_t, float>> runs;  // Rows and number; written by the one slot.
  auto version =
      MakeVersion({.inputs = {{"IN", {-1, 2}}, {"T", {}}}, .name = "n", .run = [&](auto inputs, auto*) {
                     runs.emplace_back(inputs[0]->shape[0], FloatsOf(*inputs[1])[0]);
                     return Result<std::vector<tensor::Tensor>>(std::vector<tensor::Tensor>{*inputs[0]});
                   }});
  auto config = std::make_shared<models::ModelConfig>(*version->config);
  config->inputs[1].shared = true;
  version->config = config;
  version->extension = binder_.Bind(*version).value();
  catalog_.Add(version);
  doubler_.Close();
  auto busy = Send(Call(1, 2));
  doubler_.AwaitEntered(1);
  std::vector<std::future<Result<InferenceAnswer>>> answers;
  for (const float number : {7.0F, 8.0F, 7.0F})
    answers.push_back(
        Send(MakeCall("n", {{"IN", MakeFloats({1, 2}, {number, 0})}, {"T", MakeFloats({}, {number})}})));
  while (executor_.totals().queued_items < 3) std::this_thread::yield();

  doubler_.Open();

  const float expected[] = {7, 8, 7};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto answer = answers[i].get();
    ASSERT_TRUE(answer.ok()) << answer.error().ToString();
    EXPECT_EQ(FloatsOf(answer->outputs[0].tensor)[0], expected[i]);
  }
  EXPECT_THAT(runs, ::testing::UnorderedElementsAre(std::pair(2, 7.0F), std::pair(1, 8.0F)));
  EXPECT_TRUE(busy.get().ok());
}

// --- Limits

class LimitedServiceTest : public LocalServiceTest {
 protected:
  std::future<Result<InferenceAnswer>> SendLimited(InferenceCall call) {
    auto promise = std::make_shared<std::promise<Result<InferenceAnswer>>>();
    auto future = promise->get_future();
    loops_.loop(0).Post([this, call = std::move(call), promise]() mutable {
      runtime::Start(limited_.Infer(runtime::Context(), caller_, std::move(call)),
                     [promise](Result<InferenceAnswer> answer) { promise->set_value(std::move(answer)); });
    });
    return future;
  }
  void Set(tenancy::Limit limit) {
    limit.name = "l";
    limiter_.Replace({tenancy::CheckLimit(std::move(limit)).value()});
  }

  tenancy::Limiter limiter_{{}, clock_};
  LocalService limited_{catalog_, executor_, tracer_, clock_, {.limiter = &limiter_}};
};

TEST_F(LimitedServiceTest, OnlyWhatReachesTheDeviceCounts) {
  Set({.kind = tenancy::LimitKind::kRequests, .rate = 0.001, .burst = 2});
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(SendLimited(MakeCall("nowhere", {})).get().ok());
    EXPECT_FALSE(SendLimited(MakeCall("m", {})).get().ok());
  }
  InferenceCall part = Call(1, 2);
  part.admission = Admission::kPart;
  InferenceCall job = Call(1, 2);
  job.admission = Admission::kNone;
  EXPECT_TRUE(SendLimited(std::move(part)).get().ok());
  EXPECT_TRUE(SendLimited(std::move(job)).get().ok());

  tenancy::LimitState state;
  for (int i = 0; i < 2; ++i) {
    InferenceCall call = Call(1, 2);
    call.limit = &state;
    EXPECT_TRUE(SendLimited(std::move(call)).get().ok());
    EXPECT_EQ(state.name, "l");
    EXPECT_NEAR(state.remaining, 1 - i, 0.01);
  }
  EXPECT_EQ(SendLimited(Call(1, 2)).get().error().reason(), "rate_limited");
}

TEST_F(LimitedServiceTest, ACallThatWaitsHoldsItsPlaceUntilItEnds) {
  Set({.kind = tenancy::LimitKind::kConcurrency, .amount = 1});
  doubler_.Close();
  auto first = SendLimited(Call(1, 2));
  while (limiter_.buckets() == 0) std::this_thread::yield();
  EXPECT_EQ(SendLimited(Call(1, 2)).get().error().reason(), "concurrency_limited");
  doubler_.Open();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(SendLimited(Call(1, 2)).get().ok());
}

TEST_F(LimitedServiceTest, ACallHoldsItsPlaceInTheQueueUntilItsRunStarts) {
  Set({.kind = tenancy::LimitKind::kQueued, .amount = 1});
  doubler_.Close();
  auto running = SendLimited(Call(1, 2));
  doubler_.AwaitEntered(1);
  auto waiting = SendLimited(Call(1, 2));
  while (executor_.totals().queued_items < 1) std::this_thread::yield();

  tenancy::LimitState state;
  InferenceCall third = Call(1, 2);
  third.limit = &state;
  EXPECT_EQ(SendLimited(std::move(third)).get().error().reason(), "queue_limited");
  EXPECT_TRUE(state.refused);
  EXPECT_EQ(state.name, "l");

  doubler_.Open();
  EXPECT_TRUE(running.get().ok());
  EXPECT_TRUE(waiting.get().ok());
  EXPECT_TRUE(SendLimited(Call(1, 2)).get().ok());
}

TEST_F(LimitedServiceTest, TheMeasuredDeviceTimeIsCharged) {
  Set({.kind = tenancy::LimitKind::kDailyCost, .amount = 1e9});
  tenancy::LimitState state;
  const TimePoint started = clock_.Now();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(SendLimited(Call(1, 2)).get().ok());
  const double elapsed = Seconds(clock_.Now() - started) * 1000;
  ASSERT_TRUE(limiter_.Admit({.caller = *caller_, .model = "m"}, &state).ok());
  const double charged = 1e9 - state.remaining;
  const double measured =
      static_cast<double>(service_.Statistics("m", "").value().at(0).compute_infer.ns) * 1e-6;
  EXPECT_GT(measured, 0);
  EXPECT_GE(charged, measured * 0.999) << "the runs, with gathering and scattering";
  EXPECT_LE(charged, elapsed);
}

// --- Cached models

class CachedServiceTest : public LocalServiceTest {
 protected:
  CachedServiceTest() { AddCached("c", {.mode = models::CacheMode::kExact, .ttl = seconds(60)}); }
  ~CachedServiceTest() override { background_.Stop(seconds(10)); }

  void AddCached(const std::string& name, models::CacheConfig cache) {
    auto version = MakeVersion({.inputs = {{"IN", {-1, 2}}}, .name = name, .run = std::ref(doubler_)});
    auto config = *version->config;
    config.cache = cache;
    version->config = std::make_shared<const models::ModelConfig>(std::move(config));
    version->extension = cached_binder_.Bind(*version).value();
    catalog_.Add(version);
  }
  std::future<Result<InferenceAnswer>> Ask(InferenceCall call, tenancy::CallerRef caller = nullptr,
                                           const runtime::Context& ctx = runtime::Context()) {
    if (caller == nullptr) caller = caller_;
    auto promise = std::make_shared<std::promise<Result<InferenceAnswer>>>();
    auto future = promise->get_future();
    loops_.loop(0).Post([this, ctx, call = std::move(call), promise, caller]() mutable {
      runtime::Start(cached_.Infer(ctx, caller, std::move(call)),
                     [promise](Result<InferenceAnswer> answer) { promise->set_value(std::move(answer)); });
    });
    return future;
  }
  static InferenceCall Question(float a, float b, const std::string& model = "c") {
    return MakeCall(model, {{"IN", MakeFloats({1, 2}, {a, b})}});
  }
  std::size_t runs() { return doubler_.rows().size(); }

  cache::MemoryTier tier_{{.max_bytes = ByteCount{8} << 20}, clock_};
  cache::ResultCache results_{{.jitter = 0, .beta = 0}, tier_, clock_};
  cache::TenantEpochs tenants_;
  AnswerCache answers_{
      {.results = results_, .tier = tier_, .tenants = &tenants_, .clock = clock_, .registry = registry_}};
  RuntimeBinder cached_binder_{executor_, metrics_, clock_, 1024, {.answers = &answers_}};
  runtime::Scope background_;
  LocalService cached_{
      catalog_, executor_, tracer_, clock_, {.answers = &answers_, .background = &background_}};
};

TEST_F(CachedServiceTest, AnEqualCallIsAnsweredWithoutARun) {
  const auto first = Ask(Question(1, 2)).get();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->cache, CacheUse::kMiss);
  InferenceCall again = Question(1, 2);
  again.id = "mine";
  const auto second = Ask(std::move(again)).get();
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->cache, CacheUse::kHit);
  EXPECT_EQ(second->id, "mine");
  EXPECT_THAT(FloatsOf(second->outputs.at(0).tensor), ElementsAre(2, 4));
  EXPECT_EQ(second->outputs.at(0).name, first->outputs.at(0).name);
  EXPECT_EQ(runs(), 1U);
  const auto statistics = cached_.Statistics("c", "1").value();
  EXPECT_EQ(statistics.at(0).cache_hit.count, 1U);
  EXPECT_EQ(statistics.at(0).cache_miss.count, 1U);
  EXPECT_EQ(statistics.at(0).success.count, 2U);
}

TEST_F(CachedServiceTest, OtherInputsParametersAndTenantsAreOtherCalls) {
  ASSERT_TRUE(Ask(Question(1, 2)).get().ok());
  EXPECT_EQ(Ask(Question(1, 3)).get()->cache, CacheUse::kMiss);
  InferenceCall with = Question(1, 2);
  with.parameters.emplace_back("p", std::int64_t{1});
  EXPECT_EQ(Ask(std::move(with)).get()->cache, CacheUse::kMiss);
  const auto other = tenancy::testing::MakeCaller(
      tenancy::testing::MakeTenant("u", static_cast<std::uint32_t>(executor_.AddTenant({.name = "u"}))));
  EXPECT_EQ(Ask(Question(1, 2), other).get()->cache, CacheUse::kMiss);
  EXPECT_EQ(runs(), 4U);

  AddCached("public",
            {.mode = models::CacheMode::kExact, .ttl = seconds(60), .scope = models::CacheScope::kPublic});
  EXPECT_EQ(Ask(Question(1, 2, "public")).get()->cache, CacheUse::kMiss);
  EXPECT_EQ(Ask(Question(1, 2, "public"), other).get()->cache, CacheUse::kHit);
}

TEST_F(CachedServiceTest, NoStoreAndUncachedModelsAreLeftAlone) {
  for (int i = 0; i < 2; ++i) {
    InferenceCall call = Question(1, 2);
    call.no_store = true;
    EXPECT_EQ(Ask(std::move(call)).get()->cache, CacheUse::kBypass);
    EXPECT_EQ(Ask(Call(1, 2)).get()->cache, std::nullopt);
  }
  EXPECT_EQ(runs(), 4U);
}

TEST_F(CachedServiceTest, NoCacheComputesAnewAndKeepsThatUnlessTheEpochHasRisenMeanwhile) {
  const auto anew = [] {
    InferenceCall call = Question(1, 2);
    call.no_cache = true;
    return call;
  };
  EXPECT_EQ(Ask(anew()).get()->cache, CacheUse::kMiss);
  EXPECT_EQ(Ask(Question(1, 2)).get()->cache, CacheUse::kHit);
  EXPECT_EQ(Ask(anew()).get()->cache, CacheUse::kMiss);
  EXPECT_EQ(runs(), 2U);
  EXPECT_EQ(Ask(Question(1, 2)).get()->cache, CacheUse::kHit);
  doubler_.Close();
  auto late = Ask(anew());
  doubler_.AwaitEntered(3);
  results_.RaiseEpoch(results_.Find("c"));
  doubler_.Open();
  EXPECT_TRUE(late.get().ok());
  EXPECT_EQ(Ask(Question(1, 2)).get()->cache, CacheUse::kMiss)
      << "what began under the old epoch is not kept";
}

TEST_F(CachedServiceTest, ATenantsPurgedAnswersAreNotFoundAgain) {
  ASSERT_TRUE(Ask(Question(1, 2)).get().ok());
  EXPECT_EQ(Ask(Question(1, 2)).get()->cache, CacheUse::kHit);
  tenants_.Raise("another", "c");
  tenants_.Raise(caller_->tenant->id.str(), "another");
  EXPECT_EQ(Ask(Question(1, 2)).get()->cache, CacheUse::kHit);
  tenants_.Raise(caller_->tenant->id.str(), "c");
  EXPECT_EQ(Ask(Question(1, 2)).get()->cache, CacheUse::kMiss);
  EXPECT_EQ(Ask(Question(1, 2)).get()->cache, CacheUse::kHit);
}

TEST_F(CachedServiceTest, EqualCallsAtATimeRunOnce) {
  doubler_.Close();
  auto leader = Ask(Question(5, 6));
  doubler_.AwaitEntered(1);
  std::vector<std::future<Result<InferenceAnswer>>> followers;
  followers.reserve(50);
  for (int i = 0; i < 50; ++i) followers.push_back(Ask(Question(5, 6)));
  const auto late = Ask(Question(5, 6), nullptr, runtime::Context().WithDeadline(clock_.Now())).get();
  EXPECT_EQ(late.error().code(), Code::kDeadlineExceeded);
  doubler_.Open();
  EXPECT_EQ(leader.get()->cache, CacheUse::kMiss);
  for (auto& follower : followers) {
    const auto answer = follower.get();
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer->cache, CacheUse::kJoin);
    EXPECT_THAT(FloatsOf(answer->outputs.at(0).tensor), ElementsAre(10, 12));
  }
  EXPECT_EQ(runs(), 1U);
}

TEST_F(CachedServiceTest, ALeaderThatLeavesHandsOverToAFollower) {
  // The only slot is busy, so the leader waits in the queue.
  doubler_.Close();
  auto busy = Ask(Question(9, 9));
  doubler_.AwaitEntered(1);
  const runtime::Context leaving;
  auto leader = Ask(Question(5, 6), nullptr, leaving);
  auto follower = Ask(Question(5, 6));
  std::promise<void> queued;
  loops_.loop(0).Post([&] { queued.set_value(); });
  queued.get_future().wait();
  leaving.Cancel();
  EXPECT_EQ(leader.get().error().code(), Code::kCancelled);
  doubler_.Open();
  const auto answer = follower.get();
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->cache, CacheUse::kMiss);
  EXPECT_TRUE(busy.get().ok());
}

TEST_F(CachedServiceTest, ARefusalByTheModelIsKeptAndAFailureIsNot) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Ask(Question(666, 0)).get().error().reason(), "engine_rejected_input");
  }
  EXPECT_EQ(results_.statistics().at(0).negative, 1U);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Ask(Question(500, 0)).get().error().code(), Code::kInternal);
  EXPECT_EQ(results_.statistics().at(0).negative, 1U);
}

TEST_F(CachedServiceTest, AStaleAnswerIsServedWhileItIsComputedAnew) {
  AddCached("s", {.mode = models::CacheMode::kExact,
                  .ttl = std::chrono::milliseconds(30),
                  .stale_while_revalidate = seconds(60)});
  ASSERT_TRUE(Ask(Question(1, 2, "s")).get().ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EXPECT_EQ(Ask(Question(1, 2, "s")).get()->cache, CacheUse::kStale);
  const TimePoint limit = clock_.Now() + seconds(10);
  while (runs() < 2 && clock_.Now() < limit) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(runs(), 2U);
}

TEST_F(CachedServiceTest, ARaisedEpochHidesWhatWasComputed) {
  ASSERT_TRUE(Ask(Question(1, 2)).get().ok());
  results_.RaiseEpoch(results_.Model("c"));
  EXPECT_EQ(Ask(Question(1, 2)).get()->cache, CacheUse::kMiss);
  results_.SetTrusted(false);
  EXPECT_EQ(Ask(Question(1, 2)).get()->cache, CacheUse::kBypass);
  EXPECT_EQ(runs(), 3U);
}

}  // namespace
}  // namespace mezzo::inference
