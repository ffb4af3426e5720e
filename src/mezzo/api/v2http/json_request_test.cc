#include "mezzo/api/v2http/json_request.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

namespace mezzo::api::v2http {
namespace {

using namespace std::chrono_literals;
using tensor::DType;

SharedBytes Body(std::string_view text) {
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(text.size());
  std::memcpy(buffer.data(), text.data(), text.size());
  return buffer.Share();
}

Result<DecodedRequest> Decode(std::string_view json, std::string_view binary = "",
                              const DecodeLimits& limits = {}) {
  return DecodeRequest(Body(std::string(json) + std::string(binary)), json.size(), "m", "", {}, limits);
}

/// A request with one input of these members.
std::string Input(std::string_view members) {
  return R"({"inputs":[{"name":"x",)" + std::string(members) + "}]}";
}

/// "CODE reason: message"
std::string Problem(std::string_view json, std::string_view binary = "", const DecodeLimits& limits = {}) {
  const auto request = Decode(json, binary, limits);
  return request.ok() ? "" : request.error().ToString();
}

template <typename T>
std::vector<T> Values(const tensor::Tensor& tensor) {
  std::vector<T> values(tensor.data.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

template <typename T>
std::vector<T> DecodeValues(std::string_view members) {
  const auto request = Decode(Input(members));
  EXPECT_TRUE(request.ok()) << request.error().ToString();
  return request.ok() ? Values<T>(request->call.inputs[0].tensor) : std::vector<T>();
}

TEST(DecodeRequest, ReadsEveryPartOfARequest) {
  const SharedBytes body = Body(
      R"({"id":"42","parameters":{"priority":2,"timeout":1500,"binary_data_output":true,"flag":true,"n":-3,
          "f":0.5,"s":"text"},"unknown":{"deep":[1,{"x":null}]},
          "inputs":[{"name":"a","shape":[2,2],"datatype":"INT32","data":[[1,2],[3,4]],"extra":1}],
          "outputs":[{"name":"y","parameters":{"binary_data":true}},{"name":"z","parameters":{"classification":3}}]})");
  const auto decoded = DecodeRequest(body, body.size(), "m", "7", {}, {});

  ASSERT_TRUE(decoded.ok()) << decoded.error().ToString();
  EXPECT_EQ(decoded->call.model.str(), "m");
  EXPECT_EQ(decoded->call.version, "7");
  EXPECT_EQ(decoded->call.id, "42");
  EXPECT_EQ(decoded->call.priority, 2U);
  EXPECT_EQ(decoded->timeout, 1500us);
  EXPECT_TRUE(decoded->plan.binary_by_default);
  const inference::Parameters expected = {
      {"flag", true}, {"n", std::int64_t{-3}}, {"f", 0.5}, {"s", std::string("text")}};
  EXPECT_EQ(decoded->call.parameters, expected);
  ASSERT_EQ(decoded->call.inputs.size(), 1U);
  EXPECT_EQ(decoded->call.inputs[0].name, "a");
  EXPECT_EQ(decoded->call.inputs[0].tensor.shape, (tensor::Shape{2, 2}));
  EXPECT_EQ(Values<std::int32_t>(decoded->call.inputs[0].tensor), (std::vector<std::int32_t>{1, 2, 3, 4}));
  ASSERT_EQ(decoded->plan.outputs.size(), 2U);
  EXPECT_TRUE(decoded->plan.outputs[0].binary);
  EXPECT_EQ(decoded->call.outputs[1].name, "z");
  EXPECT_EQ(decoded->call.outputs[1].classification, 3);
}

TEST(DecodeRequest, TakesMembersInAnyOrder) {
  const auto request = Decode(
      R"({"outputs":[],"inputs":[{"data":[1,2],"datatype":"FP32","name":"x","shape":[2]},
                                 {"shape":[1],"data":["a"],"name":"s","datatype":"BYTES"}],"id":"i"})");
  ASSERT_TRUE(request.ok()) << request.error().ToString();
  EXPECT_EQ(Values<float>(request->call.inputs[0].tensor), (std::vector<float>{1, 2}));
  EXPECT_EQ(request->call.inputs[1].tensor.data.text(), std::string("\x01\0\0\0a", 5));
  EXPECT_EQ(request->call.id, "i");
}

TEST(DecodeRequest, BinaryTensorsAreSlicesOfTheBody) {
  const std::string json =
      R"({"inputs":[{"name":"a","shape":[2],"datatype":"UINT8","parameters":{"binary_data_size":2}},)"
      R"({"name":"b","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":7}}]})";
  const SharedBytes body = Body(json + "xy" + std::string("\x03\0\0\0abc", 7));

  const auto request = DecodeRequest(body, json.size(), "m", "", {}, {});

  ASSERT_TRUE(request.ok()) << request.error().ToString();
  EXPECT_EQ(request->call.inputs[0].tensor.data.data(), body.data() + json.size());
  EXPECT_EQ(request->call.inputs[1].tensor.data.data(), body.data() + json.size() + 2);
}

TEST(DecodeRequest, CopiesBinaryTensorsThatLieUnaligned) {
  const std::string json =
      R"({"inputs":[{"name":"a","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}},)"
      R"({"name":"b","shape":[1],"datatype":"FP64","parameters":{"binary_data_size":8}}]})";
  const double value = 2.5;
  std::string tail = "x" + std::string(sizeof(value), '\0');
  std::memcpy(tail.data() + 1, &value, sizeof(value));

  const auto request = Decode(json, tail);

  ASSERT_TRUE(request.ok());
  const tensor::Tensor& b = request->call.inputs[1].tensor;
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data.data()) % 8, 0U);
  EXPECT_EQ(Values<double>(b), std::vector<double>{2.5});
}

TEST(DecodeRequest, ReadsAllTypesFromJson) {
  EXPECT_EQ(DecodeValues<std::uint8_t>(R"("shape":[3],"datatype":"BOOL","data":[true,[false],true])"),
            (std::vector<std::uint8_t>{1, 0, 1}));
  EXPECT_EQ(DecodeValues<std::uint8_t>(R"("shape":[2],"datatype":"UINT8","data":[0,255])"),
            (std::vector<std::uint8_t>{0, 255}));
  EXPECT_EQ(DecodeValues<std::int8_t>(R"("shape":[2],"datatype":"INT8","data":[-128,127])"),
            (std::vector<std::int8_t>{-128, 127}));
  EXPECT_EQ(DecodeValues<std::int64_t>(
                R"("shape":[2],"datatype":"INT64","data":[-9223372036854775808,9223372036854775807])"),
            (std::vector<std::int64_t>{INT64_MIN, INT64_MAX}));
  EXPECT_EQ(DecodeValues<std::uint64_t>(R"("shape":[1],"datatype":"UINT64","data":[18446744073709551615])"),
            (std::vector<std::uint64_t>{UINT64_MAX}));
  EXPECT_EQ(
      DecodeValues<float>(R"("shape":[5],"datatype":"FP32","data":[1,-2.5e-1,0.1,[3.4028234e38,Infinity]])"),
      (std::vector<float>{1, -0.25F, 0.1F, 3.4028234e38F, HUGE_VALF}));
  EXPECT_EQ(DecodeValues<double>(R"("shape":[1,2],"datatype":"FP64","data":[[0.1,-1e300]])"),
            (std::vector<double>{0.1, -1e300}));
  EXPECT_TRUE(DecodeValues<float>(R"("shape":[0,4],"datatype":"FP32","data":[])").empty());
}

TEST(DecodeRequest, IgnoresSequenceParametersThatSayNothing) {
  EXPECT_EQ(
      Problem(R"({"inputs":[],"parameters":{"sequence_id":0,"sequence_start":false,"sequence_end":false}})"),
      "");
  EXPECT_EQ(Problem(R"({"inputs":[],"parameters":{"sequence_id":""}})"), "");
  EXPECT_EQ(Decode(R"({"inputs":[],"parameters":{"timeout":0}})")->timeout, std::nullopt);
}

struct Bad {
  std::string json;
  std::string expected;
  std::string binary;
};

TEST(DecodeRequest, RefusesBadRequestsExactly) {
  const std::string x = R"("shape":[2],"datatype":)";
  const Bad cases[] = {
      {"",
       "INVALID_ARGUMENT json_malformed: failed to parse the request JSON buffer: expected an object at byte "
       "0, where the text ends",
       ""},
      {"[]",
       "INVALID_ARGUMENT json_malformed: failed to parse the request JSON buffer: expected an object at byte "
       "0",
       ""},
      {"{}",
       "INVALID_ARGUMENT field_missing: Unable to parse 'inputs': attempt to access non-existing object "
       "member 'inputs'",
       ""},
      {R"({"inputs":{}})",
       "INVALID_ARGUMENT field_type: Unable to parse 'inputs': attempt to access JSON non-array as array, "
       "found an object",
       ""},
      {R"({"inputs":[1]})",
       "INVALID_ARGUMENT field_type: Unable to parse 'inputs': attempt to access JSON non-object as object, "
       "found a number",
       ""},
      {R"({"inputs":[],"inputs":[]})", "INVALID_ARGUMENT field_duplicate: the member 'inputs' is there twice",
       ""},
      {R"({"inputs":[]} x)",
       "INVALID_ARGUMENT json_malformed: failed to parse the request JSON buffer: expected nothing after the "
       "value at byte 14",
       ""},
      {R"({"id":5,"inputs":[]})",
       "INVALID_ARGUMENT field_type: Unable to parse 'id': attempt to access JSON non-string as string, "
       "found a number",
       ""},
      {R"({"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]})",
       "INVALID_ARGUMENT field_missing: Unable to parse 'name': attempt to access non-existing object member "
       "'name'",
       ""},
      {Input(R"("datatype":"FP32","data":[1])"),
       "INVALID_ARGUMENT field_missing: Unable to parse 'shape': attempt to access non-existing object "
       "member 'shape'",
       ""},
      {Input(R"("shape":[1],"data":[1])"),
       "INVALID_ARGUMENT field_missing: Unable to parse 'datatype': attempt to access non-existing object "
       "member 'datatype'",
       ""},
      {Input(R"("shape":[1],"datatype":"FP31","data":[1])"),
       "INVALID_ARGUMENT datatype_unknown: invalid datatype 'FP31' for input 'x'", ""},
      {Input(R"("shape":[1],"datatype":"FP32")"),
       "INVALID_ARGUMENT input_content: Input must set only one of the following fields: 'data', "
       "'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'. But no field is set "
       "(input 'x')",
       ""},
      {Input(R"("shape":[1],"datatype":"FP32","data":[1],"parameters":{"binary_data_size":4})"),
       "INVALID_ARGUMENT input_content: Input must set only one of the following fields: 'data', "
       "'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'. But set 'data' "
       "'binary_data_size' (input 'x')",
       ""},
      {Input(R"("shape":[2,-5],"datatype":"FP32","data":[1.0])"),
       "INTERNAL shape_negative: Unable to parse 'shape': attempt to access JSON non-unsigned-integer as "
       "unsigned-integer (dimension 1 of input 'x' is -5)",
       ""},
      {Input(R"("shape":[1.5],"datatype":"FP32","data":[1.0])"),
       "INVALID_ARGUMENT field_type: Unable to parse 'shape': attempt to access JSON non-unsigned-integer as "
       "unsigned-integer of 63 bits (dimension 0 of input 'x')",
       ""},
      {Input(R"("shape":[1,1,1,1,1,1,1,1,1,1,1,1,1],"datatype":"FP32","data":[1])"),
       "INVALID_ARGUMENT shape_rank: input 'x' has more than 12 dimensions", ""},
      {Input(R"("shape":[16,1152921504606846978],"datatype":"FP32","data":[1.0])"),
       "INVALID_ARGUMENT shape_overflow: invalid shape for input 'x': shape [16,1152921504606846978] causes "
       "total element count to exceed maximum size of 9223372036854775807",
       ""},
      {Input(R"("shape":[4,1152921504606846978],"datatype":"FP32","data":[1.0])"),
       "INVALID_ARGUMENT shape_overflow: byte size overflow for input 'x': element count "
       "(4611686018427387912) * data type size (4) exceeds maximum allowed size (9223372036854775807)",
       ""},
      {Input(R"("shape":[1000000000],"datatype":"FP64","data":[1])"),
       "INVALID_ARGUMENT data_count: Failed to parse 'data' field: shape does not match true shape: input "
       "'x' of shape [1000000000] needs 1000000000 elements, more than the 6 bytes that follow can hold",
       ""},
      {Input(x + R"("FP32","data":[1])"),
       "INVALID_ARGUMENT data_count: Failed to parse 'data' field: shape does not match true shape: input "
       "'x' of shape [2] needs 2 elements, got 1",
       ""},
      {Input(x + R"("FP32","data":[1,2,3])"),
       "INVALID_ARGUMENT data_count: Unable to parse 'data': Shape does not match true shape of 'data' "
       "field: input 'x' of shape [2] needs 2 elements, got more",
       ""},
      {Input(x + R"("FP32","data":7)"),
       "INVALID_ARGUMENT field_type: Unable to parse 'data': attempt to access JSON non-array as array "
       "(input 'x', found a number)",
       ""},
      {Input(x + R"("FP32","data":[1,"2"])"),
       "INVALID_ARGUMENT data_element: Unable to parse 'data': attempt to access JSON non-number as double: "
       "found a string (element 1 of input 'x', type FP32)",
       ""},
      {Input(x + R"("FP32","data":[1,1e39])"),
       "INVALID_ARGUMENT data_element: Unable to parse 'data': the value 1e+39 is out of range (element 1 of "
       "input 'x', type FP32)",
       ""},
      {Input(x + R"("UINT8","data":[255,256])"),
       "INVALID_ARGUMENT data_element: Unable to parse 'data': the value 256 is out of range (element 1 of "
       "input 'x', type UINT8)",
       ""},
      {Input(x + R"("UINT8","data":[-1,2])"),
       "INVALID_ARGUMENT data_element: Unable to parse 'data': the value -1 is out of range (element 0 of "
       "input 'x', type UINT8)",
       ""},
      {Input(x + R"("INT16","data":[1,-32769])"),
       "INVALID_ARGUMENT data_element: Unable to parse 'data': the value -32769 is out of range (element 1 "
       "of input 'x', type INT16)",
       ""},
      {Input(x + R"("INT64","data":[1,9223372036854775808])"),
       "INVALID_ARGUMENT data_element: Unable to parse 'data': the value 9223372036854775808 is out of range "
       "(element 1 of input 'x', type INT64)",
       ""},
      {Input(x + R"("INT32","data":[1,2.5])"),
       "INVALID_ARGUMENT data_element: Unable to parse 'data': attempt to access JSON non-signed-integer as "
       "signed-integer (element 1 of input 'x', type INT32)",
       ""},
      {Input(x + R"("BOOL","data":[true,1])"),
       "INVALID_ARGUMENT data_element: Unable to parse 'data': attempt to access JSON non-boolean as "
       "boolean: found a number (element 1 of input 'x', type BOOL)",
       ""},
      {Input(x + R"("BYTES","data":["a",1])"),
       "INVALID_ARGUMENT data_element: Unable to parse 'data': attempt to access JSON non-string as string: "
       "found a number (element 1 of input 'x', type BYTES)",
       ""},
      {Input(x + R"("FP16","data":[1,2])"),
       "INVALID_ARGUMENT data_half: receiving FP16 data via JSON is not supported. Please use the binary "
       "data format for input x",
       ""},
      {Input(x + R"("BF16","data":[1,2])"),
       "INVALID_ARGUMENT data_half: receiving BF16 data via JSON is not supported. Please use the binary "
       "data format for input x",
       ""},
      {Input(x + R"("FP32","data":[1,2)"),
       "INVALID_ARGUMENT json_malformed: failed to parse the request JSON buffer: expected ',' or ']' at "
       "byte 64",
       ""},
      {Input(x + R"("UINT8","parameters":{"binary_data_size":2})"),
       "INVALID_ARGUMENT binary_too_short: unexpected size for input 'x', expecting 1 additional bytes for "
       "model 'm'",
       "a"},
      {Input(x + R"("UINT8","parameters":{"binary_data_size":2})"),
       "INVALID_ARGUMENT binary_left_over: unexpected additional input data for model 'm': 1 bytes after the "
       "last input",
       "abc"},
      {Input(x + R"("UINT8","parameters":{"binary_data_size":18446744073709551615})"),
       "INVALID_ARGUMENT binary_too_short: unexpected size for input 'x', expecting 18446744073709551613 "
       "additional bytes for model 'm'",
       "ab"},
      {Input(x + R"("UINT8","parameters":{"binary_data_size":-2})"),
       "INVALID_ARGUMENT field_type: Unable to parse 'binary_data_size': attempt to access JSON "
       "non-unsigned-integer as unsigned-integer",
       "ab"},
      {Input(x + R"("INT32","parameters":{"binary_data_size":2})"),
       "INVALID_ARGUMENT tensor_size: input 'x' of type INT32 and shape [2] needs 8 bytes, got 2", "ab"},
      {Input(R"("shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":4})"),
       "INVALID_ARGUMENT tensor_size: incomplete string data for input 'x': element 0 at byte 0 runs past "
       "the end of its 4 bytes",
       std::string("\x09\0\0\0", 4)},
      {Input(
           R"("shape":[1],"datatype":"INT8","parameters":{"shared_memory_region":"r","shared_memory_byte_size":1})"),
       "NOT_FOUND shared_memory_unknown: Unable to find shared memory region: 'r'", ""},
      {R"({"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]},{"name":"x","shape":[1],"datatype":"INT8","data":[1]}]})",
       "INVALID_ARGUMENT input_duplicate: input 'x' already exists in request", ""},
      {R"({"inputs":[],"outputs":[{"name":"OUTPUT0"},{"name":"OUTPUT0"}]})",
       "INVALID_ARGUMENT output_duplicate: output 'OUTPUT0' already exists in request", ""},
      {R"({"inputs":[],"outputs":[{}]})",
       "INVALID_ARGUMENT field_missing: Unable to parse 'name': attempt to access non-existing object member "
       "'name'",
       ""},
      {R"({"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":1}}]})",
       "INVALID_ARGUMENT field_type: Unable to parse 'binary_data': attempt to access JSON non-boolean as "
       "boolean, found a number",
       ""},
      {R"({"inputs":[],"outputs":[{"name":"y","parameters":{"shared_memory_region":"r","classification":1}}]})",
       "INVALID_ARGUMENT output_content: Output can't set both 'shared_memory_region' and 'classification'",
       ""},
      {R"({"inputs":[],"outputs":[{"name":"y","parameters":{"shared_memory_region":"r","binary_data":true}}]})",
       "INVALID_ARGUMENT output_content: Output can't set both 'shared_memory_region' and 'binary_data'", ""},
      {R"({"inputs":[],"parameters":{"sequence_id":7}})",
       "UNIMPLEMENTED sequence_unsupported: parameter 'sequence_id': sequence batching is not supported", ""},
      {R"({"inputs":[],"parameters":{"sequence_id":"a"}})",
       "UNIMPLEMENTED sequence_unsupported: parameter 'sequence_id': sequence batching is not supported", ""},
      {R"({"inputs":[],"parameters":{"sequence_start":true}})",
       "UNIMPLEMENTED sequence_unsupported: parameter 'sequence_start': sequence batching is not supported",
       ""},
      {R"({"inputs":[],"parameters":{"triton_x":1}})",
       "INVALID_ARGUMENT parameter_reserved: parameter keys starting with 'triton_' are reserved for Triton "
       "usage and should not be specified: 'triton_x'",
       ""},
      {R"({"inputs":[],"parameters":{"p":[1]}})",
       "INVALID_ARGUMENT parameter_type: parameter 'p' has invalid type. It should be either 'int', 'bool', "
       "'double' or 'string', found an array",
       ""},
      {R"({"inputs":[],"parameters":{"priority":-1}})",
       "INVALID_ARGUMENT field_type: Unable to parse 'priority': attempt to access JSON non-unsigned-integer "
       "as unsigned-integer",
       ""},
      {R"({"inputs":[],"parameters":{"timeout":"1"}})",
       "INVALID_ARGUMENT field_type: Unable to parse 'timeout': attempt to access JSON non-unsigned-integer "
       "as unsigned-integer, found a string",
       ""},
  };
  for (const Bad& bad : cases) EXPECT_EQ(Problem(bad.json, bad.binary), bad.expected) << bad.json;
}

TEST(DecodeRequest, HoldsItsLimits) {
  const std::string deep =
      Input(R"("shape":[1],"datatype":"FP32","data":)" + std::string(40, '[') + "1" + std::string(40, ']'));
  EXPECT_NE(Problem(deep).find("JSON nesting depth exceeds maximum allowed limit (32)"), std::string::npos);
  const std::string two =
      R"({"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]},{"name":"y","shape":[1],"datatype":"INT8","data":[1]}],"outputs":[{"name":"a"},{"name":"b"}],"parameters":{"p":1,"q":2}})";
  EXPECT_EQ(Problem(two), "");
  EXPECT_EQ(Problem(two, "", {.max_inputs = 1}),
            "INVALID_ARGUMENT too_many_inputs: more than 1 inputs in the request");
  EXPECT_EQ(Problem(two, "", {.max_outputs = 1}),
            "INVALID_ARGUMENT too_many_outputs: more than 1 outputs in the request");
  EXPECT_EQ(Problem(two, "", {.max_parameters = 1}),
            "INVALID_ARGUMENT too_many_parameters: more than 1 parameters in the request");
  EXPECT_EQ(Problem(two, "", {.max_decoded_bytes = 1}),
            "INVALID_ARGUMENT data_too_large: JSON input 'y' has a byte_size (1 bytes) that exceeds the "
            "maximum allowed value of 0 bytes");
  EXPECT_EQ(Problem(two, "", {.max_name_bytes = 0}),
            "INVALID_ARGUMENT field_too_long: 'name' has 1 bytes, the limit is 0");
  EXPECT_EQ(
      Problem(Input(R"("shape":[1],"datatype":"BYTES","data":["abcdef"])"), "", {.max_decoded_bytes = 8}),
      "INVALID_ARGUMENT data_element: Unable to parse 'data': the strings need more than the 8 bytes that "
      "are allowed (element 0 of input 'x', type BYTES)");
}

TEST(DecodeRequest, ReadsFromSharedMemory) {
  const std::string key = "/test-v2http-" + std::to_string(::getpid());
  const int fd = ::shm_open(key.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::pwrite(fd, "\x01\x02\x03\x04", 4, 0), 4);
  SharedMemoryRegions regions({.enabled = true});
  const TenantId tenant("t");
  ASSERT_TRUE(regions.Register(tenant, "r", key, 0, 4).ok());
  const std::string json =
      R"({"inputs":[{"name":"x","shape":[2],"datatype":"UINT8","parameters":{"shared_memory_region":"r",)"
      R"("shared_memory_offset":1,"shared_memory_byte_size":2}}],)"
      R"("outputs":[{"name":"y","parameters":{"shared_memory_region":"r","shared_memory_byte_size":4}}]})";

  const auto request = DecodeRequest(Body(json), json.size(), "m", "", {&regions, tenant}, {});
  const auto capped =
      DecodeRequest(Body(json), json.size(), "m", "", {&regions, tenant}, {.max_decoded_bytes = 1});
  ::close(fd);
  ::shm_unlink(key.c_str());

  ASSERT_TRUE(request.ok()) << request.error().ToString();
  EXPECT_EQ(Values<std::uint8_t>(request->call.inputs[0].tensor), (std::vector<std::uint8_t>{2, 3}));
  EXPECT_EQ(request->plan.outputs[0].window->size(), 4U);
  EXPECT_EQ(capped.error().reason(), "data_too_large");
}

models::ModelConfig RawModel(DType dtype, tensor::Shape shape, std::int64_t max_batch) {
  models::ModelConfig config;
  config.max_batch_size = max_batch;
  config.inputs.push_back({.name = "INPUT0", .dtype = dtype, .shape = shape});
  return config;
}

TEST(DecodeRawRequest, DeducesTheShape) {
  const auto request =
      DecodeRawRequest(Body(std::string(32, 'x')), "m", "", RawModel(DType::kFp32, {-1, -1}, 8));
  ASSERT_TRUE(request.ok()) << request.error().ToString();
  EXPECT_EQ(request->call.inputs[0].tensor.shape, (tensor::Shape{1, 8}));
  EXPECT_TRUE(request->plan.binary_by_default);

  const auto text = DecodeRawRequest(Body("427"), "m", "", RawModel(DType::kBytes, {1}, 0));
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->call.inputs[0].tensor.data.text(), std::string("\x03\0\0\0"
                                                                 "427",
                                                                 7));
}

TEST(DecodeRawRequest, RefusesWhatItCantDeduce) {
  const auto problem = [](const models::ModelConfig& config) {
    return DecodeRawRequest(Body("12345"), "m", "", config).error().message();
  };
  EXPECT_EQ(problem(RawModel(DType::kFp16, {-1, -1}, 0)),
            "The shape of the raw input 'INPUT0' can not be deduced because there are more than one "
            "variable-sized dimension");
  EXPECT_EQ(problem(RawModel(DType::kBytes, {-1}, 0)),
            "For BYTE datatype raw input 'INPUT0', the model must have input shape [1]");
  EXPECT_EQ(problem(RawModel(DType::kFp32, {-1}, 0)),
            "input 'INPUT0' of type FP32 and shape [1] needs 4 bytes, got 5");
  models::ModelConfig three = RawModel(DType::kFp32, {1}, 0);
  three.inputs.resize(3);
  EXPECT_EQ(problem(three),
            "Raw request must only have 1 input (found 1) to be deduced but got 3 inputs in 'm' model "
            "configuration");
}

TEST(ParseHeaderLength, RefusesWhatIsNoLength) {
  EXPECT_EQ(*ParseHeaderLength(" 12 "), 12U);
  for (const std::string_view bad : {"", "-1", "1x", "99999999999", "2147483648"}) {
    EXPECT_EQ(ParseHeaderLength(bad).error().reason(), "header_length") << bad;
  }
  EXPECT_EQ(DecodeRequest(Body("{}"), 3, "m", "", {}, {}).error().message(),
            "inference header size should be in range (0, 2), got: 3");
}

}  // namespace
}  // namespace mezzo::api::v2http
