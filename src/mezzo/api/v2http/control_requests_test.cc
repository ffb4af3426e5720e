#include "mezzo/api/v2http/control_requests.h"

#include <gtest/gtest.h>

namespace mezzo::api::v2http {
namespace {

TEST(ReadIndexRequest, TakesNothingForAll) {
  EXPECT_FALSE(*ReadIndexRequest(""));
  EXPECT_FALSE(*ReadIndexRequest("{}"));
  EXPECT_TRUE(*ReadIndexRequest(R"({"x":[1],"ready":true})"));
  EXPECT_EQ(ReadIndexRequest(R"({"ready":)" + std::string(100'000, '[')).error().message(),
            "Invalid value for 'ready': expected a boolean");
}

TEST(ReadLoadRequest, DecodesConfigAndFiles) {
  const auto overrides =
      ReadLoadRequest(R"({"parameters":{"file:1/model.onnx":"AAEC\/w==","config":"{\"name\":\"m\"}"}})");
  ASSERT_TRUE(overrides.ok()) << overrides.error().ToString();
  EXPECT_EQ(overrides->config_json, R"({"name":"m"})");
  EXPECT_EQ(overrides->files.at("1/model.onnx"), std::string("\0\1\2\xFF", 4));
  EXPECT_TRUE(ReadLoadRequest("")->files.empty());
}

TEST(ReadLoadRequest, RefusesExactly) {
  EXPECT_EQ(ReadLoadRequest(R"({"parameters":{"file:1/m":"AA=="}})").error().message(),
            "the parameter 'config' must be given together with 'file:' parameters");
  EXPECT_EQ(ReadLoadRequest(R"({"parameters":{"other":"x"}})").error().reason(), "parameter_unknown");
  EXPECT_EQ(ReadLoadRequest(R"({"parameters":{"config":"{}","file:1/m":"A!=="}})").error().reason(),
            "invalid_base64");
  EXPECT_EQ(ReadLoadRequest(R"({"parameters":{"config":1}})").error().message(),
            "Unable to parse 'config': attempt to access JSON non-string as string, found a number");
  EXPECT_EQ(ReadLoadRequest(R"({"parameters":[]})").error().reason(), "field_type");
  EXPECT_EQ(ReadLoadRequest("{").error().reason(), "json_malformed");
}

TEST(ReadRegisterRequest, NeedsKeyAndSize) {
  const auto request = ReadRegisterRequest(R"({"key":"/k","offset":8,"byte_size":64})");
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->key, "/k");
  EXPECT_EQ(request->offset, 8U);
  EXPECT_EQ(request->byte_size, 64U);
  EXPECT_EQ(ReadRegisterRequest("").error().message(), "Shared memory register request has no 'key' field");
  EXPECT_EQ(ReadRegisterRequest(R"({"key":"/k"})").error().message(),
            "Shared memory register request has no 'byte_size' field");
  EXPECT_EQ(ReadRegisterRequest(R"({"key":"/k","byte_size":-1})").error().reason(), "field_type");
}

TEST(ReadTraceRequest, TakesTextNumbersListsAndNull) {
  const auto changes = ReadTraceRequest(
      R"({"trace_level":["TIMESTAMPS"],"trace_rate":"5","trace_count":-1,"log_frequency":null})");
  ASSERT_TRUE(changes.ok());
  ASSERT_EQ(changes->size(), 4U);
  EXPECT_EQ((*changes)[0].values, std::vector<std::string>{"TIMESTAMPS"});
  EXPECT_EQ((*changes)[1].values, std::vector<std::string>{"5"});
  EXPECT_EQ((*changes)[2].values, std::vector<std::string>{"-1"});
  EXPECT_TRUE((*changes)[3].clear);
  EXPECT_EQ(ReadTraceRequest(R"({"trace_level":{}})").error().reason(), "field_type");
}

TEST(ReadLogRequest, SkipsNull) {
  const auto changes =
      ReadLogRequest(R"({"log_file":null,"log_info":false,"log_verbose_level":3,"log_format":"default"})");
  ASSERT_TRUE(changes.ok());
  ASSERT_EQ(changes->size(), 3U);
  EXPECT_EQ(std::get<bool>((*changes)[0].value), false);
  EXPECT_EQ(std::get<std::uint64_t>((*changes)[1].value), 3U);
  EXPECT_EQ(std::get<std::string>((*changes)[2].value), "default");
}

TEST(CheckUnloadRequest, ChecksTheFlag) {
  EXPECT_TRUE(CheckUnloadRequest(R"({"parameters":{"unload_dependents":false}})").ok());
  EXPECT_EQ(
      CheckUnloadRequest(R"({"parameters":{"unload_dependents":1}})").error().message(),
      "Unable to parse 'unload_dependents': attempt to access JSON non-boolean as boolean, found a number");
}

}  // namespace
}  // namespace mezzo::api::v2http
