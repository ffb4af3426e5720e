#include "mezzo/app/cli/payload.h"

#include <cstring>

#include "grpc_service.pb.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mezzo::app::cli {
namespace {

using tensor::DType;
using tensor::Shape;
using ::testing::HasSubstr;

ModelSignature TwoInputs() {
  return {.name = "m",
          .versions = {"1"},
          .platform = "",
          .inputs = {{.name = "ids", .dtype = DType::kInt64, .shape = {-1, -1}},
                     {.name = "mask", .dtype = DType::kInt64, .shape = {-1, -1}},
                     {.name = "x", .dtype = DType::kFp32, .shape = {-1, 3}}},
          .outputs = {}};
}

FlowSpec FlowFor(std::vector<std::string> shapes, std::vector<std::string> ranges = {}) {
  FlowSpec flow;
  flow.model = "m";
  flow.shapes = std::move(shapes);
  flow.ranges = std::move(ranges);
  return flow;
}

template <typename T>
std::vector<T> ValuesOf(const tensor::Tensor& tensor) {
  std::vector<T> values(tensor.data.size() / sizeof(T));
  std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(T));
  return values;
}

std::string Fault(const FlowSpec& flow) {
  const auto inputs = MakeInputs(TwoInputs(), flow, 1);
  return inputs.ok() ? "(fine)" : inputs.error().message();
}

TEST(MakeInputs, FillsVariableDimensionsAndKeepsValuesInRange) {
  const auto inputs = MakeInputs(TwoInputs(), FlowFor({"ids:2x40"}, {"ids:5..7", "mask:1..1"}), 1);

  ASSERT_TRUE(inputs.ok()) << inputs.error().message();
  EXPECT_EQ((*inputs)[0].tensor.shape, (Shape{2, 40}));
  EXPECT_EQ((*inputs)[1].tensor.shape, (Shape{2, 40}));  // Declared as `ids` is.
  EXPECT_EQ((*inputs)[2].tensor.shape, (Shape{1, 3}));
  const auto ids = ValuesOf<std::int64_t>((*inputs)[0].tensor);
  EXPECT_EQ(ids.size(), 80u);
  EXPECT_THAT(ids, ::testing::Each(::testing::AllOf(::testing::Ge(5), ::testing::Le(7))));
  EXPECT_THAT(ids, ::testing::Contains(5));
  EXPECT_THAT(ids, ::testing::Contains(7));
  EXPECT_THAT(ValuesOf<std::int64_t>((*inputs)[1].tensor), ::testing::Each(1));
}

TEST(MakeInputs, SeedDecidesTheValuesAndZerosAreZero) {
  FlowSpec flow = FlowFor({});
  const auto text = [&flow](std::uint64_t seed) {
    return std::string((*MakeInputs(TwoInputs(), flow, seed))[2].tensor.data.text());
  };
  EXPECT_EQ(text(1), text(1));
  EXPECT_NE(text(1), text(2));

  flow.fill = Fill::kZeros;
  EXPECT_EQ(text(1), std::string(12, '\0'));
}

TEST(MakeInputs, EveryTypeMakesAValidTensor) {
  for (int i = 0; i <= static_cast<int>(DType::kBytes); ++i) {
    const auto dtype = static_cast<DType>(i);
    const ModelSignature signature{.name = "m",
                                   .versions = {},
                                   .platform = "",
                                   .inputs = {{.name = "x", .dtype = dtype, .shape = {-1, 5}}},
                                   .outputs = {}};
    const auto inputs = MakeInputs(signature, FlowFor({"x:4x5"}), 3);
    ASSERT_TRUE(inputs.ok()) << tensor::DTypeName(dtype);
    EXPECT_TRUE(tensor::CheckTensor("x", (*inputs)[0].tensor).ok()) << tensor::DTypeName(dtype);
  }
}

TEST(MakeInputs, NamesShapesAndRangesThatDoNotFit) {
  EXPECT_THAT(Fault(FlowFor({"idz:1x2"})),
              HasSubstr("shape 'idz:1x2' must be INPUT:VALUE with an input of model 'm' (ids, mask, x)"));
  EXPECT_THAT(Fault(FlowFor({"x:2x4"})), HasSubstr("shape [2,4] does not fit input 'x' of shape [-1,3]"));
  EXPECT_THAT(Fault(FlowFor({"ids:1xa"})), HasSubstr("must be numbers joined by 'x'"));
  EXPECT_THAT(Fault(FlowFor({"ids:1000000000x1000000000000"})), HasSubstr("larger than 1 GiB"));
  EXPECT_THAT(Fault(FlowFor({}, {"ids:9..5"})), HasSubstr("must be LOW..HIGH"));
  EXPECT_THAT(Fault(FlowFor({}, {"ids:0..1e30"})), HasSubstr("exceeds its type INT64"));
}

TEST(HttpInferRequest, BinaryPartsAddUp) {
  const auto inputs = MakeInputs(TwoInputs(), FlowFor({"ids:1x2"}), 1);
  FlowSpec flow = FlowFor({});
  flow.deadline = std::chrono::milliseconds(5);
  flow.priority = 2;
  const RequestFrame frame{.address = *ParseUrl("http://h:81/base/"), .key = "secret"};

  const std::string request = HttpInferRequest(frame, flow, *inputs);

  const std::size_t end = request.find("\r\n\r\n");
  const std::string head = request.substr(0, end + 2);
  const std::string body = request.substr(end + 4);
  EXPECT_THAT(head, ::testing::StartsWith("POST /base/v2/models/m/infer HTTP/1.1\r\nHost: h:81\r\n"));
  EXPECT_THAT(head, HasSubstr("Authorization: Bearer secret\r\n"));
  EXPECT_THAT(head, HasSubstr("Content-Length: " + std::to_string(body.size()) + "\r\n"));
  const std::size_t raw = 2 * 8 + 2 * 8 + 3 * 4;
  EXPECT_THAT(head,
              HasSubstr("Inference-Header-Content-Length: " + std::to_string(body.size() - raw) + "\r\n"));
  const auto json = nlohmann::json::parse(body.substr(0, body.size() - raw));
  EXPECT_EQ(json["parameters"]["timeout"], 5000);
  EXPECT_EQ(json["parameters"]["priority"], 2);
  EXPECT_EQ(json["inputs"][2]["parameters"]["binary_data_size"], 12);
  EXPECT_EQ(body.substr(body.size() - 12), (*inputs)[2].tensor.data.text());
}

TEST(HttpInferRequest, JsonValuesReadBackAsTheSameTensors) {
  FlowSpec flow = FlowFor({"ids:2x3"});
  flow.protocol = Protocol::kHttpJson;
  const auto inputs = MakeInputs(TwoInputs(), flow, 1);
  std::size_t json_length = 0;

  const std::string body = InferBody(flow, *inputs, &json_length);

  EXPECT_EQ(json_length, body.size());
  const auto parsed = ParseInputs(body, "body");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ((*parsed)[i].name, (*inputs)[i].name);
    EXPECT_EQ((*parsed)[i].tensor.shape, (*inputs)[i].tensor.shape);
    EXPECT_EQ((*parsed)[i].tensor.data.text(), (*inputs)[i].tensor.data.text());
  }
}

TEST(HttpRawRequest, PostsOnlyWithABody) {
  const RequestFrame frame{.address = *ParseUrl("http://h"), .key = ""};
  FlowSpec flow;
  flow.protocol = Protocol::kRaw;
  flow.path = "/p";
  EXPECT_EQ(HttpRawRequest(frame, flow, ""), "GET /p HTTP/1.1\r\nHost: h\r\n\r\n");
  flow.body_file = "b";
  EXPECT_THAT(HttpRawRequest(frame, flow, "xyz"), ::testing::EndsWith("Content-Length: 3\r\n\r\nxyz"));
}

TEST(GrpcInferRequest, IsTheServersMessage) {
  FlowSpec flow = FlowFor({"ids:1x2"});
  flow.version = "3";
  flow.deadline = std::chrono::milliseconds(5);
  const auto inputs = MakeInputs(TwoInputs(), flow, 1);

  inference::ModelInferRequest request;
  ASSERT_TRUE(request.ParseFromString(GrpcInferRequest(flow, *inputs)));

  EXPECT_EQ(request.model_name(), "m");
  EXPECT_EQ(request.model_version(), "3");
  EXPECT_EQ(request.parameters().at("timeout").int64_param(), 5000);
  ASSERT_EQ(request.inputs_size(), 3);
  EXPECT_EQ(request.inputs(0).datatype(), "INT64");
  EXPECT_EQ(request.inputs(0).shape(1), 2);
  EXPECT_EQ(request.raw_input_contents(2), (*inputs)[2].tensor.data.text());
}

TEST(TensorFromJson, TakesShapeFromNestingOrAsGiven) {
  EXPECT_EQ(TensorFromJson("x", DType::kFp32, nullptr, "[[1,2,3],[4,5,6]]")->shape, (Shape{2, 3}));
  EXPECT_EQ(TensorFromJson("x", DType::kFp32, nullptr, "1.5")->shape.rank(), 0u);
  const Shape shape{3, 2};
  EXPECT_EQ(TensorFromJson("x", DType::kFp32, &shape, "[1,2,3,4,5,6]")->shape, shape);
}

TEST(TensorFromJson, NamesWhatDoesNotFit) {
  const auto fault = [](DType dtype, std::string_view json, const Shape* shape = nullptr) {
    const auto tensor = TensorFromJson("x", dtype, shape, json);
    return tensor.ok() ? std::string("(fine)") : tensor.error().message();
  };
  EXPECT_THAT(fault(DType::kInt8, "[1,128]"), HasSubstr("input 'x' holds 128, which is no INT8"));
  EXPECT_THAT(fault(DType::kUint8, "[-1]"), HasSubstr("holds -1, which is no UINT8"));
  EXPECT_THAT(fault(DType::kInt32, "[1.5]"), HasSubstr("holds 1.5"));
  EXPECT_THAT(fault(DType::kBool, "[2]"), HasSubstr("holds 2"));
  EXPECT_THAT(fault(DType::kFp32, "[\"a\"]"), HasSubstr("holds \"a\""));
  EXPECT_THAT(fault(DType::kFp32, "[[1],[2,3]]"), HasSubstr("lists of different lengths"));
  EXPECT_THAT(fault(DType::kFp32, "[[1],2]"), HasSubstr("lists of different depths"));
  EXPECT_THAT(fault(DType::kFp32, "[1,"), HasSubstr("is not JSON"));
  EXPECT_THAT(fault(DType::kFp32, "[[[[[[[[[[[[[1]]]]]]]]]]]]]"), HasSubstr("nested deeper than 12"));
  const Shape shape{4};
  EXPECT_NE(fault(DType::kFp32, "[1,2,3]", &shape), "(fine)");
}

TEST(ValuesAsJson, RoundTripsEveryType) {
  for (const auto& [dtype, json] :
       std::vector<std::pair<DType, std::string>>{{DType::kBool, "[true,false]"},
                                                  {DType::kInt64, "[-9223372036854775808,5]"},
                                                  {DType::kUint64, "[18446744073709551615]"},
                                                  {DType::kFp16, "[0.5,-65504]"},
                                                  {DType::kBf16, "[1.5,-2]"},
                                                  {DType::kFp32, "[0.1,16777216]"},
                                                  {DType::kFp64, "[0.1,-1e-300]"},
                                                  {DType::kBytes, "[\"a\",\"\",\"\\\"q\"]"}}) {
    const auto first = TensorFromJson("x", dtype, nullptr, json);
    ASSERT_TRUE(first.ok()) << first.error().message();
    const auto second = TensorFromJson("x", dtype, nullptr, ValuesAsJson(*first));
    ASSERT_TRUE(second.ok()) << ValuesAsJson(*first);
    EXPECT_EQ(first->data.text(), second->data.text()) << ValuesAsJson(*first);
  }
  EXPECT_EQ(ValuesAsJson(*TensorFromJson("x", DType::kFp32, nullptr, "[0.1]")), "[0.1]");
}

TEST(ParseInputs, NamesWhatIsMissing) {
  const auto fault = [](std::string_view json) { return ParseInputs(json, "f.json").error().message(); };
  EXPECT_EQ(fault("[]"), "f.json: must be a JSON object with a list \"inputs\"");
  EXPECT_EQ(fault(R"({"inputs":[]})"), "f.json: \"inputs\" is empty");
  EXPECT_THAT(fault(R"({"inputs":[{"name":"x"}]})"), HasSubstr("needs \"name\", \"datatype\" and \"data\""));
  EXPECT_THAT(fault(R"({"inputs":[{"name":"x","datatype":"F","data":[]}]})"),
              HasSubstr("unknown datatype \"F\""));
}

}  // namespace
}  // namespace mezzo::app::cli
