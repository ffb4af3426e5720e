#include "mezzo/api/v2http/json_response.h"

#include <cstring>
#include <type_traits>

#include "mezzo/api/classification.h"
#include "mezzo/api/json_text.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {
namespace {

using tensor::DType;

template <typename T>
void AppendNumbers(BytesView data, std::string* out) {
  for (std::size_t at = 0; at + sizeof(T) <= data.size(); at += sizeof(T)) {
    T value{};
    std::memcpy(&value, data.data() + at, sizeof(T));
    if (at != 0) *out += ',';
    if constexpr (std::is_floating_point_v<T>) {
      AppendJsonFloat(value, out);
    } else if constexpr (std::is_signed_v<T>) {
      AppendJsonInteger(static_cast<std::int64_t>(value), out);
    } else {
      AppendJsonInteger(static_cast<std::uint64_t>(value), out);
    }
  }
}

void AppendBools(BytesView data, std::string* out) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (i != 0) *out += ',';
    AppendJsonBool(data[i] != std::byte{0}, out);
  }
}

Result<void> AppendStrings(std::string_view name, BytesView data, std::string* out) {
  std::size_t index = 0;
  std::optional<std::size_t> broken;
  tensor::ForEachBytesElement(data, [&](std::string_view element) {
    if (!broken && !IsUtf8(element)) broken = index;
    if (index++ != 0) *out += ',';
    if (!broken) AppendJsonUtf8(element, out);
  });
  if (!broken) return {};
  return InvalidArgument("output_not_utf8",
                         "element " + std::to_string(*broken) + " of output '" + Printable(name) +
                             "' is not valid UTF-8 and has no JSON form. Please use the binary "
                             "data format for this output");
}

const models::TensorConfig* FindOutput(const models::ModelConfig* config, std::string_view name) {
  if (config == nullptr) return nullptr;
  for (const auto& output : config->outputs) {
    if (output.name == name) return &output;
  }
  return nullptr;
}

/// The plan of the output that the service put at `index`: mostly the one asked for there.
OutputPlan PlanOf(const ResponsePlan& plan, std::size_t index, std::string_view name) {
  if (index < plan.outputs.size() && plan.outputs[index].name == name) return plan.outputs[index];
  for (const OutputPlan& output : plan.outputs) {
    if (output.name == name) return output;
  }
  return {.name = std::string(name),
          .binary = plan.binary_by_default,
          .classification = 0,
          .window = std::nullopt};
}

void AppendOutputHead(std::string_view name, const tensor::Tensor& tensor, std::string* out) {
  out->append("{\"name\":");
  AppendJsonString(name, out);
  out->append(",\"datatype\":\"");
  out->append(tensor::DTypeName(tensor.dtype));
  out->append("\",\"shape\":[");
  for (std::size_t i = 0; i < tensor.shape.rank(); ++i) {
    if (i != 0) *out += ',';
    AppendJsonInteger(tensor.shape[i], out);
  }
  *out += ']';
}

Result<void> AppendOutput(std::string_view name, const tensor::Tensor& tensor, const OutputPlan& plan,
                          EncodedResponse* response) {
  std::string* const out = &response->json;
  AppendOutputHead(name, tensor, out);
  if (plan.window) {
    MEZZO_TRY_VOID(plan.window->Write(name, tensor.data.view()));
  } else if (plan.binary) {
    out->append(",\"parameters\":{\"binary_data_size\":");
    AppendJsonInteger(static_cast<std::uint64_t>(tensor.data.size()), out);
    *out += '}';
    if (!tensor.data.empty()) response->pieces.push_back(tensor.data);
  } else {
    out->append(",\"data\":");
    MEZZO_TRY_VOID(AppendJsonElements(name, tensor, false, out));
  }
  *out += '}';
  return {};
}

}  // namespace

Result<void> AppendJsonElements(std::string_view name, const tensor::Tensor& tensor, bool bare,
                                std::string* out) {
  const BytesView data = tensor.data.view();
  if (!bare) *out += '[';
  switch (tensor.dtype) {
    case DType::kBool:
      AppendBools(data, out);
      break;
    case DType::kUint8:
      AppendNumbers<std::uint8_t>(data, out);
      break;
    case DType::kUint16:
      AppendNumbers<std::uint16_t>(data, out);
      break;
    case DType::kUint32:
      AppendNumbers<std::uint32_t>(data, out);
      break;
    case DType::kUint64:
      AppendNumbers<std::uint64_t>(data, out);
      break;
    case DType::kInt8:
      AppendNumbers<std::int8_t>(data, out);
      break;
    case DType::kInt16:
      AppendNumbers<std::int16_t>(data, out);
      break;
    case DType::kInt32:
      AppendNumbers<std::int32_t>(data, out);
      break;
    case DType::kInt64:
      AppendNumbers<std::int64_t>(data, out);
      break;
    case DType::kFp32:
      AppendNumbers<float>(data, out);
      break;
    case DType::kFp64:
      AppendNumbers<double>(data, out);
      break;
    case DType::kBytes:
      MEZZO_TRY_VOID(AppendStrings(name, data, out));
      break;
    case DType::kFp16:
    case DType::kBf16:
      return InvalidArgument("output_half", "sending " + std::string(tensor::DTypeName(tensor.dtype)) +
                                                " data via JSON is not supported. Please use the binary data "
                                                "format for output '" +
                                                Printable(name) + "'");
  }
  if (!bare) *out += ']';
  return {};
}

void AppendJsonParameter(const inference::ParameterValue& value, std::string* out) {
  if (const auto* boolean = std::get_if<bool>(&value)) {
    AppendJsonBool(*boolean, out);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    AppendJsonInteger(*integer, out);
  } else if (const auto* number = std::get_if<double>(&value)) {
    AppendJsonFloat(*number, out);
  } else {
    AppendJsonString(std::get<std::string>(value), out);
  }
}

void AppendJsonParameters(const inference::Parameters& parameters, std::string* out) {
  *out += '{';
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (i != 0) *out += ',';
    AppendJsonString(parameters[i].first, out);
    *out += ':';
    AppendJsonParameter(parameters[i].second, out);
  }
  *out += '}';
}

Result<EncodedResponse> EncodeResponse(const inference::InferenceAnswer& answer, const ResponsePlan& plan,
                                       const models::ModelConfig* config) {
  EncodedResponse response;
  std::string& out = response.json;
  constexpr std::size_t kUsualHeader = 256;
  out.reserve(kUsualHeader);
  out += '{';
  if (!answer.id.empty()) {
    out.append("\"id\":");
    AppendJsonString(answer.id, &out);
    out += ',';
  }
  out.append("\"model_name\":");
  AppendJsonString(answer.model.str(), &out);
  out.append(",\"model_version\":");
  AppendJsonString(answer.version, &out);
  if (!answer.parameters.empty()) {
    out.append(",\"parameters\":");
    AppendJsonParameters(answer.parameters, &out);
  }
  out.append(",\"outputs\":[");
  for (std::size_t i = 0; i < answer.outputs.size(); ++i) {
    const inference::NamedTensor& output = answer.outputs[i];
    const OutputPlan form = PlanOf(plan, i, output.name);
    if (i != 0) out += ',';
    if (form.classification == 0) {
      MEZZO_TRY_VOID(AppendOutput(output.name, output.tensor, form, &response));
      continue;
    }
    const models::TensorConfig* declared = FindOutput(config, output.name);
    static const std::vector<std::string> no_labels;
    MEZZO_TRY(const tensor::Tensor classes, Classify(output.name, output.tensor, form.classification,
                                                     config != nullptr && config->max_batch_size > 0,
                                                     declared == nullptr ? no_labels : declared->labels));
    MEZZO_TRY_VOID(AppendOutput(output.name, classes, form, &response));
  }
  out.append("]}");
  return response;
}

}  // namespace mezzo::api::v2http
