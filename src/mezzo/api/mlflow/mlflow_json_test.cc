#include "mezzo/api/mlflow/mlflow_json.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/api/mlflow/mlflow_error.h"
#include "mezzo/api/mlflow/params.h"

namespace mezzo::api::mlflow {
namespace {

using Json = nlohmann::ordered_json;

TEST(MlflowJson, TellsWhatHasBecomeOfAVersion) {
  lifecycle::VersionRecord version;
  version.model = "resnet";
  version.version = 3;
  version.lineage.source = "models:/m-17";
  const std::pair<lifecycle::VersionState, std::string> states[] = {
      {lifecycle::VersionState::kUploading, "PENDING_REGISTRATION"},
      {lifecycle::VersionState::kTesting, "PENDING_REGISTRATION"},
      {lifecycle::VersionState::kReady, "READY"},
      {lifecycle::VersionState::kArchived, "READY"},
      {lifecycle::VersionState::kRejected, "FAILED_REGISTRATION"}};
  for (const auto& [state, status] : states) {
    version.state = state;
    EXPECT_EQ(ToJson(version)["status"], status);
  }
  version.reason = "it crashed";
  const Json json = ToJson(version);
  EXPECT_EQ(json["version"], "3");
  EXPECT_EQ(json["current_stage"], "None");
  EXPECT_EQ(json["model_id"], "m-17");
  EXPECT_EQ(json["status_message"], "it crashed");
}

TEST(MlflowJson, LineageIsWhatTheRunSays) {
  lifecycle::RunRecord run;
  run.id = "17";
  run.tags = {{"mlflow.source.git.commit", "abc"}, {"mlflow.source.name", "train.py"}};
  run.inputs = {{"faces@1", "{}"}, {"cats@2", "{}"}};
  run.metrics = {{"loss", {.key = "loss", .value = 0.25}},
                 {"bad", {.key = "bad", .value = std::numeric_limits<double>::quiet_NaN()}}};
  const lifecycle::Lineage lineage = LineageOf(run, 16'384);
  EXPECT_EQ(lineage.run_id, "17");
  EXPECT_EQ(lineage.code, "abc");
  EXPECT_EQ(lineage.data, "cats@2, faces@1");
  EXPECT_EQ(lineage.metrics, R"({"bad":"NaN","loss":0.25})");

  run.tags = {{"mezzo.data", "s3 dump of May"}, {"mlflow.source.name", "train.py"}};
  EXPECT_EQ(LineageOf(run, 16'384).data, "s3 dump of May");
  EXPECT_EQ(LineageOf(run, 16'384).code, "train.py");
}

TEST(MlflowJson, MetricsThatDoNotFitAreCounted) {
  lifecycle::RunRecord run;
  for (int i = 0; i < 100; ++i) {
    const std::string key = "metric" + std::to_string(i);
    run.metrics[key] = {.key = key, .value = i * 0.001};
  }
  const lifecycle::Lineage lineage = LineageOf(run, 500);
  EXPECT_LE(lineage.metrics.size(), 500U);
  const Json json = Json::parse(lineage.metrics);
  EXPECT_EQ(json["mezzo.left_out"].get<std::size_t>() + json.size() - 1, 100U);
  EXPECT_GT(json.size(), 5U);
}

TEST(MlflowError, NothingThatNoWaitMendsIsTriedAgain) {
  const std::pair<Error, std::pair<int, std::string>> cases[] = {
      {NotFound("registry_model_unknown", "x"), {404, "RESOURCE_DOES_NOT_EXIST"}},
      {NotFound("mlflow_endpoint_unknown", "x"), {404, "ENDPOINT_NOT_FOUND"}},
      {AlreadyExists("registry_model_exists", "x"), {400, "RESOURCE_ALREADY_EXISTS"}},
      {InvalidArgument("mlflow_source", "x"), {400, "INVALID_PARAMETER_VALUE"}},
      {FailedPrecondition("registry_version_not_ready", "x"), {400, "INVALID_PARAMETER_VALUE"}},
      {FailedPrecondition("registry_conflict", "x"), {409, "RESOURCE_CONFLICT"}},
      {ResourceExhausted("registry_full", "x"), {400, "RESOURCE_LIMIT_EXCEEDED"}},
      {ResourceExhausted("tracking_full", "x"), {400, "RESOURCE_LIMIT_EXCEEDED"}},
      {ResourceExhausted("mlflow_body_too_large", "x"), {413, "RESOURCE_LIMIT_EXCEEDED"}},
      {ResourceExhausted("pool_full", "x"), {429, "REQUEST_LIMIT_EXCEEDED"}},
      {Unauthenticated("key_unknown", "x"), {401, "UNAUTHENTICATED"}},
      {PermissionDenied("scope_missing", "x"), {403, "PERMISSION_DENIED"}},
      {Unavailable("sql_unavailable", "x"), {503, "TEMPORARILY_UNAVAILABLE"}}};
  for (const auto& [error, expected] : cases) {
    const net::HttpResponse response = MlflowErrorResponse(error);
    EXPECT_EQ(response.status, expected.first) << error.reason();
    const Json json = Json::parse(response.text);
    EXPECT_EQ(json["error_code"], expected.second) << error.reason();
    EXPECT_EQ(json["message"], "x");
  }
}

TEST(MlflowParams, NamesWhatIsWrong) {
  const auto params = Params::OfJson(
      R"({"name": 5, "flag": "yes", "list": [1], "tags": [{"key": "a"}, {"key": "a"}], "n": -1, "d": "18",
          "value": "Infinity", "unknown": {"a": 1}, "null": null})");
  ASSERT_TRUE(params.ok());
  const auto message = [](const auto& result) {
    EXPECT_FALSE(result.ok());
    return result.ok() ? "" : result.error().message();
  };
  EXPECT_EQ(*params->Text("name"), "5");  // Clients send versions as numbers.
  EXPECT_EQ(message(params->Text("absent")), "'absent' is missing: it must be a string that is not empty");
  EXPECT_EQ(message(params->Text("null")), "'null' is missing: it must be a string that is not empty");
  EXPECT_EQ(message(params->Text("list")), "'list' must be a string");
  EXPECT_EQ(message(params->Flag("flag")), "'flag' must be true or false");
  EXPECT_EQ(message(params->Texts("list")), "'list' must be a list of strings");
  EXPECT_EQ(message(params->Tags("tags")), "'tags' has the key 'a' twice");
  EXPECT_EQ(message(params->Number("n")), "'n' must be a whole number of at least 0, got -1");
  EXPECT_EQ(**params->Number("d"), 18);
  EXPECT_TRUE(std::isinf(*params->Real("value")));
  EXPECT_EQ(message(params->Real("d")), R"('d' must be a number, "NaN", "Infinity" or "-Infinity")");
  EXPECT_EQ(message(params->Objects("tags", 1)), "'tags' has 2 entries; the limit is 1");
  for (const std::string_view text : {"[]", "{", "5", "{\"a\":1}x", "{\"a\":[[[[[[[[[[1]]]]]]]]]]}"}) {
    EXPECT_FALSE(Params::OfJson(text).ok()) << text;
  }
  EXPECT_TRUE(Params::OfJson("  ").ok());
}

}  // namespace
}  // namespace mezzo::api::mlflow
