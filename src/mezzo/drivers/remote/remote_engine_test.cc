#include "mezzo/drivers/remote/remote_engine.h"

#include <chrono>
#include <cstring>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/drivers/remote/testing/fake_upstream.h"

namespace mezzo::drivers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FakeUpstream;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr const char* kMetadata =
    R"({"name":"there","versions":["3"],"platform":"x","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],)"
    R"("outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]},{"name":"z","datatype":"BYTES","shape":[-1]}]})";

FakeUpstream::Answer Json(const std::string& body, int status = 200) {
  return {.status = status, .body = body, .headers = {{"Content-Type", "application/json"}}, .delay = {}};
}

/// The answer of a v2 server that gives its only input back as y.
FakeUpstream::Answer Echo(const FakeUpstream::Seen& seen) {
  if (seen.method == "GET") return Json(kMetadata);
  const std::size_t json = std::stoul(seen.headers.at("inference-header-content-length"));
  const std::string text =
      R"({"model_name":"there","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]})";
  return {.status = 200,
          .body = text + seen.body.substr(json),
          .headers = {{"Inference-Header-Content-Length", std::to_string(text.size())}},
          .delay = {}};
}

class RemoteEngineTest : public ::testing::Test {
 protected:
  RemoteEngineTest() {
    options_.backoff = {.first = milliseconds(1), .longest = milliseconds(2)};
    options_.variable = [](const std::string& name) -> std::optional<std::string> {
      if (name == "UPSTREAM_KEY") return "s3cret";
      return std::nullopt;
    };
    request_.model = "here";
    request_.platform = "remote";
    request_.upstream.url = upstream_.url();
    request_.upstream.model = "there";
    request_.upstream.timeout = seconds(5);
    upstream_.Answers([](const auto& seen, std::size_t) { return Echo(seen); });
  }

  Result<std::unique_ptr<engine::Session>> Load() {
    return RemoteEngine(options_, clock_, registry_).Load(request_);
  }
  std::unique_ptr<engine::Session> Loaded() {
    auto session = Load();
    EXPECT_TRUE(session.ok()) << session.error().ToString();
    return session.ok() ? std::move(session).value() : nullptr;
  }
  std::string LoadError() {
    const auto session = Load();
    return session.ok() ? "it loaded" : session.error().ToString();
  }
  static Result<std::vector<tensor::Tensor>> Run(engine::Session& session,
                                                 engine::RunControl* control = nullptr) {
    const float values[] = {1.5F, -2};
    const tensor::Tensor input{
        .dtype = tensor::DType::kFp32,
        .shape = {1, 2},
        .data = SharedBytes::FromString(std::string(reinterpret_cast<const char*>(values), sizeof(values)))};
    const tensor::Tensor* inputs[] = {&input};
    const std::size_t wanted[] = {0};
    return session.Run(inputs, wanted, control);
  }
  static std::string RunError(engine::Session& session) {
    const auto outputs = Run(session);
    return outputs.ok() ? "it ran" : outputs.error().ToString();
  }
  /// The metadata, then `answer` to every inference.
  void InferAnswers(FakeUpstream::Answer answer) {
    upstream_.Answers([answer = std::move(answer)](const auto& seen, std::size_t) {
      return seen.method == "GET" ? Json(kMetadata) : answer;
    });
  }
  /// The metadata, `failures` times `answer`, then real answers.
  void InferFails(std::size_t failures, const FakeUpstream::Answer& answer) {
    auto left = std::make_shared<std::size_t>(failures);
    upstream_.Answers([left, answer](const auto& seen, std::size_t) {
      if (seen.method == "GET" || *left == 0) return Echo(seen);
      --*left;
      return answer;
    });
  }

  const RealClock clock_;
  observe::Registry registry_;
  FakeUpstream upstream_;
  RemoteEngine::Options options_;
  engine::LoadRequest request_;
};

TEST_F(RemoteEngineTest, MetadataGivesTheFactsAndTensorsGoInBinary) {
  const auto session = Loaded();
  ASSERT_NE(session, nullptr);

  const auto outputs = Run(*session);

  EXPECT_EQ(session->facts().inputs[0].shape, (tensor::Shape{-1, 2}));
  EXPECT_EQ(session->facts().outputs[1].dtype, tensor::DType::kBytes);
  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  ASSERT_THAT(*outputs, SizeIs(1));
  float values[2] = {};
  ASSERT_EQ(outputs->front().data.size(), sizeof(values));
  std::memcpy(values, outputs->front().data.data(), sizeof(values));
  EXPECT_THAT(values, ElementsAre(1.5F, -2));
  const auto seen = upstream_.seen();
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_EQ(seen[0].target, "/v2/models/there");
  EXPECT_EQ(seen[1].target, "/v2/models/there/infer");
  EXPECT_THAT(seen[1].body, HasSubstr(R"("outputs":[{"name":"y","parameters":{"binary_data":true}}])"));
}

TEST_F(RemoteEngineTest, NamesAreEncodedAndPrefixesKept) {
  request_.upstream.url += "/gpu/";
  request_.upstream.model = "a b?c";
  request_.upstream.version = "7";

  ASSERT_NE(Loaded(), nullptr);

  EXPECT_EQ(upstream_.seen()[0].target, "/gpu/v2/models/a%20b%3Fc/versions/7");
}

TEST_F(RemoteEngineTest, HeadersCarryTheSecretsThatTheyReferTo) {
  request_.upstream.headers = {{"Authorization", "Bearer env:UPSTREAM_KEY"}};

  ASSERT_NE(Loaded(), nullptr);

  EXPECT_EQ(upstream_.seen()[0].headers.at("authorization"), "Bearer s3cret");
}

TEST_F(RemoteEngineTest, SecretsThatAreLiteralMissingOrNotForUpstreamsAreRefusedAndNotShown) {
  request_.upstream.headers = {{"Authorization", "Bearer s3cret"}};
  EXPECT_THAT(LoadError(),
              AllOf(HasSubstr("upstream_config"), HasSubstr("Authorization"), Not(HasSubstr("s3cret"))));

  request_.upstream.headers = {{"Authorization", "env:UPSTREAM_OTHER"}};
  EXPECT_THAT(LoadError(), HasSubstr("UPSTREAM_OTHER, which is not set"));

  request_.upstream.headers = {{"Authorization", "env:PATH"}};
  EXPECT_THAT(LoadError(), HasSubstr("must end in a reference env:UPSTREAM_NAME"));
  EXPECT_THAT(upstream_.seen(), SizeIs(0));
}

TEST_F(RemoteEngineTest, UrlsThatAreNotPlainAreRefused) {
  for (const char* url :
       {"", "ftp://host", "http://", "http://user@host", "http://host/?a=b", "http://a\\@b"}) {
    request_.upstream.url = url;
    EXPECT_THAT(LoadError(), HasSubstr("upstream_config")) << url;
  }
}

TEST_F(RemoteEngineTest, FaultsThatMayPassAreTriedAgain) {
  for (const int status : {429, 502, 503}) {
    const auto session = Loaded();
    InferFails(2, Json(R"({"error":"busy"})", status));

    EXPECT_TRUE(Run(*session).ok()) << status;
    EXPECT_THAT(upstream_.seen(), SizeIs(3)) << status;
  }
}

TEST_F(RemoteEngineTest, RetriesEndAndTheErrorSaysWhatTheUpstreamSaid) {
  const auto session = Loaded();
  InferFails(100, Json(R"({"error":"no GPU is free"})", 503));

  EXPECT_EQ(RunError(*session),
            "UNAVAILABLE upstream_unavailable: the upstream of 'here' answered 503: no GPU is free");
  EXPECT_THAT(upstream_.seen(), SizeIs(3));
}

TEST_F(RemoteEngineTest, RetryAfterIsWaitedForUpToAPoint) {
  const auto session = Loaded();
  InferFails(1, {.status = 429, .body = "", .headers = {{"Retry-After", "1"}}, .delay = {}});
  const auto started = std::chrono::steady_clock::now();
  EXPECT_TRUE(Run(*session).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - started, milliseconds(990));

  InferFails(1, {.status = 429, .body = "", .headers = {{"Retry-After", "600"}}, .delay = {}});
  const auto refused = Run(*session);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry_after(), seconds(600));
}

TEST_F(RemoteEngineTest, OtherFaultsAreNotTriedAgainAndKeepTheirKind) {
  const std::pair<int, const char*> kinds[] = {
      {400, "INVALID_ARGUMENT upstream_rejected"},  {401, "FAILED_PRECONDITION upstream_denied"},
      {403, "FAILED_PRECONDITION upstream_denied"}, {404, "UNAVAILABLE upstream_failed"},
      {500, "UNAVAILABLE upstream_failed"},         {302, "UNAVAILABLE upstream_failed"}};
  for (const auto& [status, error] : kinds) {
    const auto session = Loaded();
    InferFails(1, Json(R"({"error":{"message":"told so"}})", status));

    EXPECT_THAT(RunError(*session), AllOf(HasSubstr(error), HasSubstr("told so"))) << status;
    EXPECT_THAT(upstream_.seen(), SizeIs(1)) << status;
  }
}

TEST_F(RemoteEngineTest, AnUpstreamThatIsNotThereIsAnErrorThatNamesIt) {
  request_.upstream.url = "http://127.0.0.1:1";

  EXPECT_THAT(LoadError(), AllOf(HasSubstr("UNAVAILABLE upstream_unavailable"), HasSubstr("'here'")));
}

TEST_F(RemoteEngineTest, ASlowUpstreamIsGivenUpAtItsTimeout) {
  request_.upstream.timeout = milliseconds(150);
  const auto session = Loaded();
  InferAnswers({.status = 200, .body = "", .headers = {}, .delay = seconds(20)});

  EXPECT_THAT(RunError(*session), HasSubstr("DEADLINE_EXCEEDED upstream_timeout"));
}

TEST_F(RemoteEngineTest, ATerminatedRunEndsWhereverItIs) {
  const auto session = Loaded();
  const auto control = session->NewRunControl();
  const auto ends = [&](const char* where) {
    control->Reset();
    const auto started = std::chrono::steady_clock::now();
    std::thread terminate([&] {
      std::this_thread::sleep_for(milliseconds(50));
      control->Terminate();
    });
    const auto outputs = Run(*session, control.get());
    terminate.join();
    ASSERT_FALSE(outputs.ok()) << where;
    EXPECT_EQ(outputs.error().reason(), "run_terminated") << where;
    EXPECT_LT(std::chrono::steady_clock::now() - started, seconds(4)) << where;
  };

  InferAnswers({.status = 200, .body = "", .headers = {}, .delay = seconds(20)});
  ends("while it waits for the answer");
  InferAnswers({.status = 503, .body = "", .headers = {{"Retry-After", "20"}}, .delay = {}});
  ends("while it waits for the next attempt");
}

TEST_F(RemoteEngineTest, AnUpstreamThatKeepsFailingIsLeftAloneForAWhile) {
  options_.breaker.consecutive_failures = 3;
  options_.breaker.first_cooldown = milliseconds(200);
  const auto session = Loaded();
  InferAnswers(Json("{}", 500));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(RunError(*session), HasSubstr("upstream_failed"));
  const std::size_t asked = upstream_.seen().size();

  EXPECT_THAT(RunError(*session), HasSubstr("keeps failing"));
  EXPECT_EQ(upstream_.seen().size(), asked);

  InferFails(0, {});
  std::this_thread::sleep_for(milliseconds(250));
  EXPECT_TRUE(Run(*session).ok());
}

TEST_F(RemoteEngineTest, RejectedInputsDoNotOpenTheBreaker) {
  options_.breaker.consecutive_failures = 2;
  const auto session = Loaded();
  InferAnswers(Json("{}", 400));

  for (int i = 0; i < 5; ++i) EXPECT_THAT(RunError(*session), HasSubstr("upstream_rejected"));
}

TEST_F(RemoteEngineTest, RetriesStopWhenTheirBudgetIsSpent) {
  options_.retry_budget = {.per_call = 0, .max_tokens = 1};
  options_.breaker.consecutive_failures = 0;
  options_.breaker.failure_rate = 2;
  const auto session = Loaded();
  InferFails(100, Json("{}", 503));

  (void)RunError(*session);
  (void)RunError(*session);

  EXPECT_THAT(upstream_.seen(), SizeIs(3));  // Two calls and the one retry.
}

TEST_F(RemoteEngineTest, AnswersThatLieAreErrors) {
  const auto session = Loaded();
  const auto error = [&](const std::string& json, const std::string& length = "",
                         const std::string& rest = "") {
    FakeUpstream::Answer answer = Json(json + rest);
    answer.headers.emplace_back("Inference-Header-Content-Length",
                                length.empty() ? std::to_string(json.size()) : length);
    InferAnswers(answer);
    return RunError(*session);
  };
  const auto output = [](const std::string& fields) {
    return R"({"outputs":[{"name":"y",)" + fields + "}]}";
  };
  const std::string good = R"("datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8})";

  EXPECT_THAT(error("not json"), HasSubstr("UNKNOWN upstream_answer_invalid"));
  EXPECT_THAT(error("{}", "many"), HasSubstr("no number"));
  EXPECT_THAT(error("{}", "999"), HasSubstr("shorter than its JSON"));
  EXPECT_THAT(error(R"({"outputs":[]})"), HasSubstr("without the output 'y'"));
  EXPECT_THAT(error(output(good), "", "1234567"), HasSubstr("ends in the middle of"));
  EXPECT_THAT(
      error(output(R"("datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":4})"), "", "1234"),
      HasSubstr("not whole"));
  EXPECT_THAT(
      error(output(R"("datatype":"FP64","shape":[1,2],"parameters":{"binary_data_size":8})"), "", "12345678"),
      HasSubstr("not what it declares"));
  EXPECT_THAT(error(output(R"("datatype":"FP32","shape":[1,-2])")), HasSubstr("impossible shape"));
  EXPECT_THAT(error(output(R"("datatype":"FP32","shape":[1,2],"data":[1,2])")), HasSubstr("not in binary"));
  EXPECT_THAT(error(R"({"outputs":[{"name":"w",)" + good + "}]}", "", "12345678"),
              HasSubstr("not asked for"));
  EXPECT_EQ(error(output(good), "", "12345678"), "it ran");
}

TEST_F(RemoteEngineTest, PicturesComeFromAnImagesUpstream) {
  request_.upstream.protocol = engine::UpstreamProtocol::kOpenAiImages;
  const auto session = Loaded();
  ASSERT_NE(session, nullptr);
  EXPECT_THAT(upstream_.seen(), SizeIs(0));
  upstream_.Answers([](const auto&, std::size_t) {
    return Json(R"({"created":1,"data":[{"b64_json":"UE5H"},{"b64_json":""}]})");
  });
  std::string prompt;
  tensor::AppendBytesElement(prompt, "a \"red\" apple");
  const tensor::Tensor text{
      .dtype = tensor::DType::kBytes, .shape = {1}, .data = SharedBytes::FromString(prompt)};
  const tensor::Tensor two{.dtype = tensor::DType::kInt32,
                           .shape = {1},
                           .data = SharedBytes::FromString(std::string("\x02\0\0\0", 4))};
  const tensor::Tensor* inputs[] = {&text, nullptr, nullptr, nullptr, nullptr, &two};
  const std::size_t wanted[] = {0};

  const auto outputs = session->Run(inputs, wanted, nullptr);

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  std::vector<std::string> pictures;
  tensor::ForEachBytesElement(outputs->front().data.view(),
                              [&](std::string_view e) { pictures.emplace_back(e); });
  EXPECT_THAT(pictures, ElementsAre("PNG", ""));
  const auto seen = upstream_.seen();
  EXPECT_EQ(seen[0].target, "/v1/images/generations");
  EXPECT_EQ(seen[0].body, R"({"model":"there","n":2,"prompt":"a \"red\" apple"})");

  for (const char* body :
       {"{}", R"({"data":[]})", R"({"data":[{"url":"http://x"}]})", R"({"data":[{"b64_json":"!"}]})"}) {
    upstream_.Answers([body](const auto&, std::size_t) { return Json(body); });
    const auto broken = session->Run(inputs, wanted, nullptr);
    ASSERT_FALSE(broken.ok()) << body;
    EXPECT_EQ(broken.error().reason(), "upstream_answer_invalid") << body;
  }
}

}  // namespace
}  // namespace mezzo::drivers
