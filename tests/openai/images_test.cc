// POST /v1/images/* over a queue that runs.

#include <string>
#include <vector>

#include "fake_media.h"
#include "queue_server.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/api/openai/images_handler.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::openai {
namespace {

using net::testing::RawClient;
using net::testing::RawResponse;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ImagesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    queue_.Run({{"image", &painter_}});
    handler_ = std::make_unique<ImagesHandler>(options_, ImagesHandler::Ports{.media = queue_.media()});
    queue_.Serve({{.protocol = handler_.get(), .prefixes = {ImagesHandler::kRoot}}});
  }
  RawResponse Generate(const Json& body) {
    return queue_.Send("POST", "/v1/images/generations", body.dump());
  }
  void TearDown() override { queue_.Stop(); }
  static Json ErrorOf(const RawResponse& response) { return Json::parse(response.body).at("error"); }
  static std::string Form(const std::vector<std::vector<std::string>>& fields) {
    std::string body;
    for (const auto& field : fields) {
      body += "--XX\r\nContent-Disposition: form-data; name=\"" + field[0] + "\"" +
              (field.size() > 2 ? "; filename=\"" + field[2] + "\"" : "") + "\r\n\r\n" + field[1] + "\r\n";
    }
    return body + "--XX--\r\n";
  }
  RawResponse Edit(const std::vector<std::vector<std::string>>& fields) {
    return queue_.Send("POST", "/v1/images/edits", Form(fields),
                       "Content-Type: multipart/form-data; boundary=XX\r\n");
  }
  static std::string PictureOf(const Json& data) {
    return *Base64Decode(data.at("b64_json").get<std::string>());
  }

  ImagesHandler::Options options_ = [] {
    ImagesHandler::Options options;
    options.max_form = 1 << 20;
    options.max_picture = 1000;
    options.heartbeat = std::chrono::milliseconds(50);
    options.longest_wait = std::chrono::seconds(20);
    return options;
  }();
  QueueServer queue_;
  FakePainter painter_{queue_.artifacts(), queue_.clock()};
  std::unique_ptr<ImagesHandler> handler_;
};

TEST_F(ImagesTest, GivesThePicturesOfTheJob) {
  const RawResponse response = Generate({{"prompt", "a cat"},
                                         {"model", "m"},
                                         {"n", 2},
                                         {"seed", 40},
                                         {"steps", 4},
                                         {"guidance", 1.5},
                                         {"negative_prompt", "dogs"},
                                         {"size", "64x32"},
                                         {"sampler", "euler"},
                                         {"unheard_of", 1}});
  ASSERT_EQ(response.status, 200) << response.body;
  const Json answer = Json::parse(response.body);
  ASSERT_EQ(answer["data"].size(), 2U);
  EXPECT_EQ(PictureOf(answer["data"][0]), "a cat 0");
  EXPECT_EQ(PictureOf(answer["data"][1]), "a cat 1");
  EXPECT_EQ(answer["data"][1]["seed"], 41);
  EXPECT_EQ(answer["size"], "64x32");
  EXPECT_EQ(answer["output_format"], "png");
  EXPECT_GT(answer["created"], 1'700'000'000);
  const Json wanted = {{"prompt", "a cat"},
                       {"n", 2},
                       {"output_format", "png"},
                       {"negative_prompt", "dogs"},
                       {"size", "64x32"},
                       {"sampler", "euler"},
                       {"steps", 4},
                       {"guidance", 1.5},
                       {"seed", 40}};
  EXPECT_EQ(painter_.input(), wanted);
  EXPECT_EQ(queue_.JobOf(HeaderOf(response, "X-Mezzo-Job")).state, jobs::JobState::kSucceeded);
}

TEST_F(ImagesTest, GivesUrlsWhenAskedTo) {
  const RawResponse response = Generate({{"prompt", "a cat"}, {"model", "m"}, {"response_format", "url"}});
  const Json data = Json::parse(response.body)["data"][0];
  EXPECT_THAT(data["url"].get<std::string>(), StartsWith("http://test/v1/artifacts/anonymous/"));
  EXPECT_FALSE(data.contains("b64_json"));
}

TEST_F(ImagesTest, NamesTheMemberThatIsWrong) {
  const auto refused = [&](Json change, const std::string& param, const std::string& message) {
    Json body = {{"prompt", "a cat"}, {"model", "m"}};
    body.update(change);
    const RawResponse response = Generate(body);
    EXPECT_EQ(response.status, 400) << response.body;
    const Json error = ErrorOf(response);
    EXPECT_EQ(error["param"], param) << error;
    EXPECT_EQ(error["type"], "invalid_request_error");
    EXPECT_EQ(error["code"], "media_request");
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(message));
  };
  refused({{"prompt", nullptr}}, "prompt", "'prompt' is missing");
  refused({{"prompt", 3}}, "prompt", "'prompt' must be a string, got 3");
  refused({{"prompt", std::string(32'001, 'a')}}, "prompt", "has 32001 bytes; the limit is 32000");
  refused({{"model", ""}}, "model", "'model' is missing");
  refused({{"n", 0}}, "n", "'n' must be an integer in [1, 10], got 0");
  refused({{"n", 11}}, "n", "[1, 10]");
  refused({{"n", 1.5}}, "n", "got 1.5");
  refused({{"n", "2"}}, "n", "got 2");
  refused({{"size", "64"}}, "size", "got '64'");
  refused({{"size", "0x64"}}, "size", "sides in [1, 16384]");
  refused({{"size", "64x"}}, "size", "WIDTHxHEIGHT");
  refused({{"output_format", "gif"}}, "output_format", "must be one of png, jpeg, webp, got 'gif'");
  refused({{"output_compression", 50}}, "output_compression", "for the formats jpeg and webp");
  refused({{"response_format", "file"}}, "response_format", "must be one of");
  refused({{"background", "transparent"}}, "background", "opaque");
  refused({{"stream", "yes"}}, "stream", "true or false");
  refused({{"stream", true}, {"response_format", "url"}}, "response_format", "b64_json");
  refused({{"partial_images", 4}}, "partial_images", "[0, 3]");
  refused({{"guidance", -1}}, "guidance", "[0, 100]");
  refused({{"tier", "gold"}}, "tier", "free, urgent, paid");
  refused({{"webhook", {{"url", "ftp://x"}, {"secret", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"}}}},
          "webhook", "https://");
  refused({{"webhook", {{"uri", "x"}}}}, "webhook", "url and secret only");
  EXPECT_EQ(queue_.Send("POST", "/v1/images/generations", "{").status, 400);
  EXPECT_EQ(queue_.Send("POST", "/v1/images/generations", "[]").status, 400);
  const std::string deep = "{\"a\":" + std::string(50, '[') + std::string(50, ']') + "}";
  EXPECT_THAT(queue_.Send("POST", "/v1/images/generations", deep).body, HasSubstr("nests deeper than 8"));
  EXPECT_EQ(queue_.Send("GET", "/v1/images/generations").status, 405);
  EXPECT_EQ(queue_.Send("POST", "/v1/images/variations").status, 404);
  EXPECT_EQ(queue_.Send("POST", "/v1/images/generations", std::string(300 << 10, ' ')).status, 413);
}

TEST_F(ImagesTest, WhatAJobRefusesIsTheCallersToMend) {
  const RawResponse refused = Generate({{"prompt", "refuse this"}, {"model", "m"}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(ErrorOf(refused)["message"], "'size' must be a multiple of 8");
  const RawResponse failed = Generate({{"prompt", "fail this"}, {"model", "m"}});
  EXPECT_EQ(failed.status, 400);
  EXPECT_EQ(ErrorOf(failed)["code"], "prompt_too_long");
  EXPECT_EQ(ErrorOf(failed)["param"], "prompt");
  const RawResponse crashed = Generate({{"prompt", "crash this"}, {"model", "m"}});
  EXPECT_EQ(crashed.status, 500);
  EXPECT_EQ(ErrorOf(crashed)["type"], "server_error");
  EXPECT_EQ(ErrorOf(crashed)["code"], "engine_failed");
}

TEST_F(ImagesTest, ACallerThatLeavesCancelsItsJob) {
  RawClient client = queue_.Connect();
  client.Send(
      QueueServer::Request("POST", "/v1/images/generations", R"({"prompt":"wait here","model":"m"})"));
  ASSERT_TRUE(painter_.AwaitRunning());
  client.Close();
  EXPECT_TRUE(painter_.AwaitCancelled());
}

TEST_F(ImagesTest, TheCallersDeadlineEndsTheJob) {
  const RawResponse response =
      queue_.Send("POST", "/v1/images/generations", R"({"prompt":"wait here","model":"m"})",
                  "X-Mezzo-Deadline-Ms: 300\r\n");
  EXPECT_EQ(response.status, 503) << response.body;
  EXPECT_TRUE(painter_.AwaitCancelled());
}

TEST_F(ImagesTest, AStreamShowsPicturesOnTheWay) {
  const RawResponse response =
      Generate({{"prompt", "a cat"}, {"model", "m"}, {"stream", true}, {"partial_images", 2}, {"n", 1}});
  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(HeaderOf(response, "Content-Type"), "text/event-stream; charset=utf-8");
  std::vector<Json> events;
  for (std::size_t at = response.body.find("event: "); at != std::string::npos;
       at = response.body.find("event: ", at + 1)) {
    const std::size_t data = response.body.find("data: ", at) + 6;
    events.push_back(Json::parse(response.body.substr(data, response.body.find("\n\n", data) - data)));
    const std::string name = response.body.substr(at + 7, response.body.find('\n', at) - at - 7);
    EXPECT_EQ(events.back()["type"], name);
  }
  ASSERT_EQ(events.size(), 3U) << response.body;
  EXPECT_EQ(events[0]["type"], "image_generation.partial_image");
  EXPECT_EQ(events[0]["partial_image_index"], 0);
  EXPECT_EQ(PictureOf(events[1]), "part 1");
  EXPECT_EQ(events[2]["type"], "image_generation.completed");
  EXPECT_EQ(PictureOf(events[2]), "a cat 0");
  EXPECT_EQ(events[2]["size"], "64x32");
}

TEST_F(ImagesTest, AStreamTellsAFailureAsAnEvent) {
  const RawResponse response = Generate({{"prompt", "crash this"}, {"model", "m"}, {"stream", true}});
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body,
              HasSubstr("event: error\ndata: {\"error\":{\"message\":\"the engine has failed\""));
}

TEST_F(ImagesTest, AReaderThatLeavesAStreamCancelsItsJob) {
  RawClient client = queue_.Connect();
  client.Send(QueueServer::Request("POST", "/v1/images/generations",
                                   R"({"prompt":"wait here","model":"m","stream":true})"));
  ASSERT_TRUE(painter_.AwaitRunning());
  EXPECT_THAT(client.ReceiveBytes(20), StartsWith("HTTP/1.1 200"));
  client.Close();
  EXPECT_TRUE(painter_.AwaitCancelled());
}

TEST_F(ImagesTest, AnEditGivesThePictureAndItsMaskToTheJob) {
  const RawResponse response = Edit({{"prompt", "a hat"},
                                     {"model", "m"},
                                     {"n", "2"},
                                     {"strength", "0.5"},
                                     {"image[]", kPng + "cat", "cat.png"},
                                     {"mask", kPng + "head", "mask.png"}});
  ASSERT_EQ(response.status, 200) << response.body;
  const Json answer = Json::parse(response.body);
  EXPECT_EQ(PictureOf(answer["data"][1]), "a hat + cat + head 1");
  const Json input = painter_.input();
  EXPECT_EQ(input["strength"], 0.5);
  const auto facts =
      queue_.artifacts().Stat(*storage::BlobKey::Parse(input["image"]["artifact"].get<std::string>()),
                              queue_.clock().Now() + std::chrono::seconds(1));
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->content_type, "image/png");
  EXPECT_TRUE(facts->expires_at) << "what was sent is not kept for ever";
}

TEST_F(ImagesTest, RefusesFormsThatAreNoEdit) {
  const auto refused = [&](const std::vector<std::vector<std::string>>& fields, const Json& param) {
    const RawResponse response = Edit(fields);
    EXPECT_EQ(response.status, 400) << response.body;
    EXPECT_EQ(ErrorOf(response)["param"], param) << response.body;
  };
  const std::vector<std::string> prompt = {"prompt", "a"};
  const std::vector<std::string> model = {"model", "m"};
  const std::vector<std::string> image = {"image", kPng, "a.png"};
  refused({prompt, model}, "image");
  refused({model, image}, "prompt");
  refused({prompt, model, image, image}, "image");
  refused({prompt, model, {"image", "GIF89a", "a.png"}}, "image");
  refused({prompt, model, {"image", kPng + std::string(1000, 'a'), "a.png"}}, "image");
  refused({prompt, model, image, {"mask", "<svg>", "m.png"}}, "mask");
  refused({prompt, model, image, {"n", "x"}}, "n");
  refused({prompt, model, image, {"guidance", "1.5x"}}, "guidance");
  const RawResponse json =
      queue_.Send("POST", "/v1/images/edits", "{}", "Content-Type: application/json\r\n");
  EXPECT_EQ(json.status, 400);
  EXPECT_EQ(ErrorOf(json)["code"], "form_malformed");
}

}  // namespace
}  // namespace mezzo::api::openai
