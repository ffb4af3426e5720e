#include "mezzo/api/v2http/generate.h"

#include "mezzo/api/json_reader.h"
#include "mezzo/api/json_text.h"
#include "mezzo/api/v2http/internal/json_fields.h"
#include "mezzo/api/v2http/internal/json_tensor.h"
#include "mezzo/api/v2http/json_response.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {
namespace {

class GenerateDecoder {
 public:
  GenerateDecoder(const SharedBytes& body, const models::ModelConfig& config, const DecodeLimits& limits)
      : config_(config),
        limits_(limits),
        budget_(limits.max_decoded_bytes),
        reader_(body.text(), limits.max_depth) {}

  Result<inference::InferenceCall> Decode(std::string_view model, std::string_view version) {
    call_.model = ModelName(std::string(model));
    call_.version = version;
    if (reader_.Peek() != JsonKind::kObject) return WrongKind(&reader_, "generate request", "object");
    MEZZO_TRY_VOID(ReadObject(true));
    if (!reader_.Finish()) return reader_.error();
    return std::move(call_);
  }

 private:
  Result<void> ReadObject(bool root) {
    std::string_view key;
    if (!reader_.EnterObject()) return reader_.error();
    while (reader_.NextMember(&key)) {
      if (root && key == "id") {
        MEZZO_TRY(call_.id, ReadStringField(&reader_, "id", limits_.max_name_bytes));
      } else if (root && key == "parameters") {
        if (reader_.Peek() != JsonKind::kObject) return WrongKind(&reader_, "parameters", "object");
        MEZZO_TRY_VOID(ReadObject(false));
      } else {
        MEZZO_TRY_VOID(ReadMember(key));
      }
    }
    if (reader_.failed()) return reader_.error();
    return {};
  }

  Result<void> ReadMember(std::string_view key) {
    for (const models::TensorConfig& declared : config_.inputs) {
      if (declared.name == key) return ReadInput(declared);
    }
    if (call_.parameters.size() >= limits_.max_parameters) {
      return InvalidArgument("too_many_parameters", "more than " + std::to_string(limits_.max_parameters) +
                                                        " parameters in the request");
    }
    MEZZO_TRY(inference::ParameterValue value, ReadParameter(&reader_, key));
    call_.parameters.emplace_back(std::string(key), std::move(value));
    return {};
  }

  Result<void> ReadInput(const models::TensorConfig& declared) {
    for (const auto& input : call_.inputs) {
      if (input.name == declared.name) {
        return InvalidArgument("input_duplicate", "input '" + declared.name + "' already exists in request");
      }
    }
    std::uint64_t count = 0;
    tensor::Tensor tensor{.dtype = declared.dtype, .shape = declared.shape, .data = {}};
    MEZZO_TRY(tensor.data, ReadJsonElements(&reader_, declared.name, declared.dtype, &budget_, &count));
    MEZZO_TRY_VOID(FillShape(declared.name, count, &tensor.shape));
    inference::NamedTensor input{.name = declared.name, .tensor = std::move(tensor)};
    call_.inputs.push_back(std::move(input));
    return {};
  }

  static Result<void> FillShape(std::string_view name, std::uint64_t count, tensor::Shape* shape) {
    std::uint64_t left = count;
    bool fits = true;
    for (const std::int64_t dim : shape->dims()) {
      if (dim < 0) continue;
      const auto fixed = static_cast<std::uint64_t>(dim);
      fits = fits && fixed != 0 && left % fixed == 0;
      if (fits) left /= fixed;
    }
    for (std::size_t i = shape->rank(); i > 0; --i) {
      if ((*shape)[i - 1] >= 0) continue;
      (*shape)[i - 1] = static_cast<std::int64_t>(left);
      left = 1;
    }
    if (fits && left == 1) return {};
    return InvalidArgument("generate_shape", "The schema can not convert input '" + Printable(name) +
                                                 "' to tensor with proper shape: " + std::to_string(count) +
                                                 " elements");
  }

  const models::ModelConfig& config_;
  const DecodeLimits& limits_;
  ByteCount budget_;
  JsonReader reader_;
  inference::InferenceCall call_;
};

}  // namespace

Result<inference::InferenceCall> DecodeGenerate(const SharedBytes& body, std::string_view model,
                                                std::string_view version, const models::ModelConfig& config,
                                                const DecodeLimits& limits) {
  return GenerateDecoder(body, config, limits).Decode(model, version);
}

Result<std::string> EncodeGenerate(const inference::InferenceAnswer& answer) {
  std::string out = "{";
  if (!answer.id.empty()) {
    out += "\"id\":";
    AppendJsonString(answer.id, &out);
    out += ',';
  }
  out += "\"model_name\":";
  AppendJsonString(answer.model.str(), &out);
  out += ",\"model_version\":";
  AppendJsonString(answer.version, &out);
  for (const auto& [name, value] : answer.parameters) {
    out += ',';
    AppendJsonString(name, &out);
    out += ':';
    AppendJsonParameter(value, &out);
  }
  for (const inference::NamedTensor& output : answer.outputs) {
    out += ',';
    AppendJsonString(output.name, &out);
    out += ':';
    MEZZO_TRY(const std::uint64_t count, tensor::ElementCount(output.tensor.shape));
    MEZZO_TRY_VOID(AppendJsonElements(output.name, output.tensor, count == 1, &out));
  }
  out += '}';
  return out;
}

}  // namespace mezzo::api::v2http
