// JSON of the v2 protocol. The reader takes exactly what simdjson takes (apart from Triton's NaN and
// Infinity, huge integers and depth); what is decoded is sound, and survives being written and read again.

#include <simdjson.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "mezzo/api/json_reader.h"
#include "mezzo/api/v2http/control_requests.h"
#include "mezzo/api/v2http/generate.h"
#include "mezzo/api/v2http/json_request.h"
#include "mezzo/api/v2http/json_response.h"
#include "mezzo/base/check.h"

namespace {

using mezzo::SharedBytes;
using namespace mezzo::api;          // NOLINT(google-build-using-namespace): a program of one file.
using namespace mezzo::api::v2http;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kDepth = 32;

bool ReaderAccepts(std::string_view text, bool* too_deep) {
  JsonReader reader(text, kDepth);
  const bool accepts = reader.Skip() && reader.Finish();
  if (!accepts) MEZZO_CHECK(!reader.error().message().empty());
  *too_deep = !accepts && reader.error().reason() == "json_too_deep";
  return accepts;
}

void CompareWithSimdjson(std::string_view text) {
  bool too_deep = false;
  const bool accepted = ReaderAccepts(text, &too_deep);
  simdjson::dom::parser parser;
  const simdjson::error_code error = parser.parse(text.data(), text.size(), true).error();
  if (accepted == (error == simdjson::SUCCESS) || too_deep) return;
  if (accepted) {
    // Words and sizes of numbers that simdjson has no place for.
    MEZZO_CHECK(text.find("NaN") != text.npos || text.find("Inf") != text.npos ||
                error == simdjson::NUMBER_ERROR || error == simdjson::CAPACITY);
    return;
  }
  // simdjson 3.0 lets a lone low surrogate through.
  MEZZO_CHECK(text.find("\\u") != text.npos);
}

/// Inputs as they are, given back as outputs.
mezzo::inference::InferenceAnswer Echo(const DecodedRequest& request) {
  mezzo::inference::InferenceAnswer answer;
  answer.model = request.call.model;
  answer.version = "1";
  answer.id = request.call.id;
  answer.outputs = request.call.inputs;
  answer.parameters = request.call.parameters;
  return answer;
}

/// The response's "outputs" as a request's "inputs".
std::string AsRequest(const std::string& response) {
  constexpr std::string_view kOutputs = ",\"outputs\":[";
  const std::size_t at = response.rfind(kOutputs);
  return "{\"inputs\":[" + response.substr(at + kOutputs.size());
}

bool SameBytes(const mezzo::tensor::Tensor& a, const mezzo::tensor::Tensor& b) {
  if (a.dtype != b.dtype || !(a.shape == b.shape) || a.data.size() != b.data.size()) return false;
  return a.data.empty() || std::memcmp(a.data.data(), b.data.data(), a.data.size()) == 0;
}

bool HasNan(const mezzo::tensor::Tensor& tensor) {
  using mezzo::tensor::DType;
  return tensor.dtype == DType::kFp32 ||
         tensor.dtype == DType::kFp64;  // NaN has many forms; shapes were compared.
}

void RoundTrip(const DecodedRequest& request) {
  const auto encoded = EncodeResponse(Echo(request), {}, nullptr);
  if (!encoded.ok()) return;
  const std::string text = AsRequest(encoded->json);
  if (text.find(",\"outputs\":[") != text.npos) return;  // A name that looks like the key.
  const SharedBytes body = SharedBytes::FromString(text);
  const auto again = DecodeRequest(body, body.size(), "m", "", {}, {});
  MEZZO_CHECK(again.ok() && again->call.inputs.size() == request.call.inputs.size());
  for (std::size_t i = 0; i < request.call.inputs.size(); ++i) {
    const auto& before = request.call.inputs[i].tensor;
    const auto& after = again->call.inputs[i].tensor;
    MEZZO_CHECK(SameBytes(before, after) || (HasNan(before) && before.data.size() == after.data.size()));
  }
}

mezzo::models::ModelConfig SomeModel() {
  mezzo::models::ModelConfig config;
  config.inputs.push_back({.name = "text_input", .dtype = mezzo::tensor::DType::kBytes, .shape = {-1, 1}});
  config.inputs.push_back({.name = "x", .dtype = mezzo::tensor::DType::kInt32, .shape = {2, -1}});
  return config;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const SharedBytes body = SharedBytes::FromString(std::string(reinterpret_cast<const char*>(data), size));
  CompareWithSimdjson(body.text());

  DecodeLimits limits;
  limits.max_decoded_bytes = 1 << 20;
  const auto request = DecodeRequest(body, body.size(), "m", "", {}, limits);
  if (request.ok()) {
    MEZZO_CHECK(request->plan.outputs.size() == request->call.outputs.size());
    for (const auto& input : request->call.inputs) {
      MEZZO_CHECK(mezzo::tensor::CheckTensor(input.name, input.tensor).ok());
    }
    RoundTrip(*request);
  } else {
    MEZZO_CHECK(!request.error().message().empty());
  }

  static const mezzo::models::ModelConfig model = SomeModel();
  const auto generate = DecodeGenerate(body, "m", "", model, limits);
  if (generate.ok()) {
    for (const auto& input : generate->inputs) {
      MEZZO_CHECK(mezzo::tensor::CheckTensor(input.name, input.tensor).ok());
    }
  }
  static_cast<void>(ReadIndexRequest(body.text()));
  static_cast<void>(ReadLoadRequest(body.text()));
  static_cast<void>(ReadRegisterRequest(body.text()));
  static_cast<void>(ReadTraceRequest(body.text()));
  static_cast<void>(ReadLogRequest(body.text()));
  return 0;
}
