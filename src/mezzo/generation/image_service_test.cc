#include "mezzo/generation/image_service.h"

#include <algorithm>
#include <future>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/generation/testing/fake_pipeline.h"
#include "mezzo/inference/testing/fake_models.h"

namespace mezzo::generation {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// Counts steps and keeps previews.
class Watcher final : public ImageObserver {
 public:
  void OnStep(const ImageStep& step) override {
    MutexLock lock(mu_);
    steps_.push_back(step.step);
  }
  void OnPreview(std::size_t /*image*/, std::size_t preview, tensor::Tensor sample) override {
    MutexLock lock(mu_);
    previews_[preview] = sample.shape.ToString();
  }
  void OnEnd(Duration device_time) override {
    MutexLock lock(mu_);
    device_time_ = device_time;
  }
  Duration device_time() {
    MutexLock lock(mu_);
    return device_time_;
  }
  std::vector<std::size_t> steps() {
    MutexLock lock(mu_);
    return steps_;
  }
  std::map<std::size_t, std::string> previews() {
    MutexLock lock(mu_);
    return previews_;
  }

 private:
  Mutex mu_;
  Duration device_time_ GUARDED_BY(mu_){};
  std::vector<std::size_t> steps_ GUARDED_BY(mu_);
  std::map<std::size_t, std::string> previews_ GUARDED_BY(mu_);
};

class ImageServiceTest : public ::testing::Test {
 protected:
  using Answer = std::future<Result<ImageResult>>;

  ~ImageServiceTest() override {
    fake_.unet.Open();
    loops_.Stop();
  }

  Answer Send(ImageRequest request, runtime::Context ctx = runtime::Context(),
              ImageObserver* observer = nullptr, sched::Class cls = sched::Class::kStandard) {
    auto promise = std::make_shared<std::promise<Result<ImageResult>>>();
    auto future = promise->get_future();
    const ImageService::Caller caller{.tenant = tenant_, .cls = cls};
    loops_.loop(0).Post([this, ctx, observer, caller, request = std::move(request), promise]() mutable {
      runtime::Start(service_.GenerateBy(ctx, caller, fake_.pipeline(), std::move(request), observer),
                     [promise](Result<ImageResult> result) { promise->set_value(std::move(result)); });
    });
    return future;
  }
  static ImageRequest Request(const std::string& prompt, std::uint64_t seed, std::size_t steps = 4) {
    ImageRequest request;
    request.prompt = prompt;
    request.seed = seed;
    request.steps = steps;
    return request;
  }
  static std::vector<float> Picture(const Result<ImageResult>& result, std::size_t index = 0) {
    return testing::Floats(result.value().images.at(index).sample);
  }

  RealClock clock_;
  observe::Registry registry_;
  inference::InferenceMetrics metrics_{registry_};
  sched::DeviceExecutor executor_{{.scheduler = {.slots = 1}, .inline_limit = Duration::zero()}, clock_};
  inference::RuntimeBinder binder_{executor_, metrics_, clock_, 1024};
  testing::FakePipeline fake_{binder_, {}};
  inference::testing::FakeCatalog catalog_;
  runtime::BlockingPool pool_{{.name = "images", .threads = 2}};
  ImageService service_{{.max_requests = 8}, {catalog_, executor_, pool_, clock_}};
  tenancy::TenantRef tenant_ = [this] {
    tenancy::Tenant tenant;
    tenant.id = TenantId("t");
    tenant.index = static_cast<std::uint32_t>(executor_.AddTenant({.name = "t"}));
    return std::make_shared<const tenancy::Tenant>(std::move(tenant));
  }();
  runtime::IoThreads loops_{1};
};

TEST_F(ImageServiceTest, MakesThePicturesOfARequestWithConsecutiveSeeds) {
  ImageRequest request = Request("a red ball", 7);
  request.images = 2;

  const auto result = Send(request).get();

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  ASSERT_THAT(result->images, SizeIs(2));
  EXPECT_EQ(result->images[0].seed, 7u);
  EXPECT_EQ(result->images[1].seed, 8u);
  EXPECT_EQ(result->images[0].sample.shape, (tensor::Shape{1, 3, 64, 64}));
  EXPECT_EQ(result->steps, 4u);
  EXPECT_GT(result->device_time, Duration::zero());
  EXPECT_EQ(Picture(Send(Request("a red ball", 8)).get()), Picture(result, 1));
  EXPECT_NE(Picture(result, 0), Picture(result, 1));
}

TEST_F(ImageServiceTest, PromptNegativePromptAndGuidanceChangeThePicture) {
  const auto plain = Picture(Send(Request("a red ball", 1)).get());
  ImageRequest negative = Request("a red ball", 1);
  negative.negative_prompt = "blue";
  ImageRequest stronger = Request("a red ball", 1);
  stronger.guidance = 12;

  EXPECT_NE(Picture(Send(Request("a green ball", 1)).get()), plain);
  EXPECT_NE(Picture(Send(negative).get()), plain);
  EXPECT_NE(Picture(Send(stronger).get()), plain);
}

TEST_F(ImageServiceTest, RequestsAtOtherStepsShareBatchesAndGetThePicturesThatTheyGetAlone) {
  // Other prompts, seeds, guidance (one and two rows), lengths and progress.
  std::vector<ImageRequest> requests = {Request("a", 1, 6), Request("b", 2, 9), Request("c", 3, 4)};
  requests[1].guidance = 1;
  requests[2].guidance = 3;
  std::vector<std::vector<float>> alone;
  alone.reserve(requests.size());
  for (const ImageRequest& request : requests) alone.push_back(Picture(Send(request).get()));
  const std::size_t before = fake_.unet.runs().size();

  fake_.unet.Close();
  Answer first = Send(requests[0]);
  fake_.unet.AwaitRuns(before + 1);
  Answer second = Send(requests[1]);
  Answer third = Send(requests[2]);
  fake_.text.AwaitRuns(4);
  while (executor_.totals().queued_items < 2) std::this_thread::yield();
  fake_.unet.Open();

  EXPECT_EQ(Picture(first.get()), alone[0]);
  EXPECT_EQ(Picture(second.get()), alone[1]);
  EXPECT_EQ(Picture(third.get()), alone[2]);
  std::set<std::vector<float>> shared;
  for (const auto& run : fake_.unet.runs()) {
    if (run.size() == 5) shared.insert(run);
  }
  EXPECT_FALSE(shared.empty()) << "no batch held all three requests";
}

TEST_F(ImageServiceTest, CancellationFreesThePlaceWithinOneStep) {
  fake_.unet.Close();
  const runtime::Context ctx;
  Answer cancelled = Send(Request("a", 1, 50), ctx);
  fake_.unet.AwaitRuns(1);
  Answer other = Send(Request("b", 2, 3));
  while (executor_.totals().queued_items < 1) std::this_thread::yield();

  ctx.Cancel();
  fake_.unet.Open();

  EXPECT_EQ(cancelled.get().error().reason(), "cancelled");
  EXPECT_TRUE(other.get().ok());
  // One run of the cancelled request, then only the other's three.
  EXPECT_THAT(fake_.unet.runs(), SizeIs(4));
  EXPECT_EQ(service_.requests(), 0u);
}

TEST_F(ImageServiceTest, ACancelledRequestThatWaitsRunsNotAtAll) {
  fake_.unet.Close();
  Answer running = Send(Request("a", 1, 2));
  fake_.unet.AwaitRuns(1);
  const runtime::Context ctx;
  Answer waiting = Send(Request("b", 2, 5), ctx);
  while (executor_.totals().queued_items < 1) std::this_thread::yield();

  ctx.Cancel();

  EXPECT_EQ(waiting.get().error().reason(), "cancelled");
  fake_.unet.Open();
  EXPECT_TRUE(running.get().ok());
  EXPECT_THAT(fake_.unet.runs(), SizeIs(2));
}

TEST_F(ImageServiceTest, NoStepBeginsAfterTheDeadline) {
  fake_.unet.Close();
  // Long enough that a busy machine begins the first step in time.
  const TimePoint deadline = clock_.Now() + std::chrono::seconds(1);
  Answer late = Send(Request("a", 1, 50), runtime::Context().WithDeadline(deadline));
  fake_.unet.AwaitRuns(1);
  while (clock_.Now() <= deadline) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  fake_.unet.Open();

  const auto result = late.get();

  EXPECT_EQ(result.error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(result.error().message(), HasSubstr("after step 1 of 50"));
  EXPECT_THAT(fake_.unet.runs(), SizeIs(1));
}

TEST_F(ImageServiceTest, AFailedStepEndsTheWholeRequestWithItsError) {
  std::atomic<int> asked = 0;
  fake_.fails = [&asked] { return ++asked > 2; };
  ImageRequest request = Request("a", 1, 10);
  request.images = 3;

  const auto result = Send(request).get();

  EXPECT_EQ(result.error().reason(), "engine_rejected_input");
  EXPECT_EQ(service_.requests(), 0u);
}

TEST_F(ImageServiceTest, AStepCacheSparesRunsOfTheNetworkAndSaysHowMany) {
  ImageRequest request = Request("a", 1, 20);
  request.guidance = 1;
  request.previews = 2;
  Watcher watcher;
  const auto full = Send(request).get();
  ASSERT_TRUE(full.ok()) << full.error().ToString();
  EXPECT_EQ(full->images[0].steps_reused, 0U);
  const std::size_t before = fake_.unet.runs().size();
  EXPECT_EQ(before, 20U);
  request.step_cache = 0.6;

  const auto cached = Send(request, runtime::Context(), &watcher).get();

  ASSERT_TRUE(cached.ok()) << cached.error().ToString();
  const std::size_t runs = fake_.unet.runs().size() - before;
  EXPECT_LT(runs, 20U);
  EXPECT_GE(runs, 3U);
  EXPECT_EQ(cached->images[0].steps_reused, 20 - runs);
  EXPECT_EQ(cached->steps, 20U);
  EXPECT_EQ(watcher.steps().size(), runs);
  EXPECT_EQ(watcher.steps().back(), 20U);
  EXPECT_THAT(watcher.previews(), AnyOf(SizeIs(2), SizeIs(1))) << "one may fall into steps that were spared";
  EXPECT_NE(Picture(cached), Picture(full));
}

TEST_F(ImageServiceTest, TellsEveryStepAndShowsPreviews) {
  Watcher watcher;
  ImageRequest request = Request("a", 1, 6);
  request.previews = 2;

  ASSERT_TRUE(Send(request, runtime::Context(), &watcher).get().ok());

  EXPECT_GT(watcher.device_time(), Duration::zero());
  EXPECT_THAT(watcher.steps(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(watcher.previews(), ElementsAre(std::pair(0, "[1,3,64,64]"), std::pair(1, "[1,3,64,64]")));
}

TEST_F(ImageServiceTest, WithOneTimestepForTheBatchOnlyRequestsAtTheSameStepShareIt) {
  testing::FakePipeline numbered(binder_, {.timestep_list = false});
  const auto list = Picture(Send(Request("a", 1, 3)).get());
  const auto send = [&](const ImageRequest& request) {
    auto promise = std::make_shared<std::promise<Result<ImageResult>>>();
    loops_.loop(0).Post([this, &numbered, request, promise] {
      runtime::Start(
          service_.GenerateBy(runtime::Context(), {.tenant = tenant_}, numbered.pipeline(), request, nullptr),
          [promise](Result<ImageResult> result) { promise->set_value(std::move(result)); });
    });
    return promise->get_future();
  };

  ImageRequest twice = Request("a", 1, 3);
  twice.images = 2;
  auto together = send(twice);
  auto apart = send(Request("b", 5, 8));

  EXPECT_EQ(Picture(together.get()), list);
  EXPECT_TRUE(apart.get().ok());
  for (const auto& run : numbered.unet.runs()) EXPECT_THAT(run, Each(run.front()));
  EXPECT_TRUE(std::ranges::any_of(numbered.unet.runs(), [](const auto& run) { return run.size() == 4; }));
}

TEST_F(ImageServiceTest, RefusesMoreRequestsThanItsLimit) {
  fake_.unet.Close();
  std::vector<Answer> answers;
  answers.reserve(8);
  for (int i = 0; i < 8; ++i) answers.push_back(Send(Request("a", 1, 1)));
  while (service_.requests() < 8) std::this_thread::yield();

  const auto refused = Send(Request("b", 1, 1)).get();

  EXPECT_EQ(refused.error().reason(), "too_many_images");
  EXPECT_TRUE(refused.error().IsRetryable());
  fake_.unet.Open();
  for (Answer& answer : answers) EXPECT_TRUE(answer.get().ok());
}

TEST_F(ImageServiceTest, AnUrgentRequestTakesItsNextStepBeforeAllOthers) {
  fake_.unet.Close();
  std::vector<Answer> bulk;
  for (std::uint64_t i = 0; i < 4; ++i) {
    bulk.push_back(Send(Request("a", i, 30), runtime::Context(), nullptr, sched::Class::kBulk));
    if (i == 0) fake_.unet.AwaitRuns(1);
  }
  while (executor_.totals().queued_items < 3) std::this_thread::yield();
  ImageRequest request = Request("b", 9, 5);
  request.guidance = 1;
  Answer urgent = Send(request, runtime::Context(), nullptr, sched::Class::kInteractive);
  while (executor_.totals().queued_items < 4) std::this_thread::yield();

  fake_.unet.Open();

  ASSERT_TRUE(urgent.get().ok());
  // The run in progress, the text encoding of the urgent one (not seen here), then its five steps of one row.
  const auto runs = fake_.unet.runs();
  ASSERT_GE(runs.size(), 6u);
  for (std::size_t i = 1; i <= 5; ++i) EXPECT_THAT(runs[i], SizeIs(1)) << "run " << i;
  for (Answer& answer : bulk) EXPECT_TRUE(answer.get().ok());
}

}  // namespace
}  // namespace mezzo::generation
