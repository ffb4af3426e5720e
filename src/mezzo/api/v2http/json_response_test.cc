#include "mezzo/api/v2http/json_response.h"

#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

namespace mezzo::api::v2http {
namespace {

using tensor::DType;

template <typename T>
inference::NamedTensor Output(std::string name, DType dtype, tensor::Shape shape,
                              const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return {.name = std::move(name),
          .tensor = {.dtype = dtype, .shape = shape, .data = SharedBytes::FromString(std::move(bytes))}};
}

inference::NamedTensor Strings(std::string name, const std::vector<std::string>& values) {
  std::string bytes;
  for (const auto& value : values) tensor::AppendBytesElement(bytes, value);
  return {.name = std::move(name),
          .tensor = {.dtype = DType::kBytes,
                     .shape = {static_cast<std::int64_t>(values.size())},
                     .data = SharedBytes::FromString(std::move(bytes))}};
}

inference::InferenceAnswer Answer(std::vector<inference::NamedTensor> outputs) {
  inference::InferenceAnswer answer;
  answer.model = ModelName("m");
  answer.version = "1";
  answer.outputs = std::move(outputs);
  return answer;
}

std::string Json(std::vector<inference::NamedTensor> outputs) {
  const auto response = EncodeResponse(Answer(std::move(outputs)), {}, nullptr);
  return response.ok() ? response->json : response.error().ToString();
}

std::string Wrapped(std::string_view outputs) {
  return R"({"model_name":"m","model_version":"1","outputs":[)" + std::string(outputs) + "]}";
}

TEST(EncodeResponse, WritesIdAndParameters) {
  inference::InferenceAnswer answer = Answer({});
  answer.id = "a\"b";
  answer.parameters = {{"b", true}, {"i", std::int64_t{-1}}, {"d", 0.5}, {"s", std::string("t")}};
  EXPECT_EQ(
      EncodeResponse(answer, {}, nullptr)->json,
      R"({"id":"a\"b","model_name":"m","model_version":"1","parameters":{"b":true,"i":-1,"d":0.5,"s":"t"},"outputs":[]})");
}

TEST(EncodeResponse, WritesAllTypesAsJson) {
  const float nan = std::nanf("");
  EXPECT_EQ(Json({Output<float>("y", DType::kFp32, {1, 4}, {0.1F, 1, nan, -HUGE_VALF})}),
            Wrapped(R"({"name":"y","datatype":"FP32","shape":[1,4],"data":[0.1,1.0,NaN,-Infinity]})"));
  EXPECT_EQ(Json({Output<double>("y", DType::kFp64, {1}, {1e-300})}),
            Wrapped(R"({"name":"y","datatype":"FP64","shape":[1],"data":[1e-300]})"));
  EXPECT_EQ(Json({Output<std::uint64_t>("y", DType::kUint64, {1}, {UINT64_MAX}),
                  Output<std::int8_t>("z", DType::kInt8, {2}, {-128, 127})}),
            Wrapped(R"({"name":"y","datatype":"UINT64","shape":[1],"data":[18446744073709551615]},)"
                    R"({"name":"z","datatype":"INT8","shape":[2],"data":[-128,127]})"));
  EXPECT_EQ(Json({Output<std::uint8_t>("y", DType::kBool, {3}, {0, 1, 7})}),
            Wrapped(R"({"name":"y","datatype":"BOOL","shape":[3],"data":[false,true,true]})"));
  EXPECT_EQ(
      Json({Strings("y", {"a\"b", "", "\xC3\xA9"})}),
      Wrapped(
          "{\"name\":\"y\",\"datatype\":\"BYTES\",\"shape\":[3],\"data\":[\"a\\\"b\",\"\",\"\xC3\xA9\"]}"));
  EXPECT_EQ(Json({Output<float>("y", DType::kFp32, {0, 4}, {})}),
            Wrapped(R"({"name":"y","datatype":"FP32","shape":[0,4],"data":[]})"));
}

TEST(EncodeResponse, RefusesWhatJsonCantHold) {
  EXPECT_EQ(
      Json({Output<std::uint16_t>("y", DType::kFp16, {1}, {0})}),
      "INVALID_ARGUMENT output_half: sending FP16 data via JSON is not supported. Please use the binary data "
      "format for output 'y'");
  EXPECT_EQ(Json({Strings("y", {"ok", "\xFF"})}),
            "INVALID_ARGUMENT output_not_utf8: element 1 of output 'y' is not valid UTF-8 and has no JSON "
            "form. Please "
            "use the binary data format for this output");
}

TEST(EncodeResponse, BinaryOutputsKeepTheirMemory) {
  const auto answer =
      Answer({Output<float>("a", DType::kFp32, {2}, {1, 2}), Output<float>("b", DType::kFp32, {1}, {3}),
              Output<float>("empty", DType::kFp32, {0}, {})});
  ResponsePlan plan{
      .outputs = {{.name = "a", .binary = true}, {.name = "b"}, {.name = "empty", .binary = true}}};

  const auto response = EncodeResponse(answer, plan, nullptr);

  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->json,
            Wrapped(R"({"name":"a","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}},)"
                    R"({"name":"b","datatype":"FP32","shape":[1],"data":[3.0]},)"
                    R"({"name":"empty","datatype":"FP32","shape":[0],"parameters":{"binary_data_size":0}})"));
  ASSERT_EQ(response->pieces.size(), 1U);
  EXPECT_EQ(response->pieces[0].data(), answer.outputs[0].tensor.data.data());
}

TEST(EncodeResponse, TheOutputsOwnFormWinsOverTheDefault) {
  ResponsePlan plan{.outputs = {{.name = "b", .binary = false}}, .binary_by_default = true};
  const auto response = EncodeResponse(
      Answer({Output<float>("a", DType::kFp32, {1}, {1}), Output<float>("b", DType::kFp32, {1}, {2})}), plan,
      nullptr);
  EXPECT_EQ(response->json,
            Wrapped(R"({"name":"a","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}},)"
                    R"({"name":"b","datatype":"FP32","shape":[1],"data":[2.0]})"));
}

TEST(EncodeResponse, ClassifiesWithTheModelsLabels) {
  models::ModelConfig config;
  config.max_batch_size = 4;
  config.outputs.push_back({.name = "p", .dtype = DType::kFp32, .shape = {-1, 3}, .labels = {"cat", "dog"}});
  ResponsePlan plan{.outputs = {{.name = "p", .classification = 2}}};
  const auto answer = Answer({Output<float>("p", DType::kFp32, {1, 3}, {0.25F, 0.5F, 0.125F})});

  EXPECT_EQ(
      EncodeResponse(answer, plan, &config)->json,
      Wrapped(R"({"name":"p","datatype":"BYTES","shape":[1,2],"data":["0.500000:1:dog","0.250000:0:cat"]})"));
  plan.outputs[0].binary = true;
  EXPECT_EQ(EncodeResponse(answer, plan, &config)->pieces[0].size(), 2 * (4 + 14U));
}

}  // namespace
}  // namespace mezzo::api::v2http
