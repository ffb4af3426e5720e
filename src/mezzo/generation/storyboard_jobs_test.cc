#include "mezzo/generation/storyboard_jobs.h"

#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/sanitizers.h"
#include "mezzo/generation/testing/storyboard_fakes.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/releases/router.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/faulty_blob_store.h"
#include "mezzo/storage/testing/memory_blob_store.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::generation {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// Three shots of a tenth of a second; the second one is an upload.
Json Input() {
  return Json::parse(
      R"({"resolution": "720p", "aspect": "square", "fps": 24, "style": "minimal", "music": "none",
    "shots": [{"prompt": "a cup", "duration": 0.1, "subtitle": {"en": "One"}},
              {"picture": "shop/uploads/1/logo.png", "duration": 0.1, "speech": "hello"},
              {"prompt": "a table", "duration": 0.1}]})");
}

class StoryboardJobsTest : public ::testing::Test {
 protected:
  StoryboardJobsTest() { Put("shop/uploads/1/logo.png", "picture 40 30 200 200 200"); }

  void Put(const std::string& key, const std::string& bytes) {
    ASSERT_TRUE(storage::WriteBlob(memory_, *storage::BlobKey::Parse(key), AsBytes(bytes), {}, kNever).ok());
  }
  std::string Get(const std::string& key) {
    const auto bytes = storage::ReadBlob(memory_, *storage::BlobKey::Parse(key), 1'000'000, kNever);
    EXPECT_TRUE(bytes.ok()) << key << ": " << bytes.error().ToString();
    return bytes.ok() ? *bytes : "";
  }
  std::vector<std::string> Keys(const std::string& job) {
    std::vector<std::string> out;
    const auto page = memory_.List(*storage::BlobPrefix::Of(TenantId("shop"), job), "", 1000, kNever);
    for (const auto& entry : page->entries) out.push_back(entry.key.text());
    return out;
  }

  testing::FakeRun NewRun(std::int64_t attempt = 1, const std::string& job = "job1") {
    const Json request = {{"model", model_}, {"version", ""}, {"input", input_}};
    return testing::FakeRun({.fence = {jobs::JobId(job), attempt},
                             .tenant = TenantId("shop"),
                             .kind = "storyboard",
                             .tier = jobs::Tier::kUrgent,
                             .request = request.dump()},
                            checkpoint_);
  }
  Result<std::string> Check() {
    const Json request = {{"model", model_}, {"version", ""}, {"input", input_}};
    MEZZO_TRY(const auto estimate, handler_.Check(TenantId("shop"), request.dump()));
    return estimate.model + " " + std::to_string(static_cast<int>(estimate.cost));
  }
  std::string ErrorOfCheck() {
    const auto checked = Check();
    return checked.ok() ? "it was taken" : checked.error().reason() + ": " + checked.error().message();
  }

  mezzo::testing::ManualClock clock_;
  const RealClock real_clock_;
  storage::testing::MemoryBlobStore memory_{clock_};
  storage::testing::BlobFaults faults_;
  storage::testing::FaultyBlobStore blobs_{memory_, faults_};
  testing::FakePainter painter_;
  FileFetcher files_{{.reach = net::AddressGuard::Reach::kPrivate, .allow_http = true}, real_clock_};
  testing::FakeUploads uploads_;
  testing::FakeCodec codec_;
  testing::FakeSounds sounds_;
  testing::FakeSpeech speech_;
  testing::FakeEncoders encoders_;
  testing::FakeTexts texts_;
  media::VideoRenderer renderer_{{.threads = 1}, encoders_, texts_, clock_};
  media::DegradationLevel level_ = media::DegradationLevel::kFull;
  StoryboardJobs handler_{WithLimits(),
                          {painter_, blobs_, files_, uploads_, codec_, sounds_, speech_, renderer_, clock_,
                           [this] { return level_; }}};
  Json input_ = Input();
  std::string model_ = "sd";
  std::string checkpoint_;

 private:
  static StoryboardJobs::Options WithLimits() {
    StoryboardJobs::Options options;
    options.limits.min_total = options.limits.min_shot = std::chrono::milliseconds(100);
    return options;
  }
};

TEST_F(StoryboardJobsTest, CheckNamesTheModelAndTheCostOfThePaintedShots) { EXPECT_EQ(*Check(), "sd 4"); }

TEST_F(StoryboardJobsTest, WhatCannotWorkIsRefusedBeforeItIsQueued) {
  model_ = "unknown";
  EXPECT_EQ(ErrorOfCheck(), "model_unknown: there is no model 'unknown'");
  model_ = "";
  EXPECT_EQ(ErrorOfCheck(),
            "storyboard_request: 'model' is missing: shots[0] has no picture, so that a model must paint it");
  model_ = "sd";
  input_["shots"][1]["picture"] = "other/uploads/1/logo.png";
  EXPECT_EQ(
      ErrorOfCheck(),
      "storyboard_reference: shots[1].picture is 'other/uploads/1/logo.png'; it must be the key of an object "
      "of this tenant, or an address");
  input_ = Input();
  input_["logo"] = {{"picture", "nonsense"}};
  EXPECT_THAT(ErrorOfCheck(), HasSubstr("storyboard_reference: logo.picture is 'nonsense'"));
  input_ = Input();
  input_["music"] = {{"upload", "x"}, {"fade_in", 0}, {"fade_out", 0}};
  EXPECT_THAT(ErrorOfCheck(), HasSubstr("storyboard_reference: music.upload is 'x'"));
  input_ = Input();
  input_["shots"][0]["duration"] = 99;
  EXPECT_THAT(ErrorOfCheck(), HasSubstr("storyboard_invalid: shots[0].duration is 99"));
  input_ = Input();
  input_["painting"] = {{"stpes", 4}};
  EXPECT_EQ(ErrorOfCheck(), "storyboard_request: 'painting.stpes' is not a known member");
}

TEST_F(StoryboardJobsTest, MakesTheVideoAndEverythingBesideIt) {
  auto run = NewRun();

  const auto result = handler_.Run(run);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  const Json json = Json::parse(*result);
  EXPECT_THAT(Keys("job1"), ElementsAre("shop/job1/1/shot-0-v1.png", "shop/job1/1/shot-2-v1.png",
                                        "shop/job1/1/sprites-v1.webp", "shop/job1/1/storyboard-v1.json",
                                        "shop/job1/1/subtitles-en-v1.vtt", "shop/job1/1/thumbnail-v1.webp",
                                        "shop/job1/1/video-v1.mp4"));
  EXPECT_EQ(json["video"]["artifact"], "shop/job1/1/video-v1.mp4");
  EXPECT_EQ(json["video"]["content_type"], "video/mp4");
  EXPECT_EQ(json["video"]["width"], 720);
  EXPECT_EQ(json["video"]["bytes"], 7) << "one for each frame";
  EXPECT_EQ(Get("shop/job1/1/video-v1.mp4").size(), 7U);
  EXPECT_THAT(Get("shop/job1/1/subtitles-en-v1.vtt"), HasSubstr("One"));
  EXPECT_EQ(json["subtitles"][0]["language"], "en");
  EXPECT_EQ(json["sprites"]["tile_width"], 160);
  EXPECT_EQ(json["shots"][0]["painted"], true);
  EXPECT_EQ(json["shots"][1]["artifact"], "shop/uploads/1/logo.png");
  EXPECT_EQ(json["degradation"], "full");
  EXPECT_THAT(json["notes"], IsEmpty());
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(run.device_time, std::chrono::milliseconds(20));
  EXPECT_THAT(speech_.spoken, ElementsAre("hello"));
}

TEST_F(StoryboardJobsTest, ThePainterIsAskedInTheStyleOfTheVideo) {
  input_["painting"] = {{"seed", 40}, {"steps", 8}, {"guidance", 1.5}};
  auto run = NewRun();

  ASSERT_TRUE(handler_.Run(run).ok());

  ASSERT_EQ(painter_.orders.size(), 2U);
  const ShotOrder& order = painter_.orders[1];
  EXPECT_EQ(order.model, "sd");
  EXPECT_EQ(order.tenant.str(), "shop");
  EXPECT_EQ(order.tier, jobs::Tier::kUrgent);
  EXPECT_THAT(order.prompt, ::testing::StartsWith("a table, plain studio background"));
  EXPECT_THAT(order.negative_prompt, HasSubstr("watermark"));
  EXPECT_EQ(order.frame, (media::FrameSize{720, 720}));
  EXPECT_EQ(order.seed, 42U) << "the third shot's";
  EXPECT_EQ(order.steps, 8U);
  EXPECT_EQ(order.guidance, 1.5);
  EXPECT_EQ(order.steps_factor, 1);
}

TEST_F(StoryboardJobsTest, ProgressRisesThroughTheStages) {
  auto run = NewRun();
  ASSERT_TRUE(handler_.Run(run).ok());

  std::vector<std::string> stages;
  double before = 0;
  for (const auto& told : run.told) {
    EXPECT_GE(told.progress, before) << told.stage;
    EXPECT_LE(told.progress, 1);
    before = told.progress;
    if (stages.empty() || stages.back() != told.stage) stages.push_back(told.stage);
  }
  EXPECT_THAT(stages, ElementsAre("shot 1 of 3", "shot 3 of 3", "sound", "encoding", "storing"));
}

/// Which shots of `job` lie in the store.
std::set<std::size_t> ShotsIn(const std::vector<std::string>& keys) {
  std::set<std::size_t> out;
  for (const std::string& key : keys) {
    const std::size_t at = key.find("/shot-");
    if (at != std::string::npos) out.insert(static_cast<std::size_t>(key[at + 6] - '0'));
  }
  return out;
}

TEST_F(StoryboardJobsTest, AfterAKillAtAnyCallOfTheStoreNoFinishedShotIsPaintedAgain) {
  constexpr std::size_t kStride = kSanitized ? 5 : 1;  // Every call without a sanitizer.
  using When = storage::testing::BlobFaults::When;
  for (const When when : {When::kBefore, When::kAfter}) {
    std::size_t n = 1;
    for (bool hit = true; hit; n += kStride) {
      const std::string job = "kill" + std::to_string(n) + (when == When::kAfter ? "a" : "b");
      checkpoint_.clear();
      faults_.FailFrom(n, when);
      auto first = NewRun(1, job);
      const auto killed = handler_.Run(first);
      hit = faults_.hit();
      faults_.FailNone();
      ASSERT_EQ(killed.ok(), !hit) << "call " << n;
      const std::set<std::size_t> finished = ShotsIn(Keys(job));
      painter_.orders.clear();

      auto second = NewRun(2, job);
      const auto result = handler_.Run(second);

      ASSERT_TRUE(result.ok()) << "call " << n << ": " << result.error().ToString();
      EXPECT_EQ(painter_.orders.size() + finished.size(), 2U) << "call " << n;
      EXPECT_EQ(ShotsIn(Keys(job)), (std::set<std::size_t>{0, 2})) << "call " << n;
      EXPECT_EQ(Json::parse(*result)["video"]["artifact"], "shop/" + job + "/2/video-v1.mp4");
    }
    EXPECT_GT(n, 25U);
  }
}

TEST_F(StoryboardJobsTest, AnAttemptThatLosesItsLeaseAtAnyReportStopsThere) {
  std::size_t n = 1;
  for (bool lost = true; lost; ++n) {
    auto run = NewRun(1, "lease" + std::to_string(n));
    run.lost_at = n;

    const auto result = handler_.Run(run);

    lost = run.cancelled();
    if (lost) EXPECT_EQ(result.error().code(), Code::kCancelled) << "report " << n;
    EXPECT_EQ(result.ok(), !lost);
  }
  EXPECT_GT(n, 6U);
}

TEST_F(StoryboardJobsTest, EveryAttemptPaintsWithTheSameSeedAndOtherJobsWithOthers) {
  auto first = NewRun(1, "a");
  ASSERT_TRUE(handler_.Run(first).ok());
  painter_.fail_at = 1;
  painter_.orders.clear();
  auto broken = NewRun(1, "b");
  ASSERT_FALSE(handler_.Run(broken).ok());
  painter_.fail_at = SIZE_MAX;
  auto retried = NewRun(2, "b");
  const auto result = handler_.Run(retried);
  ASSERT_TRUE(result.ok());

  const Json shots = Json::parse(*result)["shots"];
  EXPECT_EQ(shots[0]["artifact"], "shop/b/1/shot-0-v1.png") << "of the first attempt";
  EXPECT_EQ(shots[2]["artifact"], "shop/b/2/shot-2-v1.png");
  EXPECT_EQ(painter_.orders[0].seed, shots[0]["seed"]);
  EXPECT_NE(painter_.orders[0].seed, painter_.orders[1].seed);
  auto other = NewRun(1, "c");
  ASSERT_TRUE(handler_.Run(other).ok());
  EXPECT_NE(painter_.orders[2].seed, painter_.orders[0].seed);
}

TEST_F(StoryboardJobsTest, CancellationIsHonouredBeforeTheNextShot) {
  auto run = NewRun();
  painter_.on_paint = [&run](std::size_t painted) {
    if (painted == 0) run.ctx().Cancel();
  };

  const auto result = handler_.Run(run);

  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kCancelled);
  EXPECT_EQ(painter_.orders.size(), 1U);
}

TEST_F(StoryboardJobsTest, CancellationIsHonouredAtTheNextFrameAndNoVideoAppears) {
  auto run = NewRun();
  std::uint64_t last = 0;
  encoders_.on_frame = [&](std::uint64_t frame) {
    last = frame;
    if (frame == 3) run.ctx().Cancel();
  };

  const auto result = handler_.Run(run);

  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kCancelled);
  EXPECT_EQ(last, 3U);
  EXPECT_THAT(Keys("job1"), Not(::testing::Contains(HasSubstr("video"))));
}

TEST_F(StoryboardJobsTest, WhatTheLadderGivesUpIsDecidedOnceAndSaid) {
  input_["resolution"] = "1080p";
  level_ = media::DegradationLevel::kSmaller;
  painter_.fail_at = 1;
  auto first = NewRun(1);
  ASSERT_FALSE(handler_.Run(first).ok());
  painter_.fail_at = SIZE_MAX;
  level_ = media::DegradationLevel::kFull;

  auto second = NewRun(2);
  const auto result = handler_.Run(second);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  const Json json = Json::parse(*result);
  EXPECT_EQ(json["degradation"], "smaller");
  EXPECT_EQ(json["video"]["width"], 720);
  EXPECT_EQ(json["notes"].size(), 3U);
  EXPECT_EQ(painter_.orders.back().steps_factor, 0.5);
  EXPECT_THAT(speech_.spoken, IsEmpty());
}

TEST_F(StoryboardJobsTest, ARedoMakesOneShotAnewAndANewVersion) {
  auto run = NewRun(1, "first");
  ASSERT_TRUE(handler_.Run(run).ok());
  painter_.orders.clear();
  checkpoint_.clear();
  input_ = Json::parse(R"({"redo": {"job": "first", "shots": [{"shot": 2, "prompt": "a chair"}]}})");
  model_ = "";

  ASSERT_TRUE(Check().ok());
  auto redo = NewRun(1, "second");
  const auto result = handler_.Run(redo);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  const Json json = Json::parse(*result);
  ASSERT_EQ(painter_.orders.size(), 1U);
  EXPECT_THAT(painter_.orders[0].prompt, ::testing::StartsWith("a chair"));
  EXPECT_EQ(painter_.orders[0].model, "sd") << "the first video's";
  EXPECT_EQ(json["version"], 2);
  EXPECT_EQ(json["redo_of"], "first");
  EXPECT_EQ(json["shots"][0]["artifact"], "shop/first/1/shot-0-v1.png");
  EXPECT_EQ(json["shots"][2]["artifact"], "shop/second/1/shot-2-v2.png");
  EXPECT_EQ(json["video"]["artifact"], "shop/second/1/video-v2.mp4");

  input_ = Json::parse(R"({"redo": {"job": "second", "shots": [{"shot": 0}]}})");
  checkpoint_.clear();
  auto again = NewRun(1, "third");
  const auto third = handler_.Run(again);
  ASSERT_TRUE(third.ok()) << third.error().ToString();
  EXPECT_EQ(Json::parse(*third)["version"], 3);
  EXPECT_EQ(Json::parse(*third)["shots"][2]["artifact"], "shop/second/1/shot-2-v2.png");
}

TEST_F(StoryboardJobsTest, ARedoOfWhatIsNotThereFails) {
  const auto error = [this](const char* input) {
    input_ = Json::parse(input);
    auto run = NewRun(1, "redo");
    const auto result = handler_.Run(run);
    return result.ok() ? "it was made" : result.error().reason() + ": " + result.error().message();
  };
  EXPECT_EQ(error(R"({"redo": {"job": "none", "shots": [{"shot": 0}]}})"),
            "storyboard_unknown: job 'none' has no finished video to make again");

  input_ = Input();
  auto run = NewRun(1, "first");
  ASSERT_TRUE(handler_.Run(run).ok());
  EXPECT_EQ(error(R"({"redo": {"job": "first", "shots": [{"shot": 3}]}})"),
            "storyboard_request: redo names shot 3, and the video has 3 (the first is 0)");
}

TEST_F(StoryboardJobsTest, AnUploadThatIsNoPictureFailsWithItsPlace) {
  Put("shop/uploads/1/logo.png", "not a picture");
  auto run = NewRun();

  const auto result = handler_.Run(run);

  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().reason(), "picture_invalid");
  EXPECT_THAT(result.error().message(), ::testing::StartsWith("shots[1].picture: "));
}

TEST_F(StoryboardJobsTest, UploadedMusicIsReadFromTheStore) {
  Put("shop/uploads/1/song.mp3", "la la");
  input_["music"] = {{"upload", "shop/uploads/1/song.mp3"}, {"fade_in", 0}, {"fade_out", 0}};
  auto run = NewRun();

  const auto result = handler_.Run(run);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  EXPECT_THAT(sounds_.files, ElementsAre("la la"));
}

class RoutedStoryboardsTest : public StoryboardJobsTest {
 protected:
  /// Version 2 is tried, 1 stands by.
  RoutedStoryboardsTest() { RouteTo(2); }
  void RouteTo(std::int64_t version) {
    router_.Replace({{.model = "sd",
                      .revision = 7,
                      .route = {.arms = {{.name = "canary",
                                          .version = releases::VersionName::Number(version),
                                          .weight = releases::kWholeWeight}},
                                .stable = releases::VersionName::Number(1)}}});
  }
  [[nodiscard]] std::vector<std::string> Asked() const {
    std::vector<std::string> versions;
    for (const ShotOrder& order : painter_.orders) versions.push_back(order.version);
    return versions;
  }

  observe::Registry registry_;
  releases::Router router_{{}, {.clock = clock_, .registry = registry_}};
  StoryboardJobs routed_ = [this] {
    StoryboardJobs::Options options;
    options.limits.min_total = options.limits.min_shot = std::chrono::milliseconds(100);
    return StoryboardJobs(options, {painter_, blobs_, files_, uploads_, codec_, sounds_, speech_, renderer_,
                                    clock_, [this] { return level_; },
                                    [this](const TenantId& tenant, std::string_view model) {
                                      EXPECT_EQ(tenant.str(), "shop");
                                      auto route = router_.Find(model);
                                      const auto pick = route->Choose({.tenant = "shop"}, clock_.Now());
                                      return inference::VersionPick(std::move(route), pick, clock_);
                                    }});
  }();
};

TEST_F(RoutedStoryboardsTest, AllShotsAreByTheVersionThatTheRoutePicks) {
  auto run = NewRun();
  const auto result = routed_.Run(run);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  EXPECT_THAT(Asked(), ElementsAre("2", "2"));
  const Json json = Json::parse(*result);
  EXPECT_EQ(json["route"], "canary;7");
  EXPECT_EQ(json["model_version"], "2");
  EXPECT_EQ(json["shots"][0]["artifact"], "shop/job1/1/shot-0-by-2-v1.png");
}

TEST_F(RoutedStoryboardsTest, WhatTheNewVersionFailsTheStableOnePaintsFromTheFirstShotOn) {
  bool failed = false;
  painter_.on_paint = [&](std::size_t painted) {
    painter_.fail_at = painted == 1 && !failed ? 1 : SIZE_MAX;
    failed = failed || painted == 1;
  };
  auto run = NewRun();

  const auto result = routed_.Run(run);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  EXPECT_THAT(Asked(), ElementsAre("2", "1", "1")) << "the shot that was there is painted again";
  const Json json = Json::parse(*result);
  EXPECT_EQ(json["route"], "stable;7");
  EXPECT_EQ(json["shots"][0]["artifact"], "shop/job1/1/shot-0-by-1-v1.png");
  EXPECT_EQ(json["shots"][2]["artifact"], "shop/job1/1/shot-2-by-1-v1.png");
}

TEST_F(RoutedStoryboardsTest, ALaterAttemptThatIsRoutedElsewhereMixesNoVersions) {
  std::size_t calls = 0;
  painter_.on_paint = [&](std::size_t) {
    painter_.fail_at = ++calls >= 2 ? painter_.orders.size() : SIZE_MAX;
  };
  auto first = NewRun(1);
  ASSERT_FALSE(routed_.Run(first).ok()) << "the stable version fails as well";
  painter_.on_paint = nullptr;
  painter_.fail_at = SIZE_MAX;
  painter_.orders.clear();
  RouteTo(1);

  auto second = NewRun(2);
  const auto result = routed_.Run(second);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  EXPECT_THAT(Asked(), ElementsAre("1", "1"));
  EXPECT_EQ(Json::parse(*result)["shots"][0]["artifact"], "shop/job1/2/shot-0-by-1-v1.png");
}

TEST_F(RoutedStoryboardsTest, ARedoGoesOnByTheVersionThatPaintedTheRest) {
  auto run = NewRun(1, "first");
  ASSERT_TRUE(routed_.Run(run).ok());
  painter_.orders.clear();
  RouteTo(1);
  input_ = Json::parse(R"({"redo": {"job": "first", "shots": [{"shot": 2, "prompt": "a chair"}]}})");
  model_ = "";

  auto redo = NewRun(1, "second");
  const auto result = routed_.Run(redo);

  ASSERT_TRUE(result.ok()) << result.error().ToString();
  EXPECT_THAT(Asked(), ElementsAre("2"));
  EXPECT_FALSE(Json::parse(*result).contains("route"));
}

TEST_F(RoutedStoryboardsTest, AFailureOfTheStoreIsNotTheVersions) {
  faults_.FailFrom(3, storage::testing::BlobFaults::When::kBefore);
  auto run = NewRun();
  ASSERT_FALSE(routed_.Run(run).ok());
  for (const std::string& version : Asked()) EXPECT_EQ(version, "2");
}

}  // namespace
}  // namespace mezzo::generation
