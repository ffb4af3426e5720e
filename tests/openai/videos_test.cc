// /v1/videos over a queue that runs.

#include <string>
#include <vector>

#include "fake_media.h"
#include "queue_server.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/api/openai/videos_handler.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::openai {
namespace {

using net::testing::RawResponse;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class VideosTest : public ::testing::Test {
 protected:
  void SetUp() override {
    queue_.Run({{"storyboard", &filmer_}});
    handler_ = std::make_unique<VideosHandler>(
        VideosHandler::Options{.max_body = 1 << 20, .max_picture = 1000, .retention = std::chrono::hours(24)},
        VideosHandler::Ports{.media = queue_.media(), .blobs = blobs_});
    queue_.Serve({{.protocol = handler_.get(), .prefixes = {VideosHandler::kRoot}}});
  }
  void TearDown() override { queue_.Stop(); }

  RawResponse Post(const std::string& target, const Json& body, const std::string& headers = "") {
    return queue_.Send("POST", target, body.dump(), headers);
  }
  RawResponse Get(const std::string& target, const std::string& headers = "") {
    return queue_.Send("GET", target, "", headers);
  }
  /// The id of a video that has been made.
  std::string Make(Json body) {
    body.update({{"model", "m"}});
    const RawResponse response = Post("/v1/videos", body);
    EXPECT_EQ(response.status, 200) << response.body;
    const std::string id = Json::parse(response.body).at("id");
    queue_.AwaitEnd(id.substr(6));
    return id;
  }
  Json Video(const std::string& id) { return Json::parse(Get("/v1/videos/" + id).body); }
  static Json ErrorOf(const RawResponse& response) { return Json::parse(response.body).at("error"); }

  QueueServer queue_;
  FakeFilmer filmer_{queue_.artifacts(), queue_.clock()};
  observe::Registry registry_;
  runtime::BlockingPool pool_{{.name = "blobs", .threads = 1}};
  BlobServer blobs_{
      {}, {.store = queue_.artifacts(), .pool = pool_, .clock = queue_.clock(), .registry = registry_}};
  std::unique_ptr<VideosHandler> handler_;
};

TEST_F(VideosTest, APromptBecomesAStoryboardAndAFilm) {
  const RawResponse created = Post("/v1/videos", {{"prompt", "a boat"},
                                                  {"model", "m"},
                                                  {"seconds", "15"},
                                                  {"size", "1280x720"},
                                                  {"style", "warm"},
                                                  {"seed", 5},
                                                  {"steps", 4}});
  ASSERT_EQ(created.status, 200) << created.body;
  const Json queued = Json::parse(created.body);
  EXPECT_EQ(queued["object"], "video");
  EXPECT_EQ(queued["seconds"], "15");
  EXPECT_EQ(queued["size"], "1280x720");
  EXPECT_EQ(queued["model"], "m");
  const std::string id = queued["id"];
  EXPECT_EQ(queue_.AwaitEnd(id.substr(6)), jobs::JobState::kSucceeded);

  const Json input = filmer_.input();
  EXPECT_EQ(input["resolution"], "720p");
  EXPECT_EQ(input["aspect"], "landscape");
  EXPECT_EQ(input["style"], "warm");
  EXPECT_EQ(input["painting"], Json({{"seed", 5}, {"steps", 4}}));
  ASSERT_EQ(input["shots"].size(), 3U);
  EXPECT_EQ(input["shots"][2], Json({{"duration", 5.0}, {"prompt", "a boat"}}));
  const Json done = Video(id);
  EXPECT_EQ(done["status"], "completed");
  EXPECT_EQ(done["progress"], 100);
  EXPECT_EQ(done["prompt"], "a boat");
  EXPECT_EQ(done["error"], nullptr);
  EXPECT_EQ(done["expires_at"], done["completed_at"].get<std::int64_t>() + 24 * 3600);
}

TEST_F(VideosTest, ItsContentsAreServedWithRanges) {
  const std::string id = Make({{"prompt", "a boat"}});
  const RawResponse film = Get("/v1/videos/" + id + "/content");
  EXPECT_EQ(film.status, 200);
  EXPECT_EQ(film.body, "video of a boat");
  EXPECT_EQ(HeaderOf(film, "Content-Type"), "video/mp4");
  EXPECT_EQ(HeaderOf(film, "Content-Length"), "15");
  EXPECT_EQ(Get("/v1/videos/" + id + "/content?variant=thumbnail").body, "thumbnail of a boat");
  EXPECT_EQ(Get("/v1/videos/" + id + "/content?variant=spritesheet").body, "sprites of a boat");
  const RawResponse part = Get("/v1/videos/" + id + "/content", "Range: bytes=0-4\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "video");
  const RawResponse other = Get("/v1/videos/" + id + "/content?variant=gif");
  EXPECT_EQ(other.status, 400);
  EXPECT_EQ(ErrorOf(other)["param"], "variant");
}

TEST_F(VideosTest, AReferenceIsTheFirstShot) {
  const std::string url = "data:image/png;base64," + Base64Encode(kPng + "a harbour");
  const std::string id = Make({{"prompt", "a boat"}, {"input_reference", {{"image_url", url}}}});
  EXPECT_EQ(Get("/v1/videos/" + id + "/content").body, "video of a harbour, then a boat");

  const std::string form =
      "--XX\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na boat\r\n"
      "--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n"
      "--XX\r\nContent-Disposition: form-data; name=\"seconds\"\r\n\r\n20\r\n"
      "--XX\r\nContent-Disposition: form-data; name=\"input_reference\"; filename=\"a.png\"\r\n\r\n" +
      kPng + "a beach\r\n--XX--\r\n";
  const RawResponse sent =
      queue_.Send("POST", "/v1/videos", form, "Content-Type: multipart/form-data; boundary=XX\r\n");
  ASSERT_EQ(sent.status, 200) << sent.body;
  const std::string second = Json::parse(sent.body).at("id");
  queue_.AwaitEnd(second.substr(6));
  EXPECT_EQ(Get("/v1/videos/" + second + "/content").body, "video of a beach, then a boat");
  EXPECT_EQ(filmer_.input()["shots"].size(), 4U);
}

TEST_F(VideosTest, NamesTheMemberThatIsWrong) {
  const auto refused = [&](Json change, const std::string& param, const std::string& message) {
    Json body = {{"prompt", "a boat"}, {"model", "m"}};
    body.update(change);
    const RawResponse response = Post("/v1/videos", body);
    EXPECT_EQ(response.status, 400) << response.body;
    EXPECT_EQ(ErrorOf(response)["param"], param) << response.body;
    EXPECT_THAT(ErrorOf(response)["message"].get<std::string>(), HasSubstr(message));
  };
  refused({{"prompt", nullptr}}, "prompt", "missing");
  refused({{"model", nullptr}}, "model", "missing");
  refused({{"seconds", "four"}}, "seconds", "must be an integer in [1, 3600], got four");
  refused({{"seconds", 0}}, "seconds", "got 0");
  refused({{"size", "640x480"}}, "size", "must be one of 720x1280, 1280x720");
  refused({{"input_reference", {{"image_url", "ftp://example.com/a.png"}}}}, "input_reference",
          "must be an http(s): URL");
  refused({{"input_reference", {{"image_url", "data:image/png;base64,%%%"}}}}, "input_reference",
          "image_url");
  refused({{"input_reference", {{"image_url", "data:image/png;base64,YWJj"}}}}, "input_reference",
          "PNG, JPEG");
  refused({{"input_reference", {{"file_id", "file-1"}}}}, "input_reference", "'image_url'");
  refused({{"input_reference", "x"}}, "input_reference", "must be an object");
  refused(
      {{"input_reference", {{"image_url", "data:;base64," + Base64Encode(kPng + std::string(1000, 'a'))}}}},
      "input_reference", "the limit is 1000");
  const RawResponse by_job = Post("/v1/videos", {{"prompt", "refuse this"}, {"model", "m"}});
  EXPECT_EQ(by_job.status, 400);
  EXPECT_EQ(ErrorOf(by_job)["code"], "image_request");
}

TEST_F(VideosTest, ListsByCursor) {
  std::vector<std::string> made;
  for (int i = 0; i < 3; ++i) made.push_back(Make({{"prompt", "boat " + std::to_string(i)}}));
  const Json first = Json::parse(Get("/v1/videos?limit=2").body);
  EXPECT_EQ(first["object"], "list");
  ASSERT_EQ(first["data"].size(), 2U);
  EXPECT_EQ(first["data"][0]["prompt"], "boat 2");
  EXPECT_EQ(first["has_more"], true);
  EXPECT_EQ(first["last_id"], made[1]);
  const Json second = Json::parse(Get("/v1/videos?limit=2&after=" + made[1]).body);
  ASSERT_EQ(second["data"].size(), 1U);
  EXPECT_EQ(second["data"][0]["id"], made[0]);
  EXPECT_EQ(second["has_more"], false);
  EXPECT_EQ(Json::parse(Get("/v1/videos?order=asc&limit=1").body)["first_id"], made[0]);
  EXPECT_EQ(Get("/v1/videos?limit=0").status, 400);
  EXPECT_EQ(Get("/v1/videos?order=up").status, 400);
}

TEST_F(VideosTest, ARemixKeepsEverythingButThePrompt) {
  const std::string id = Make({{"prompt", "a boat"}, {"seconds", 20}, {"size", "1080x1080"}, {"seed", 9}});
  const RawResponse response = Post("/v1/videos/" + id + "/remix", {{"prompt", "a ship"}});
  ASSERT_EQ(response.status, 200) << response.body;
  const Json remix = Json::parse(response.body);
  EXPECT_EQ(remix["remixed_from_video_id"], id);
  EXPECT_EQ(remix["seconds"], "20");
  EXPECT_EQ(remix["size"], "1080x1080");
  const std::string second = remix["id"];
  queue_.AwaitEnd(second.substr(6));
  EXPECT_EQ(filmer_.input()["painting"]["seed"], 9);
  EXPECT_EQ(Get("/v1/videos/" + second + "/content").body, "video of a ship");
  EXPECT_EQ(ErrorOf(Post("/v1/videos/" + id + "/remix", Json::object()))["param"], "prompt");
}

TEST_F(VideosTest, FailuresAndMissingVideosAreTold) {
  const std::string failed = Make({{"prompt", "crash this"}});
  const Json video = Video(failed);
  EXPECT_EQ(video["status"], "failed");
  EXPECT_EQ(video["error"]["code"], "engine_failed");
  EXPECT_EQ(ErrorOf(Get("/v1/videos/" + failed + "/content"))["code"], "video_not_ready");
  EXPECT_EQ(Post("/v1/videos/" + failed + "/remix", {{"prompt", "x"}}).status, 400);
  for (const char* id : {"video_none", "none", "video_"}) {
    EXPECT_EQ(Get("/v1/videos/" + std::string(id)).status, 404) << id;
  }
}

TEST_F(VideosTest, DeletingARunningVideoCancelsItAndLeavesNothing) {
  const std::string id =
      Json::parse(Post("/v1/videos", {{"prompt", "wait here"}, {"model", "m"}}).body)["id"];
  ASSERT_TRUE(filmer_.AwaitRunning());
  const RawResponse running = Get("/v1/videos/" + id);
  EXPECT_EQ(Json::parse(running.body)["status"], "in_progress");
  EXPECT_EQ(HeaderOf(running, "openai-poll-after-ms"), "1000");
  const RawResponse deleted = queue_.Send("DELETE", "/v1/videos/" + id);
  EXPECT_EQ(deleted.status, 200) << deleted.body;
  EXPECT_EQ(Json::parse(deleted.body)["deleted"], true);
  EXPECT_TRUE(filmer_.AwaitCancelled());
  EXPECT_EQ(Get("/v1/videos/" + id).status, 404);

  const std::string made = Make({{"prompt", "a boat"}});
  ASSERT_EQ(queue_.Send("DELETE", "/v1/videos/" + made).status, 200);
  const auto left = queue_.artifacts().List(storage::BlobPrefix::All(), "", 10,
                                            queue_.clock().Now() + std::chrono::seconds(1));
  EXPECT_EQ(left->entries.size(), 0U);
}

TEST_F(VideosTest, TheSameKeyGivesTheSameVideo) {
  const Json body = {{"prompt", "a boat"}, {"model", "m"}};
  const Json first = Json::parse(Post("/v1/videos", body, "Idempotency-Key: k1\r\n").body);
  EXPECT_EQ(Json::parse(Post("/v1/videos", body, "Idempotency-Key: k1\r\n").body)["id"], first["id"]);
  EXPECT_NE(Json::parse(Post("/v1/videos", body).body)["id"], first["id"]);
  EXPECT_EQ(Post("/v1/videos", {{"prompt", "another"}, {"model", "m"}}, "Idempotency-Key: k1\r\n").status,
            400);
}

}  // namespace
}  // namespace mezzo::api::openai
