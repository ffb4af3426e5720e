#include "mezzo/generation/image_jobs.h"

#include <algorithm>
#include <set>

#include "golden_cases.h"
#include "pipeline_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/releases/router.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/memory_blob_store.h"

namespace mezzo::generation {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;

/// Files are the size, then the pixels.
class RawCodec final : public media::PictureCodec {
 public:
  Result<media::RgbaPicture> Decode(BytesView file, const media::PictureLimits& limits,
                                    media::FrameSize /*fit*/) override {
    if (file.size() < 2) return InvalidArgument("picture_invalid", "cut short");
    const media::FrameSize size{.width = std::to_integer<int>(file[0]),
                                .height = std::to_integer<int>(file[1])};
    if (file.size() > limits.max_bytes) return InvalidArgument("picture_too_large", "too large");
    media::RgbaPicture picture(size);
    for (int y = 0; y < size.height; ++y)
      std::memcpy(picture.row(y), file.data() + 2 + static_cast<std::size_t>(y) * picture.stride(),
                  picture.stride());
    return picture;
  }
  Result<std::string> Encode(const media::RgbaPicture& picture, media::PictureFormat format,
                             int quality) override {
    encoded.insert({format, quality});
    std::string file{static_cast<char>(picture.size().width), static_cast<char>(picture.size().height)};
    for (int y = 0; y < picture.size().height; ++y)
      file.append(reinterpret_cast<const char*>(picture.row(y)), picture.stride());
    return file;
  }
  std::set<std::pair<media::PictureFormat, int>> encoded;
};

/// Decodes as RawCodec does.
class RawUploads final : public media::UntrustedPictureDecoder {
 public:
  Result<media::RgbaPicture> Decode(BytesView file, media::FrameSize fit, TimePoint /*deadline*/) override {
    return RawCodec().Decode(file, {}, fit);
  }
};

/// An attempt that keeps what it is told.
class FakeRun final : public jobs::JobRun {
 public:
  explicit FakeRun(std::string request, std::int64_t attempt = 1) {
    job_.fence = {.id = jobs::JobId("0190b0a0-0000-7000-8000-000000000001"), .attempt = attempt};
    job_.tenant = TenantId("t");
    job_.request = std::move(request);
  }
  [[nodiscard]] const jobs::LeasedJob& job() const override { return job_; }
  [[nodiscard]] const runtime::Context& ctx() const override { return ctx_; }
  Result<void> Report(double progress, const std::string& stage) override {
    if (lost) return Cancelled("job_lease_lost", "lost");
    reports.emplace_back(progress, stage);
    if (cancels_drawing && progress > 0) ctx_.Cancel();
    return {};
  }
  Result<void> SaveCheckpoint(const std::string& /*checkpoint*/) override { return {}; }
  void AddDeviceTime(Duration time) override { device_time += time; }

  std::vector<std::pair<double, std::string>> reports;
  bool cancels_drawing = false;
  bool lost = false;
  Duration device_time{};

 private:
  jobs::LeasedJob job_;
  runtime::Context ctx_;
};

class ImageJobsTest : public PipelineFixture {
 protected:
  ImageJobsTest() : PipelineFixture({"sd2"}) {}

  static std::string Request(const std::string& input) {
    return R"({"model": "sd2", "version": "", "input": )" + input + "}";
  }

  RawCodec codec_;
  RawUploads uploads_;
  storage::testing::MemoryBlobStore store_{clock_};
  FileFetcher files_{{}, clock_};
  tenancy::Directory directory_{{.tenants = {tenant_}, .keys = {}, .anonymous = nullptr}, clock_};
  ImageJobs jobs_{{}, {service_, codec_, uploads_, store_, files_, directory_, loops_.loop(0), clock_}};
};

// Version 9 is nowhere: the stable version makes what it can't.
TEST_F(ImageJobsTest, ARoutePicksTheVersionAndTheStableOneStandsBehindIt) {
  observe::Registry registry;
  releases::Router router({}, {.clock = clock_, .registry = registry});
  const auto route_to = [&](std::int64_t version) {
    router.Replace({{.model = "sd2",
                     .revision = version,
                     .route = {.arms = {{.name = "canary",
                                         .version = releases::VersionName::Number(version),
                                         .weight = releases::kWholeWeight}},
                               .stable = releases::VersionName::Number(1)}}});
  };
  std::vector<std::string> asked;
  ImageJobs jobs({}, {.service = service_,
                      .codec = codec_,
                      .uploads = uploads_,
                      .store = store_,
                      .files = files_,
                      .directory = directory_,
                      .loop = loops_.loop(0),
                      .clock = clock_,
                      .pick = [&](const tenancy::Tenant& tenant, std::string_view model) {
                        asked.push_back(tenant.id.str() + "/" + std::string(model));
                        auto route = router.Find(model);
                        const auto pick = route->Choose({.tenant = tenant.id.str()}, clock_.Now());
                        return inference::VersionPick(std::move(route), pick, clock_);
                      }});
  for (const std::int64_t version : {1, 9}) {
    route_to(version);
    FakeRun run(Request(R"({"prompt": "a cat", "size": "64x64", "steps": 1})"));
    const auto result = jobs.Run(run);
    ASSERT_TRUE(result.ok()) << result.error().ToString();
    EXPECT_EQ(nlohmann::json::parse(*result)["version"], "1");
  }
  EXPECT_THAT(asked, ::testing::ElementsAre("t/sd2", "t/sd2"));
  FakeRun named(
      R"({"model": "sd2", "version": "1", "input": {"prompt": "a cat", "size": "64x64", "steps": 1}})");
  EXPECT_TRUE(jobs.Run(named).ok());
  EXPECT_THAT(asked, SizeIs(2)) << "who names a version gets it";
}

TEST_F(ImageJobsTest, ATrialHasHalfOfTheTimeThatIsLeft) {
  observe::Registry registry;
  releases::Router router({}, {.clock = clock_, .registry = registry});
  router.Replace({{.model = "sd2",
                   .revision = 1,
                   .route = {.arms = {{.name = "canary",
                                       .version = releases::VersionName::Number(2),
                                       .weight = releases::kWholeWeight}},
                             .stable = releases::VersionName::Number(1)}}});
  auto route = router.Find("sd2");
  const auto drawn = route->Choose({.tenant = "t"}, clock_.Now());
  const inference::VersionPick trial(std::move(route), drawn, clock_);
  const TimePoint now = clock_.Now();
  constexpr Duration kMinute = std::chrono::minutes(1);

  EXPECT_EQ(TrialDeadline(trial, now + kMinute, now), now + kMinute / 2);
  EXPECT_EQ(TrialDeadline(trial, now - kMinute, now), now) << "what is over stays so";
  EXPECT_EQ(TrialDeadline(trial, kNever, now), kNever);
  EXPECT_EQ(TrialDeadline(inference::VersionPick(), now + kMinute, now), kNever);
}

class PictureShadowsTest : public ImageJobsTest {
 protected:
  ~PictureShadowsTest() override { scope_.Stop(std::chrono::seconds(30)); }

  /// What copies came to.
  struct Seen final : releases::ArmOutcomes {
    void Record(const releases::ArmOutcome& outcome) override {
      MutexLock lock(mu);
      all.push_back(outcome);
      changed.NotifyAll();
    }
    releases::ArmOutcome Await() {
      MutexLock lock(mu);
      const TimePoint limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      while (all.empty() && changed.WaitUntil(mu, limit)) {
      }
      return all.empty() ? releases::ArmOutcome() : all.front();
    }
    Mutex mu;
    CondVar changed;
    std::vector<releases::ArmOutcome> all GUARDED_BY(mu);
  };
  struct Sink final : releases::OutcomeSink {
    std::shared_ptr<releases::ArmOutcomes> Arm(const std::string&, const std::string&,
                                               const std::string& arm) override {
      return arm == releases::kShadowArm ? shadow : nullptr;
    }
    std::shared_ptr<Seen> shadow = std::make_shared<Seen>();
  };

  /// A job whose copies go to `version`, of which the first one's outcome.
  releases::ArmOutcome ShadowedBy(std::int64_t version) {
    router_.Replace({{.model = "sd2",
                      .revision = version,
                      .route = {.arms = {{.name = "stable",
                                          .version = releases::VersionName::Number(1),
                                          .weight = releases::kWholeWeight}},
                                .shadows = {{.version = releases::VersionName::Number(version),
                                             .share = releases::kWholeWeight,
                                             .max_in_flight = 2}},
                                .stable = releases::VersionName::Number(1)}}});
    FakeRun run(Request(R"({"prompt": "a cat", "size": "64x64", "steps": 2})"));
    const auto result = jobs_with_shadows_.Run(run);
    EXPECT_TRUE(result.ok()) << result.error().ToString();
    EXPECT_EQ(nlohmann::json::parse(*result)["version"], "1");
    EXPECT_EQ(nlohmann::json::parse(*result)["route"], "stable;" + std::to_string(version));
    return sink_.shadow->Await();
  }

  observe::Registry route_metrics_;
  Sink sink_;
  releases::Router router_{{}, {.clock = clock_, .registry = route_metrics_, .outcomes = &sink_}};
  runtime::Scope scope_;
  PictureShadows shadows_{
      {}, {.service = service_, .pool = pool_, .loop = loops_.loop(0), .scope = scope_, .clock = clock_}};
  ImageJobs jobs_with_shadows_{{},
                               {.service = service_,
                                .codec = codec_,
                                .uploads = uploads_,
                                .store = store_,
                                .files = files_,
                                .directory = directory_,
                                .loop = loops_.loop(0),
                                .clock = clock_,
                                .pick =
                                    [this](const tenancy::Tenant& tenant, std::string_view model) {
                                      auto route = router_.Find(model);
                                      const auto pick =
                                          route->Choose({.tenant = tenant.id.str()}, clock_.Now());
                                      return inference::VersionPick(std::move(route), pick, clock_);
                                    },
                                .shadows = &shadows_}};
};

TEST_F(PictureShadowsTest, ACopyByAnEqualVersionIsAlike) {
  const releases::ArmOutcome outcome = ShadowedBy(1);

  EXPECT_FALSE(outcome.failed);
  ASSERT_TRUE(outcome.likeness.has_value());
  EXPECT_NEAR(*outcome.likeness, 1, 1e-6);
  EXPECT_GT(outcome.cost, 0);
}

TEST_F(PictureShadowsTest, ACopyThatFailsIsTheShadowsFailureAndNobodyElses) {
  const releases::ArmOutcome outcome = ShadowedBy(9);

  EXPECT_TRUE(outcome.failed);
  EXPECT_FALSE(outcome.likeness.has_value());
}

TEST_F(PictureShadowsTest, PicturesOfOtherSeedsAreNotAlike) {
  ImageRequest request;
  request.prompt = "a cat";
  request.size = {.width = 64, .height = 64};
  request.steps = 2;
  const auto one = Send("sd2", request).get();
  request.seed = 99;
  const auto other = Send("sd2", request).get();
  ASSERT_TRUE(one.ok() && other.ok());
  const tensor::Tensor& a = one->images[0].sample;
  const tensor::Tensor& b = other->images[0].sample;

  EXPECT_NEAR(Likeness(a, a), 1, 1e-9);
  EXPECT_LT(Likeness(a, b), 0.9);
  EXPECT_EQ(Likeness(std::span(&a, 1), {}), 0);
  EXPECT_EQ(Likeness(a, tensor::Tensor()), 0);
}

TEST_F(ImageJobsTest, StoresThePicturesThatTheServiceDraws) {
  FakeRun run(
      Request(
          R"({"prompt": "a cat", "n": 2, "size": "64x64", "steps": 3, "seed": 5, "output_format": "webp",)"
          R"( "quality": 70})"),
      2);

  const auto result = jobs_.Run(run);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  const auto json = nlohmann::json::parse(*result);
  ASSERT_THAT(json["images"], SizeIs(2));
  EXPECT_EQ(json["model"], "sd2");
  EXPECT_EQ(json["version"], "1");
  EXPECT_EQ(json["steps"], 3);
  EXPECT_GT(json["device_ms"].get<double>(), 0);
  const auto& second = json["images"][1];
  EXPECT_EQ(second["artifact"], "t/0190b0a0-0000-7000-8000-000000000001/2/image-1.webp");
  EXPECT_EQ(second["content_type"], "image/webp");
  EXPECT_EQ(second["width"], 64);
  EXPECT_EQ(second["seed"], 6);
  EXPECT_EQ(codec_.encoded,
            (std::set<std::pair<media::PictureFormat, int>>{{media::PictureFormat::kWebp, 70}}));
  const auto key = storage::BlobKey::Parse(second["artifact"].get<std::string>());
  const auto file = storage::ReadBlob(store_, *key, 1 << 20, clock_.Now() + std::chrono::seconds(5));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->size(), second["bytes"].get<std::size_t>());

  ImageRequest same;
  same.prompt = "a cat";
  same.size = {.width = 64, .height = 64};
  same.steps = 3;
  same.seed = 6;
  const auto direct = Send("sd2", same).get();
  const auto picture = ToPicture(direct->images[0].sample);
  EXPECT_EQ(*file, *RawCodec().Encode(*picture, media::PictureFormat::kPng, 1));
  EXPECT_GT(run.device_time, Duration::zero());
  for (const auto& [progress, stage] : run.reports) EXPECT_THAT(progress, AllOf(Ge(0), Le(1)));
}

TEST_F(ImageJobsTest, EveryAttemptOfAJobWithoutASeedDrawsTheSame) {
  const std::string request = Request(R"({"prompt": "a cat", "size": "64x64", "steps": 1})");
  FakeRun first(request, 1);
  FakeRun second(request, 2);

  const auto a = nlohmann::json::parse(jobs_.Run(first).value());
  const auto b = nlohmann::json::parse(jobs_.Run(second).value());

  EXPECT_EQ(a["images"][0]["seed"], b["images"][0]["seed"]);
  EXPECT_NE(a["images"][0]["artifact"], b["images"][0]["artifact"]);
}

TEST_F(ImageJobsTest, ATransparentMaskIsPaintedAnewWhereItIsTransparent) {
  const media::RgbaPicture white_mask = GoldenInput("mask", 1);
  media::RgbaPicture clear_mask(white_mask.size());
  for (int y = 0; y < 64; ++y) {
    for (std::size_t x = 0; x < 64; ++x) clear_mask.row(y)[x * 4 + 3] = 255 - white_mask.row(y)[x * 4];
  }
  const auto draw = [&](const media::RgbaPicture& mask) {
    const auto base64 = [](const media::RgbaPicture& picture) {
      return Base64Encode(*RawCodec().Encode(picture, media::PictureFormat::kPng, 1));
    };
    FakeRun run(Request(R"({"prompt": "a", "steps": 4, "seed": 1, "image": {"base64": ")" +
                        base64(GoldenInput("picture", 3)) + R"("}, "mask": {"base64": ")" + base64(mask) +
                        R"("}})"));
    const auto result = jobs_.Run(run);
    EXPECT_TRUE(result.ok()) << result.error().ToString();
    const auto key = storage::BlobKey::Make(TenantId("t"), run.job().fence.id.str(), 1, "image-0.png");
    return *storage::ReadBlob(store_, *key, 1 << 20, clock_.Now() + std::chrono::seconds(5));
  };

  EXPECT_EQ(draw(clear_mask), draw(white_mask));
}

TEST_F(ImageJobsTest, StartsFromAnArtifactOfTheTenant) {
  const auto key = storage::BlobKey::Make(TenantId("t"), "up", 1, "in.raw");
  const std::string file = *RawCodec().Encode(GoldenInput("picture", 3), media::PictureFormat::kPng, 1);
  ASSERT_TRUE(
      storage::WriteBlob(store_, *key, AsBytes(file), {}, clock_.Now() + std::chrono::seconds(5)).ok());
  const std::string input =
      R"({"prompt": "a cat", "steps": 4, "seed": 1, "strength": 0.5, "image": {"artifact": ")";
  FakeRun run(Request(input + key->text() + R"("}})"));
  FakeRun foreign(Request(input + R"(other/up/1/in.raw"}})"));

  const auto result = jobs_.Run(run);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  EXPECT_EQ(nlohmann::json::parse(*result)["steps"], 2);
  const auto refused = jobs_.Run(foreign);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("not an artifact of this tenant"));
}

TEST_F(ImageJobsTest, PartialPicturesAreStoredOnTheWay) {
  FakeRun run(Request(R"({"prompt": "a cat", "size": "64x64", "steps": 6, "n": 2, "partial_images": 2})"));

  ASSERT_TRUE(jobs_.Run(run).ok());

  for (const std::string name :
       {"partial-0-0.png", "partial-0-1.png", "partial-1-0.png", "partial-1-1.png"}) {
    const auto key = storage::BlobKey::Make(TenantId("t"), run.job().fence.id.str(), 1, name);
    EXPECT_TRUE(store_.Stat(*key, clock_.Now() + std::chrono::seconds(5)).ok()) << name;
  }
}

TEST_F(ImageJobsTest, ACancelledJobEndsCancelled) {
  FakeRun run(Request(R"({"prompt": "a cat", "size": "64x64", "steps": 100})"));
  run.cancels_drawing = true;

  const auto result = jobs_.Run(run);

  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kCancelled);
  EXPECT_GT(run.device_time, Duration::zero()) << "what was drawn is charged";
}

TEST_F(ImageJobsTest, ChecksRequestsBeforeTheyAreQueued) {
  const TenantId tenant("t");
  const auto estimate = jobs_.Check(tenant, Request(R"({"prompt": "a", "steps": 10})"));
  const auto longer = jobs_.Check(tenant, Request(R"({"prompt": "a", "steps": 20})"));
  ASSERT_TRUE(estimate.ok()) << estimate.error().ToString();
  EXPECT_EQ(estimate->model, "sd2");
  EXPECT_GT(estimate->cost, 0);
  EXPECT_GT(longer->cost, 1.5 * estimate->cost);

  const auto error = [&](const std::string& request) {
    const auto checked = jobs_.Check(tenant, request);
    return checked.ok() ? std::string("accepted")
                        : checked.error().reason() + ": " + checked.error().message();
  };
  EXPECT_THAT(error(R"({"model": "none", "input": {"prompt": "a"}})"), HasSubstr("model_unknown"));
  EXPECT_THAT(error(Request(R"({"prompt": "a", "steps": 1000})")),
              HasSubstr("'steps' is 1000; it has to be 1 to 150"));
  EXPECT_THAT(error(Request(R"({"prompt": "a", "partial_images": 4})")),
              HasSubstr("'partial_images' is 4; it has to be 0 to 3"));
  EXPECT_THAT(error(Request(R"({"prompt": "a", "stepps": 10})")),
              HasSubstr("'input.stepps' is not known here"));
}

TEST(ClassOfTier, TakesTheNextLowerClassThatTheTenantMayUse) {
  tenancy::Tenant tenant;
  tenant.classes = {false, true, false};

  EXPECT_EQ(*ClassOfTier(jobs::Tier::kPaid, tenant), sched::Class::kStandard);
  EXPECT_EQ(*ClassOfTier(jobs::Tier::kUrgent, tenant), sched::Class::kStandard);
  EXPECT_EQ(ClassOfTier(jobs::Tier::kFree, tenant).error().reason(), "class_not_allowed");
}

}  // namespace
}  // namespace mezzo::generation
