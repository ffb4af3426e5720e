#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "grpc_service.pb.h"
#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "mezzo/api/grpc/internal/infer_request.h"
#include "mezzo/api/grpc/internal/infer_response.h"

namespace mezzo::api::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Request = ::inference::ModelInferRequest;

/// The message cut into pieces of `piece` bytes, as it may come from the network.
std::vector<BytesView> Cut(std::string_view bytes, std::size_t piece) {
  std::vector<BytesView> segments;
  for (std::size_t at = 0; at < bytes.size(); at += piece)
    segments.push_back(AsBytes(bytes.substr(at, piece)));
  return segments;
}

Result<DecodedInfer> DecodeBytes(std::string_view bytes, std::size_t piece = 1 << 20,
                                 DecodeLimits limits = {}, const SharedMemoryRegions* regions = nullptr) {
  DecodedInfer decoded;
  const auto segments = Cut(bytes, piece);
  auto result = DecodeInferRequest(segments, {.regions = regions, .tenant = TenantId("t")}, limits, &decoded);
  if (!result.ok()) return std::move(result).error();
  return decoded;
}
Result<DecodedInfer> Decode(const Request& request, std::size_t piece = 1 << 20) {
  return DecodeBytes(request.SerializeAsString(), piece);
}

Request::InferInputTensor* AddInput(Request* request, const std::string& name, const std::string& type,
                                    std::vector<std::int64_t> shape) {
  auto* input = request->add_inputs();
  input->set_name(name);
  input->set_datatype(type);
  for (const std::int64_t dim : shape) input->add_shape(dim);
  return input;
}

Request RawRequest() {
  Request request;
  request.set_model_name("m");
  request.set_model_version("7");
  request.set_id("id-1");
  AddInput(&request, "A", "FP32", {2, 2});
  AddInput(&request, "B", "UINT8", {3});
  request.add_raw_input_contents(std::string(16, '\x41'));
  request.add_raw_input_contents("xyz");
  return request;
}

template <typename T>
std::vector<T> Values(const tensor::Tensor& tensor) {
  std::vector<T> values(tensor.data.size() / sizeof(T));
  std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(T));
  return values;
}

TEST(InferRequest, RawContentsBecomeAlignedTensorsHoweverTheMessageIsCut) {
  const Request request = RawRequest();
  for (const std::size_t piece :
       {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{64}, std::size_t{4096}}) {
    auto decoded = Decode(request, piece);
    ASSERT_TRUE(decoded.ok()) << decoded.error().ToString();
    const inference::InferenceCall& call = decoded->call;
    EXPECT_EQ(call.model.str(), "m");
    EXPECT_EQ(call.version, "7");
    EXPECT_EQ(call.id, "id-1");
    ASSERT_EQ(call.inputs.size(), 2U);
    EXPECT_EQ(call.inputs[0].name, "A");
    EXPECT_EQ(call.inputs[0].tensor.dtype, tensor::DType::kFp32);
    EXPECT_EQ(call.inputs[0].tensor.shape, (tensor::Shape{2, 2}));
    EXPECT_EQ(call.inputs[0].tensor.data.text(), std::string(16, '\x41'));
    EXPECT_EQ(call.inputs[1].tensor.data.text(), "xyz");
    for (const auto& input : call.inputs) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(input.tensor.data.data()) % 64, 0U);
    }
  }
}

TEST(InferRequest, TypedContentsOfEveryTypeBecomeTheirBytes) {
  Request request;
  request.set_model_name("m");
  AddInput(&request, "bool", "BOOL", {2})->mutable_contents()->mutable_bool_contents()->Add(true);
  request.mutable_inputs(0)->mutable_contents()->add_bool_contents(false);
  auto* i8 = AddInput(&request, "i8", "INT8", {2})->mutable_contents();
  i8->add_int_contents(-128);
  i8->add_int_contents(127);
  auto* i16 = AddInput(&request, "i16", "INT16", {1})->mutable_contents();
  i16->add_int_contents(-32768);
  auto* i32 = AddInput(&request, "i32", "INT32", {2})->mutable_contents();
  i32->add_int_contents(-5);
  i32->add_int_contents(2147483647);
  auto* i64 = AddInput(&request, "i64", "INT64", {1})->mutable_contents();
  i64->add_int64_contents(INT64_MIN);
  auto* u8 = AddInput(&request, "u8", "UINT8", {1})->mutable_contents();
  u8->add_uint_contents(255);
  auto* u16 = AddInput(&request, "u16", "UINT16", {1})->mutable_contents();
  u16->add_uint_contents(65535);
  auto* u32 = AddInput(&request, "u32", "UINT32", {1})->mutable_contents();
  u32->add_uint_contents(4294967295U);
  auto* u64 = AddInput(&request, "u64", "UINT64", {1})->mutable_contents();
  u64->add_uint64_contents(UINT64_MAX);
  auto* f32 = AddInput(&request, "f32", "FP32", {2, 1})->mutable_contents();
  f32->add_fp32_contents(1.5F);
  f32->add_fp32_contents(-2.0F);
  auto* f64 = AddInput(&request, "f64", "FP64", {})->mutable_contents();
  f64->add_fp64_contents(0.25);
  auto* text = AddInput(&request, "text", "BYTES", {2})->mutable_contents();
  text->add_bytes_contents("ab");
  text->add_bytes_contents("");

  auto decoded = Decode(request, 5);

  ASSERT_TRUE(decoded.ok()) << decoded.error().ToString();
  const auto& in = decoded->call.inputs;
  EXPECT_THAT(Values<std::uint8_t>(in[0].tensor), ElementsAre(1, 0));
  EXPECT_THAT(Values<std::int8_t>(in[1].tensor), ElementsAre(-128, 127));
  EXPECT_THAT(Values<std::int16_t>(in[2].tensor), ElementsAre(-32768));
  EXPECT_THAT(Values<std::int32_t>(in[3].tensor), ElementsAre(-5, 2147483647));
  EXPECT_THAT(Values<std::int64_t>(in[4].tensor), ElementsAre(INT64_MIN));
  EXPECT_THAT(Values<std::uint8_t>(in[5].tensor), ElementsAre(255));
  EXPECT_THAT(Values<std::uint16_t>(in[6].tensor), ElementsAre(65535));
  EXPECT_THAT(Values<std::uint32_t>(in[7].tensor), ElementsAre(4294967295U));
  EXPECT_THAT(Values<std::uint64_t>(in[8].tensor), ElementsAre(UINT64_MAX));
  EXPECT_THAT(Values<float>(in[9].tensor), ElementsAre(1.5F, -2.0F));
  EXPECT_THAT(Values<double>(in[10].tensor), ElementsAre(0.25));
  EXPECT_EQ(in[11].tensor.data.text(), std::string_view("\2\0\0\0ab\0\0\0\0", 10));
}

TEST(InferRequest, UnpackedNumbersAreReadLikePackedOnes) {
  // inputs { name: "a" datatype: "INT32" shape: 2 (single) contents { int_contents: 3 int_contents: 4
  // (single) } }
  const std::string contents = std::string("\x10\x03\x10\x04", 4);
  const std::string input = std::string(
                                "\x0a\x01"
                                "a\x12\x05INT32\x18\x02\x2a\x04") +
                            contents;
  std::string message("\x0a\x01m\x2a", 4);
  message.push_back(static_cast<char>(input.size()));
  message += input;

  auto decoded = DecodeBytes(message);

  ASSERT_TRUE(decoded.ok()) << decoded.error().ToString();
  EXPECT_EQ(decoded->call.inputs[0].tensor.shape, (tensor::Shape{2}));
  EXPECT_THAT(Values<std::int32_t>(decoded->call.inputs[0].tensor), ElementsAre(3, 4));
}

TEST(InferRequest, ParametersGoWhereTheyBelong) {
  Request request = RawRequest();
  auto& parameters = *request.mutable_parameters();
  parameters["priority"].set_uint64_param(3);
  parameters["timeout"].set_int64_param(2500);
  parameters["sequence_id"].set_int64_param(0);
  parameters["sequence_start"].set_bool_param(false);
  parameters["triton_enable_empty_final_response"].set_bool_param(true);
  parameters["flag"].set_bool_param(true);
  parameters["number"].set_double_param(0.5);
  parameters["text"].set_string_param("");
  auto* output = request.add_outputs();
  output->set_name("O");
  (*output->mutable_parameters())["classification"].set_int64_param(2);

  auto decoded = Decode(request);

  ASSERT_TRUE(decoded.ok()) << decoded.error().ToString();
  EXPECT_EQ(decoded->call.priority, 3U);
  EXPECT_EQ(decoded->timeout, std::chrono::microseconds(2500));
  EXPECT_THAT(decoded->call.parameters,
              ::testing::UnorderedElementsAre(
                  std::pair<std::string, inference::ParameterValue>("flag", true),
                  std::pair<std::string, inference::ParameterValue>("number", 0.5),
                  std::pair<std::string, inference::ParameterValue>("text", std::string())));
  ASSERT_EQ(decoded->call.outputs.size(), 1U);
  EXPECT_EQ(decoded->call.outputs[0].name, "O");
  EXPECT_EQ(decoded->call.outputs[0].classification, 2);
}

struct BadCase {
  const char* what;
  void (*spoil)(Request*);
  const char* reason;
  const char* message;
};

constexpr BadCase kBadCases[] = {
    {"raw and typed", [](Request* r) { r->mutable_inputs(0)->mutable_contents()->add_fp32_contents(1); },
     "input_content",
     "contents field must not be specified when using raw_input_contents for 'A' for model 'm'"},
    {"too few raw", [](Request* r) { r->mutable_raw_input_contents()->RemoveLast(); }, "input_content",
     "unable to find data for input tensor 'B' for model 'm' in request."},
    {"too many raw", [](Request* r) { r->add_raw_input_contents("q"); }, "input_content",
     "expected 2 raw_input_contents for the inputs of model 'm', got 3"},
    {"datatype", [](Request* r) { r->mutable_inputs(0)->set_datatype("FP33"); }, "datatype_unknown",
     "invalid datatype 'FP33' for input 'A'"},
    {"no datatype", [](Request* r) { r->mutable_inputs(0)->clear_datatype(); }, "datatype_unknown",
     "invalid datatype '' for input 'A'"},
    {"rank",
     [](Request* r) {
       for (int i = 0; i < 11; ++i) r->mutable_inputs(0)->add_shape(1);
     },
     "shape_rank", "input 'A' has more than 12 dimensions"},
    {"wrong typed field",
     [](Request* r) {
       r->clear_raw_input_contents();
       r->mutable_inputs(0)->mutable_contents()->add_int_contents(1);
     },
     "input_content", "unable to find data for input tensor 'B'"},
    {"priority type", [](Request* r) { (*r->mutable_parameters())["priority"].set_string_param("1"); },
     "parameter_type", "invalid value type for 'priority' parameter, expected int64_param or uint64_param."},
    {"priority value", [](Request* r) { (*r->mutable_parameters())["priority"].set_int64_param(-1); },
     "parameter_value", "invalid value for 'priority', expected value >= 0."},
    {"timeout type", [](Request* r) { (*r->mutable_parameters())["timeout"].set_bool_param(true); },
     "parameter_type", "invalid value type for 'timeout' parameter, expected int64_param."},
    {"timeout value", [](Request* r) { (*r->mutable_parameters())["timeout"].set_int64_param(-3); },
     "parameter_value", "expected microseconds >= 0, got -3"},
    {"sequence", [](Request* r) { (*r->mutable_parameters())["sequence_id"].set_int64_param(4); },
     "sequence_unsupported", "parameter 'sequence_id': sequence batching is not supported"},
    {"sequence by name", [](Request* r) { (*r->mutable_parameters())["sequence_id"].set_string_param("s"); },
     "sequence_unsupported", "sequence batching is not supported"},
    {"sequence start", [](Request* r) { (*r->mutable_parameters())["sequence_start"].set_bool_param(true); },
     "sequence_unsupported", "parameter 'sequence_start'"},
    {"reserved", [](Request* r) { (*r->mutable_parameters())["triton_x"].set_bool_param(true); },
     "parameter_reserved", "parameter keys starting with 'triton_' are reserved"},
    {"empty parameter", [](Request* r) { (*r->mutable_parameters())["p"]; }, "parameter_type",
     "invalid value type for 'p' parameter"},
    {"unsigned parameter", [](Request* r) { (*r->mutable_parameters())["p"].set_uint64_param(1ULL << 63); },
     "parameter_type", "parameter 'p' is 9223372036854775808, the limit is 9223372036854775807"},
    {"region size missing",
     [](Request* r) {
       (*r->mutable_inputs(0)->mutable_parameters())["shared_memory_region"].set_string_param("x");
     },
     "shared_memory_parameter",
     "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor "
     "'A'"},
    {"offset alone",
     [](Request* r) {
       (*r->mutable_inputs(0)->mutable_parameters())["shared_memory_offset"].set_int64_param(1);
     },
     "shared_memory_parameter",
     "'shared_memory_offset' can not be specified without 'shared_memory_region' parameter for tensor 'A'"},
    {"region type",
     [](Request* r) {
       (*r->mutable_inputs(0)->mutable_parameters())["shared_memory_region"].set_bool_param(true);
     },
     "shared_memory_parameter",
     "invalid value type for 'shared_memory_region' parameter for tensor 'A', expected string_param."},
    {"duplicate output",
     [](Request* r) {
       r->add_outputs()->set_name("O");
       r->add_outputs()->set_name("O");
     },
     "output_duplicate", "output 'O' already exists in request"},
    {"classification and region",
     [](Request* r) {
       auto* output = r->add_outputs();
       output->set_name("O");
       auto& p = *output->mutable_parameters();
       p["classification"].set_int64_param(1);
       p["shared_memory_region"].set_string_param("x");
       p["shared_memory_byte_size"].set_int64_param(1);
     },
     "output_content", "output can't set both 'shared_memory_region' and 'classification'"},
    {"long name", [](Request* r) { r->set_model_name(std::string(5000, 'n')); }, "field_too_long",
     "field 'model_name' has 5000 bytes, the limit is 4096"},
};

TEST(InferRequest, BadRequestsAreRefusedWithWhatIsWrong) {
  for (const BadCase& bad : kBadCases) {
    Request request = RawRequest();
    bad.spoil(&request);

    auto decoded = Decode(request);

    ASSERT_FALSE(decoded.ok()) << bad.what;
    EXPECT_EQ(decoded.error().reason(), bad.reason) << bad.what << ": " << decoded.error().ToString();
    EXPECT_THAT(decoded.error().message(), HasSubstr(bad.message)) << bad.what;
  }
}

struct BadContents {
  const char* type;
  void (*fill)(::inference::InferTensorContents*);
  const char* reason;
  const char* message;
};

constexpr BadContents kBadContents[] = {
    {"FP32", [](auto* c) { c->add_int_contents(1); }, "contents_type",
     "unexpected explicit tensor data for input tensor 'A' for model 'm' of type 'INT32', expected datatype "
     "'FP32'"},
    {"FP32",
     [](auto* c) {
       c->add_fp32_contents(1);
       c->add_fp32_contents(2);
       c->add_fp64_contents(2);
     },
     "contents_type",
     "unexpected explicit tensor data for input tensor 'A' for model 'm', binary data was already supplied."},
    {"FP16", [](auto* c) { c->add_fp32_contents(1); }, "contents_type",
     "datatype 'FP16' of input tensor 'A' for model 'm' has no form in contents: use raw_input_contents"},
    {"FP32", [](auto* c) { c->add_fp32_contents(1); }, "tensor_size",
     "input 'A' of type FP32 and shape [2] needs 2 elements, got 1"},
    {"BYTES", [](auto* c) { c->add_bytes_contents("x"); }, "tensor_size",
     "input 'A' of type BYTES and shape [2] needs 2 elements, got 1"},
    {"UINT8",
     [](auto* c) {
       c->add_uint_contents(1);
       c->add_uint_contents(300);
     },
     "contents_value", "element 1 of input tensor 'A' for model 'm' is beyond the range of UINT8"},
    {"INT8",
     [](auto* c) {
       c->add_int_contents(-129);
       c->add_int_contents(0);
     },
     "contents_value", "element 0 of input tensor 'A' for model 'm' is beyond the range of INT8"},
};

TEST(InferRequest, BadContentsAreRefusedWithWhatIsWrong) {
  for (const BadContents& bad : kBadContents) {
    Request request;
    request.set_model_name("m");
    bad.fill(AddInput(&request, "A", bad.type, {2})->mutable_contents());

    auto decoded = Decode(request);

    ASSERT_FALSE(decoded.ok()) << bad.message;
    EXPECT_EQ(decoded.error().reason(), bad.reason) << decoded.error().ToString();
    EXPECT_THAT(decoded.error().message(), HasSubstr(bad.message));
  }
}

TEST(InferRequest, OverflowingShapesAreRefusedBeforeMemoryIsTaken) {
  Request request;
  request.set_model_name("m");
  AddInput(&request, "A", "FP32", {1LL << 40, 1LL << 40})->mutable_contents()->add_fp32_contents(1);
  auto decoded = Decode(request);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().reason(), "shape_overflow");
}

TEST(InferRequest, CountsAndSizesAreBounded) {
  const DecodeLimits limits{
      .max_tensors = 3, .max_parameters = 2, .max_name_bytes = 10, .max_decoded_bytes = 100};
  Request many = RawRequest();
  for (int i = 0; i < 2; ++i) AddInput(&many, "C", "UINT8", {0});
  EXPECT_EQ(DecodeBytes(many.SerializeAsString(), 99, limits).error().reason(), "too_many_inputs");
  Request outputs = RawRequest();
  for (int i = 0; i < 4; ++i) outputs.add_outputs()->set_name(std::to_string(i));
  EXPECT_EQ(DecodeBytes(outputs.SerializeAsString(), 99, limits).error().reason(), "too_many_outputs");
  Request parameters = RawRequest();
  for (int i = 0; i < 3; ++i) (*parameters.mutable_parameters())[std::to_string(i)].set_bool_param(true);
  EXPECT_EQ(DecodeBytes(parameters.SerializeAsString(), 99, limits).error().reason(), "too_many_parameters");
  Request big = RawRequest();
  *big.mutable_raw_input_contents(0) = std::string(101, 'x');
  EXPECT_EQ(DecodeBytes(big.SerializeAsString(), 99, limits).error().reason(), "data_too_large");
}

TEST(InferRequest, UnknownRegionsAreNotFound) {
  SharedMemoryRegions regions({.enabled = true, .key_prefix = {}});
  Request request;
  request.set_model_name("m");
  auto& parameters = *AddInput(&request, "A", "FP32", {2})->mutable_parameters();
  parameters["shared_memory_region"].set_string_param("nowhere");
  parameters["shared_memory_byte_size"].set_int64_param(8);
  auto decoded = DecodeBytes(request.SerializeAsString(), 64, {}, &regions);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().reason(), "shared_memory_unknown");
}

TEST(InferRequest, TextThatIsNotUtf8IsRefused) {
  auto decoded = DecodeBytes(std::string_view("\x0a\x02m\xff", 4));
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().reason(), "protobuf_malformed");
}

/// What protobuf's own parser makes of the same bytes.
void ExpectSameAs(const Request& parsed, const DecodedInfer& decoded) {
  EXPECT_EQ(decoded.call.model.str(), parsed.model_name());
  EXPECT_EQ(decoded.call.version, parsed.model_version());
  EXPECT_EQ(decoded.call.id, parsed.id());
  ASSERT_EQ(decoded.call.inputs.size(), static_cast<std::size_t>(parsed.inputs_size()));
  int raw = 0;
  for (int i = 0; i < parsed.inputs_size(); ++i) {
    const auto& input = decoded.call.inputs[static_cast<std::size_t>(i)];
    EXPECT_EQ(input.name, parsed.inputs(i).name());
    EXPECT_EQ(tensor::DTypeName(input.tensor.dtype), parsed.inputs(i).datatype());
    EXPECT_EQ(std::vector<std::int64_t>(input.tensor.shape.dims().begin(), input.tensor.shape.dims().end()),
              std::vector<std::int64_t>(parsed.inputs(i).shape().begin(), parsed.inputs(i).shape().end()));
    if (!parsed.inputs(i).has_contents()) {
      EXPECT_EQ(input.tensor.data.text(), parsed.raw_input_contents(raw++));
    }
  }
}

TEST(InferRequest, AgreesWithProtobufOnDamagedMessages) {
  Request whole = RawRequest();
  (*whole.mutable_parameters())["p"].set_string_param("v");
  whole.add_outputs()->set_name("O");
  const std::string sound = whole.SerializeAsString();
  std::mt19937_64 random(20240607);
  google::protobuf::SetLogHandler(nullptr);
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = sound;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < changes; ++i) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 4);
          break;
        default:
          bytes.insert(at, 1, static_cast<char>(random()));
          break;
      }
      if (bytes.empty()) break;
    }
    auto decoded = DecodeBytes(bytes, 1 + random() % 40);
    Request parsed;
    const bool sound_protobuf = parsed.ParseFromString(bytes);
    if (!decoded.ok()) continue;
    ++accepted;
    ASSERT_TRUE(sound_protobuf) << round;
    ExpectSameAs(parsed, *decoded);
  }
  EXPECT_GT(accepted, 1000);
}

// Responses.

inference::InferenceAnswer SomeAnswer() {
  inference::InferenceAnswer answer;
  answer.model = ModelName("m");
  answer.version = "12";
  answer.id = "an id";
  answer.parameters = {{"b", true}, {"i", std::int64_t{-1}}, {"d", 2.5}, {"s", std::string()}};
  answer.outputs.push_back({.name = "O",
                            .tensor = {.dtype = tensor::DType::kInt64,
                                       .shape = {1, 2},
                                       .data = SharedBytes::FromString(std::string(16, '\7'))}});
  answer.outputs.push_back(
      {.name = "scalar",
       .tensor = {.dtype = tensor::DType::kBool, .shape = {}, .data = SharedBytes::FromString("\1")}});
  answer.outputs.push_back(
      {.name = "none", .tensor = {.dtype = tensor::DType::kFp32, .shape = {0}, .data = {}}});
  return answer;
}

std::string Write(const inference::InferenceAnswer& answer, InferResponseWriter::Form form) {
  InferResponseWriter writer(answer, form);
  std::string head(writer.head_size(), '\0');
  writer.Write(reinterpret_cast<std::byte*>(head.data()));
  std::string message;
  std::size_t from = 0;
  for (const auto& splice : writer.splices()) {
    message += head.substr(from, splice.at - from);
    message += splice.bytes->text();
    from = splice.at;
  }
  return message + head.substr(from);
}

TEST(InferResponse, IsWhatProtobufReads) {
  ::inference::ModelInferResponse parsed;
  ASSERT_TRUE(parsed.ParseFromString(Write(SomeAnswer(), InferResponseWriter::Form::kUnary)));

  EXPECT_EQ(parsed.model_name(), "m");
  EXPECT_EQ(parsed.model_version(), "12");
  EXPECT_EQ(parsed.id(), "an id");
  EXPECT_EQ(parsed.parameters_size(), 4);
  EXPECT_TRUE(parsed.parameters().at("b").bool_param());
  EXPECT_EQ(parsed.parameters().at("i").int64_param(), -1);
  EXPECT_EQ(parsed.parameters().at("d").double_param(), 2.5);
  EXPECT_EQ(parsed.parameters().at("s").parameter_choice_case(), ::inference::InferParameter::kStringParam);
  ASSERT_EQ(parsed.outputs_size(), 3);
  EXPECT_EQ(parsed.outputs(0).name(), "O");
  EXPECT_EQ(parsed.outputs(0).datatype(), "INT64");
  EXPECT_THAT(parsed.outputs(0).shape(), ElementsAre(1, 2));
  EXPECT_EQ(parsed.outputs(1).shape_size(), 0);
  EXPECT_THAT(parsed.outputs(2).shape(), ElementsAre(0));
  EXPECT_THAT(parsed.raw_output_contents(), ElementsAre(std::string(16, '\7'), "\1", ""));
}

TEST(InferResponse, OfAStreamSaysThatItIsTheFinalOne) {
  ::inference::ModelStreamInferResponse parsed;
  ASSERT_TRUE(parsed.ParseFromString(Write(SomeAnswer(), InferResponseWriter::Form::kStream)));

  EXPECT_EQ(parsed.error_message(), "");
  EXPECT_EQ(parsed.infer_response().id(), "an id");
  EXPECT_TRUE(parsed.infer_response().parameters().at("triton_final_response").bool_param());
  EXPECT_EQ(parsed.infer_response().raw_output_contents_size(), 3);
}

TEST(InferResponse, BigOutputsAreSplicedInBetween) {
  inference::InferenceAnswer answer = SomeAnswer();
  const std::string big(InferResponseWriter::kSpliceBytes, 'b');
  answer.outputs[1].tensor.data = SharedBytes::FromString(big);
  answer.outputs[2].tensor.data = SharedBytes::FromString(big + "c");

  InferResponseWriter writer(answer, InferResponseWriter::Form::kStream);
  EXPECT_LT(writer.head_size(), 1000U);
  ::inference::ModelStreamInferResponse parsed;
  ASSERT_TRUE(parsed.ParseFromString(Write(answer, InferResponseWriter::Form::kStream)));
  EXPECT_THAT(parsed.infer_response().raw_output_contents(),
              ElementsAre(std::string(16, '\7'), big, big + "c"));
}

}  // namespace
}  // namespace mezzo::api::rpc
