#include "mezzo/api/openai/openai_handler.h"

#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/api/gate.h"
#include "mezzo/api/openai/internal/fake_service.h"
#include "mezzo/base/strings.h"
#include "mezzo/net/testing/exchange.h"
#include "mezzo/tenancy/testing/directories.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::api::openai {
namespace {

using internal::FakeService;
using internal::FakeTokenizers;
using net::testing::MadeRequest;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using Headers = std::vector<std::pair<std::string, std::string>>;

/// Ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, then the letters a = 4 to z = 29.
std::shared_ptr<const EmbeddingTokenizer> Letters(std::size_t max_tokens) {
  std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n";
  for (char c = 'a'; c <= 'z'; ++c) vocabulary += std::string(1, c) + "\n";
  EmbeddingTokenizer made{.pieces = text::WordPiece::Parse(vocabulary).value(), .max_tokens = max_tokens};
  return std::make_shared<const EmbeddingTokenizer>(std::move(made));
}

models::TensorConfig Ints(const char* name, tensor::Shape shape = {-1, -1}) {
  return {.name = name, .dtype = tensor::DType::kInt64, .shape = shape};
}

models::ModelConfig Config(const std::string& name) {
  models::ModelConfig config;
  config.name = name;
  config.max_batch_size = 32;
  config.inputs = {Ints("input_ids"), Ints("attention_mask"), Ints("token_type_ids")};
  config.outputs = {{.name = "sentence_embedding", .dtype = tensor::DType::kFp32, .shape = {-1, 4}}};
  return config;
}

std::string HeaderOf(const net::HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

/// A request of `count` letters by spaces: count + 2 tokens.
std::string LetterText(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += "a ";
  return text;
}

class OpenAiHandlerTest : public ::testing::Test {
 protected:
  OpenAiHandlerTest() {
    service_.fake_catalog().Add(Config("mini"));
    tokenizers_.tokenizer = Letters(64);
  }

  /// Through PlanBody and Handle, as a server does.
  net::HttpResponse Send(std::string_view method, std::string_view target, const std::string& body = "",
                         const Headers& headers = {}, OpenAiHandler::Options options = {}) {
    const tenancy::Directory directory(callers_, clock_);
    OpenAiHandler handler(options, {.service = service_,
                                    .tokenizers = tokenizers_,
                                    .clock = clock_,
                                    .pool = with_pool_ ? &pool_ : nullptr});
    Gate gate({{.protocol = &handler, .prefixes = {"/v1"}}}, directory);
    MadeRequest request(method, target, headers, body);
    if (auto refusal = net::testing::PlanOf(gate, request)) return std::move(*refusal);
    std::promise<net::HttpResponse> promise;
    loops_.loop(0).Post([&] {
      runtime::Start(
          gate.Handle(runtime::Context({.tenant = {}, .request_id = "req-1", .trace = {}}), request.get()),
          [&](net::HttpResponse response) { promise.set_value(std::move(response)); });
    });
    return promise.get_future().get();
  }
  net::HttpResponse Embed(const json& body, const Headers& headers = {},
                          OpenAiHandler::Options options = {}) {
    return Send("POST", "/v1/embeddings", body.dump(), headers, options);
  }
  static json ErrorOf(const net::HttpResponse& response) { return json::parse(response.text).at("error"); }
  static std::vector<float> VectorOf(const net::HttpResponse& response, std::size_t index) {
    return json::parse(response.text).at("data").at(index).at("embedding").get<std::vector<float>>();
  }

  void UseKeys() {
    callers_ = tenancy::testing::OnlyKeys(
        {{"secret", "acme", {tenancy::Scope::kInfer}}, {"watch", "watcher", {tenancy::Scope::kObserve}}});
  }

  testing::ManualClock clock_;
  FakeService service_;
  FakeTokenizers tokenizers_;
  tenancy::Directory::Contents callers_ = tenancy::testing::Anybody();
  bool with_pool_ = false;
  runtime::BlockingPool pool_{{.name = "test", .threads = 1}};
  runtime::IoThreads loops_{1};
};

TEST_F(OpenAiHandlerTest, EmbedsAText) {
  const auto response = Embed({{"model", "mini"}, {"input", "a b"}});

  ASSERT_EQ(response.status, 200) << response.text;
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(json::parse(response.text),
            json::parse(R"({"object":"list","model":"mini","usage":{"prompt_tokens":4,"total_tokens":4},
              "data":[{"object":"embedding","index":0,"embedding":[14.0,4.0,2.0,0.5]}]})"));
  EXPECT_EQ(HeaderOf(response, "X-Request-Id"), "req-1");
  ASSERT_EQ(service_.seen.size(), 1u);
  EXPECT_EQ(service_.seen[0].length, 8);  // Padded to the multiple.
  EXPECT_EQ(service_.seen[0].inputs, 3u);
  EXPECT_EQ(service_.seen[0].output, "sentence_embedding");
  EXPECT_EQ(service_.recorded_edges, 1);
  EXPECT_THAT(tokenizers_.asked, ElementsAre("vocab.txt"));
}

TEST_F(OpenAiHandlerTest, KeepsTheOrderOfManyInputsOfManyLengths) {
  json inputs = json::array();
  for (std::size_t i = 0; i < 100; ++i) inputs.push_back(LetterText(1 + i * 7 % 50));

  const auto response = Embed({{"model", "mini"}, {"input", inputs}});

  ASSERT_EQ(response.status, 200) << response.text;
  const json data = json::parse(response.text).at("data");
  ASSERT_EQ(data.size(), 100u);
  for (std::size_t i = 0; i < data.size(); ++i) {
    EXPECT_EQ(data[i].at("index"), i);
    EXPECT_EQ(data[i].at("embedding")[1].get<float>(), static_cast<float>(3 + i * 7 % 50));  // Its tokens.
  }
}

TEST_F(OpenAiHandlerTest, GroupsInputsOfEqualPaddedLengthAndBoundsWhatRuns) {
  json inputs = json::array();
  for (int i = 0; i < 40; ++i) inputs.push_back(LetterText(i % 2 == 0 ? 3 : 20));

  const auto response =
      Embed({{"model", "mini"}, {"input", inputs}}, {}, {.rows_per_call = 8, .calls_in_flight = 2});

  ASSERT_EQ(response.status, 200);
  std::vector<std::pair<std::int64_t, std::int64_t>> calls;
  calls.reserve(service_.seen.size());
  for (const auto& seen : service_.seen) calls.emplace_back(seen.length, seen.rows);
  EXPECT_THAT(calls, ElementsAre(std::pair(24, 8), std::pair(24, 8), std::pair(24, 4), std::pair(8, 8),
                                 std::pair(8, 8), std::pair(8, 4)));
  EXPECT_EQ(service_.most_running, 2u);
}

TEST_F(OpenAiHandlerTest, AModelWithoutBatchesGetsOneRowACall) {
  models::ModelConfig config = Config("single");
  config.max_batch_size = 0;
  config.inputs = {Ints("input_ids", {1, -1}), Ints("attention_mask", {1, -1})};
  service_.fake_catalog().Add(config);

  ASSERT_EQ(Embed({{"model", "single"}, {"input", {"a", "b"}}}).status, 200);

  ASSERT_EQ(service_.seen.size(), 2u);
  EXPECT_EQ(service_.seen[0].rows, 1);
  EXPECT_EQ(service_.seen[0].inputs, 2u);  // Without token types.
}

TEST_F(OpenAiHandlerTest, AFixedLengthIsKept) {
  models::ModelConfig config = Config("fixed");
  config.inputs = {Ints("input_ids", {-1, 12}), Ints("attention_mask", {-1, 12})};
  service_.fake_catalog().Add(config);

  ASSERT_EQ(Embed({{"model", "fixed"}, {"input", "a"}}).status, 200);
  const auto refused = Embed({{"model", "fixed"}, {"input", LetterText(11)}});

  EXPECT_EQ(service_.seen[0].length, 12);
  EXPECT_EQ(ErrorOf(refused).at("code"), "context_length_exceeded");
}

TEST_F(OpenAiHandlerTest, TakesTokenIdsAsTheyAre) {
  const auto one = Embed({{"model", "mini"}, {"input", {2, 5, 3}}});
  const auto two = Embed({{"model", "mini"}, {"input", {{2, 5, 3}, {4}}}});

  EXPECT_THAT(VectorOf(one, 0), ElementsAre(10, 3, 2, 0.5));
  EXPECT_THAT(VectorOf(two, 1), ElementsAre(4, 1, 4, 0.5));
  EXPECT_EQ(json::parse(two.text).at("usage").at("total_tokens"), 4);
}

TEST_F(OpenAiHandlerTest, RefusesTokenIdsOutsideTheVocabulary) {
  const json error = ErrorOf(Embed({{"model", "mini"}, {"input", {{2}, {29, 30}}}}));

  EXPECT_EQ(error.at("code"), "embedding_token_unknown");
  EXPECT_EQ(error.at("message"), "token id 30 of input 1 is not below the vocabulary's size 30");
}

TEST_F(OpenAiHandlerTest, EncodesBase64AsLittleEndianFloats) {
  const auto response = Embed({{"model", "mini"}, {"input", "a b"}, {"encoding_format", "base64"}});

  const std::string text = json::parse(response.text).at("data")[0].at("embedding");
  const std::string bytes = Base64Decode(text).value();
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  EXPECT_THAT(values, ElementsAre(14, 4, 2, 0.5));
}

TEST_F(OpenAiHandlerTest, CutsAndNormalizesToDimensions) {
  const auto cut = Embed({{"model", "mini"}, {"input", {2, 1}}, {"dimensions", 2}});
  const auto whole = Embed({{"model", "mini"}, {"input", {2, 1}}, {"dimensions", 4}});
  const auto refused = Embed({{"model", "mini"}, {"input", "a"}, {"dimensions", 5}});

  const float length = std::sqrt(3.0F * 3 + 2 * 2);
  EXPECT_THAT(VectorOf(cut, 0), ElementsAre(::testing::FloatEq(3 / length), ::testing::FloatEq(2 / length)));
  EXPECT_THAT(VectorOf(whole, 0), ElementsAre(3, 2, 2, 0.5));  // Nothing is cut: as the model gave it.
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(ErrorOf(refused).at("param"), "dimensions");
  EXPECT_THAT(ErrorOf(refused).at("message").get<std::string>(), HasSubstr("'dimensions' = 5"));
}

TEST_F(OpenAiHandlerTest, RefusesTooLongInputsWithTheirLength) {
  const auto response = Embed({{"model", "mini"}, {"input", {"a", LetterText(63)}}});
  const auto huge = Embed({{"model", "mini"}, {"input", LetterText(10'000)}});

  EXPECT_EQ(response.status, 400);
  const json error = ErrorOf(response);
  EXPECT_EQ(error.at("type"), "invalid_request_error");
  EXPECT_EQ(error.at("param"), "input");
  EXPECT_EQ(error.at("code"), "context_length_exceeded");
  EXPECT_EQ(error.at("message"),
            "this model's maximum context length is 64 tokens, however input 1 has 65 (model "
            "'mini'). Please reduce its length");
  EXPECT_THAT(ErrorOf(huge).at("message").get<std::string>(), HasSubstr("has more than 512 "));
  EXPECT_TRUE(service_.seen.empty());
}

TEST_F(OpenAiHandlerTest, CutsTooLongInputsWhenTheModelSaysSo) {
  models::ModelConfig config = Config("cutting");
  config.parameters = {{"embedding_truncate", "true"}, {"embedding_max_tokens", "10"}};
  service_.fake_catalog().Add(config);

  const auto response = Embed({{"model", "cutting"}, {"input", LetterText(1000)}});

  ASSERT_EQ(response.status, 200) << response.text;
  EXPECT_EQ(VectorOf(response, 0)[1], 10);
  EXPECT_EQ(service_.seen[0].length, 10);  // Padding stops at the limit.
}

TEST_F(OpenAiHandlerTest, LargeRequestsGoThroughThePool) {
  with_pool_ = true;
  json inputs = json::array();
  for (int i = 0; i < 2048; ++i) inputs.push_back(LetterText(20));

  const auto response = Embed({{"model", "mini"}, {"input", inputs}});

  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(json::parse(response.text).at("data").size(), 2048u);
}

TEST_F(OpenAiHandlerTest, OneFailedCallFailsTheRequestAndStartsNothingMore) {
  service_.failure =
      ResourceExhausted("queue_full", "the queue is full").WithRetryAfter(std::chrono::milliseconds(1500));
  service_.fail_from = 2;
  json inputs = json::array();
  for (int i = 0; i < 400; ++i) inputs.push_back("a");

  const auto response =
      Embed({{"model", "mini"}, {"input", inputs}}, {}, {.rows_per_call = 4, .calls_in_flight = 3});

  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(ErrorOf(response).at("type"), "rate_limit_error");
  EXPECT_EQ(ErrorOf(response).at("code"), "rate_limit_exceeded");
  EXPECT_EQ(HeaderOf(response, "Retry-After"), "2");
  EXPECT_EQ(HeaderOf(response, "retry-after-ms"), "1500");
  EXPECT_EQ(HeaderOf(response, "X-Mezzo-Reason"), "queue_full");
  EXPECT_LE(service_.seen.size(), 6u);
}

TEST_F(OpenAiHandlerTest, AReplacedVersionIsAskedForAgainOnce) {
  service_.failure = NotFound("version_unknown", "version 1 is gone");
  service_.fail_from = 1;
  service_.fail_once = true;
  EXPECT_EQ(Embed({{"model", "mini"}, {"input", "a"}}).status, 200);

  service_.failure = NotFound("version_unknown", "version 1 is gone");
  service_.fail_once = false;
  EXPECT_EQ(Embed({{"model", "mini"}, {"input", "a"}}).status, 404);
}

TEST_F(OpenAiHandlerTest, LoadsAModelThatIsOnDisk) {
  service_.fake_catalog().Add(Config("cold"), /*on_disk=*/true);

  EXPECT_EQ(Embed({{"model", "cold"}, {"input", "a"}}).status, 200);
}

TEST_F(OpenAiHandlerTest, DeadlinesCountFromTheArrival) {
  Embed({{"model", "mini"}, {"input", "a"}}, {{"X-Mezzo-Deadline-Ms", "250"}});
  const auto refused = Embed({{"model", "mini"}, {"input", "a"}}, {{"X-Mezzo-Deadline-Ms", "soon"}});

  EXPECT_LT(service_.seen.at(0).deadline, kNever);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(ErrorOf(refused).at("code"), "deadline_header");
}

TEST_F(OpenAiHandlerTest, AMissedDeadlineIs503AndNotToBeRetried) {
  service_.failure = DeadlineExceeded("deadline_unreachable", "too late");

  const auto response = Embed({{"model", "mini"}, {"input", "a"}});

  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(ErrorOf(response).at("type"), "server_error");
  EXPECT_EQ(HeaderOf(response, "x-should-retry"), "false");
}

TEST_F(OpenAiHandlerTest, UnsoundAnswersAreTheServersFault) {
  service_.poison = std::numeric_limits<float>::quiet_NaN();
  const auto nan = Embed({{"model", "mini"}, {"input", {"a", "b"}}});
  service_.poison = 0;
  service_.extra_rows = 1;
  const auto rows = Embed({{"model", "mini"}, {"input", "a"}});

  EXPECT_EQ(nan.status, 500);
  EXPECT_EQ(ErrorOf(nan).at("message"), "model 'mini' gave input 0 a vector with NaN or infinity");
  EXPECT_EQ(rows.status, 500);
  EXPECT_EQ(ErrorOf(rows).at("message"), "model 'mini' answered 1 inputs with FP32 [2,4]");
}

TEST_F(OpenAiHandlerTest, UnknownAndUnfitModelsAreNamed) {
  models::ModelConfig plain = Config("plain");
  plain.inputs = {Ints("input_ids")};
  service_.fake_catalog().Add(plain);
  service_.fake_catalog().AddFailed("broken");

  const auto unknown = Embed({{"model", "gpt-x"}, {"input", "a"}});
  const auto unfit = Embed({{"model", "plain"}, {"input", "a"}});
  const auto broken = Embed({{"model", "broken"}, {"input", "a"}});

  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(ErrorOf(unknown).at("code"), "model_not_found");
  EXPECT_EQ(ErrorOf(unknown).at("param"), "model");
  EXPECT_EQ(unfit.status, 400);
  EXPECT_EQ(ErrorOf(unfit).at("message"), "model 'plain' can't embed: it has no input 'attention_mask'");
  EXPECT_EQ(broken.status, 503);
}

TEST_F(OpenAiHandlerTest, AMissingTokenizerIsSaid) {
  tokenizers_.failure = FailedPrecondition("tokenizer_missing", "no vocab.txt");

  EXPECT_EQ(ErrorOf(Embed({{"model", "mini"}, {"input", "a"}})).at("code"), "tokenizer_missing");
}

TEST_F(OpenAiHandlerTest, ListsAndDescribesTheServedModels) {
  service_.fake_catalog().Add(Config("cold"), /*on_disk=*/true);
  service_.fake_catalog().AddFailed("broken");

  const auto list = json::parse(Send("GET", "/v1/models").text);
  const auto one = json::parse(Send("GET", "/v1/models/mini").text);
  const auto none = Send("GET", "/v1/models/broken");

  EXPECT_EQ(list.at("object"), "list");
  ASSERT_EQ(list.at("data").size(), 2u);
  EXPECT_EQ(list.at("data")[0].at("id"), "cold");
  EXPECT_EQ(list.at("data")[1], one);
  EXPECT_EQ(one, json::parse(R"({"id":"mini","object":"model","created":1700000001,"owned_by":"mezzo"})"));
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(ErrorOf(none).at("code"), "model_not_found");
}

TEST_F(OpenAiHandlerTest, KeysAreCheckedBeforeTheBody) {
  UseKeys();
  const json body = {{"model", "mini"}, {"input", "a"}};

  const auto missing = Embed(body);
  const auto wrong = Embed(body, {{"Authorization", "Bearer guess"}});
  const auto scope = Embed(body, {{"Authorization", "Bearer watch"}});
  const auto right = Embed(body, {{"Authorization", "Bearer secret"}});

  EXPECT_EQ(missing.status, 401);
  EXPECT_EQ(HeaderOf(missing, "WWW-Authenticate"), "Bearer realm=\"mezzo\"");
  EXPECT_EQ(ErrorOf(wrong).at("code"), "invalid_api_key");
  EXPECT_EQ(scope.status, 403);
  EXPECT_EQ(ErrorOf(scope).at("type"), "permission_error");
  EXPECT_EQ(right.status, 200);
  EXPECT_EQ(service_.seen.at(0).tenant, "acme");
}

TEST_F(OpenAiHandlerTest, RefusesWhatItDoesNotServe) {
  const auto unknown = Send("POST", "/v1/chat/completions", "{}");
  const auto method = Send("GET", "/v1/embeddings");
  const auto large = Send("POST", "/v1/embeddings", "", {{"Content-Length", "99999999"}});

  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(ErrorOf(unknown).at("message"), "unknown request URL: (POST /v1/chat/completions)");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(HeaderOf(method, "Allow"), "POST");
  EXPECT_EQ(large.status, 413);
  EXPECT_EQ(ErrorOf(large).at("message"), "the body has 99999999 bytes; the limit is 16777216");
}

}  // namespace
}  // namespace mezzo::api::openai
