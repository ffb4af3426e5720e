#include "mezzo/api/v2http/json_request.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "mezzo/api/json_reader.h"
#include "mezzo/api/v2http/internal/json_fields.h"
#include "mezzo/api/v2http/internal/json_tensor.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {
namespace {

using tensor::DType;

std::string Quoted(std::string_view name) { return "'" + Printable(name) + "'"; }

/// A place in a shared memory region, as parameters name it.
struct RegionRange {
  std::optional<std::string_view> region;
  std::uint64_t offset = 0;
  std::uint64_t byte_size = 0;
};

/// One element of "inputs" while its members come in, in any order.
struct InputParts {
  std::optional<std::string_view> name;
  std::optional<DType> dtype;
  std::optional<tensor::Shape> shape;
  std::optional<JsonReader::Mark> data;  ///< Where "data" starts.
  bool data_read = false;                ///< ...and whether it has been read into `tensor`.
  std::optional<std::uint64_t> binary_size;
  RegionRange range;
  tensor::Tensor tensor;
};

Result<void> CheckNew(const std::vector<inference::NamedTensor>& inputs, std::string_view name) {
  const auto same = [name](const inference::NamedTensor& input) { return input.name == name; };
  if (std::any_of(inputs.begin(), inputs.end(), same)) {
    return InvalidArgument("input_duplicate", "input " + Quoted(name) + " already exists in request");
  }
  return {};
}

/// Engines read elements in place: their addresses must suit them.
void AlignForType(tensor::Tensor* tensor) {
  const std::size_t size = tensor::DTypeSize(tensor->dtype);
  if (size <= 1 || tensor->data.empty()) return;
  if (reinterpret_cast<std::uintptr_t>(tensor->data.data()) % size == 0) return;
  const tensor::MutableBuffer copy = tensor::AllocateBuffer(tensor->data.size());
  std::memcpy(copy.data(), tensor->data.data(), tensor->data.size());
  tensor->data = copy.Share();
}

class Decoder {
 public:
  Decoder(const SharedBytes& body, std::size_t header_length, const DecodeSources& sources,
          const DecodeLimits& limits)
      : body_(body),
        binary_at_(header_length),
        sources_(sources),
        limits_(limits),
        budget_(limits.max_decoded_bytes),
        reader_(body.text().substr(0, header_length), limits.max_depth) {}

  Result<DecodedRequest> Decode(std::string_view model, std::string_view version) {
    request_.call.model = ModelName(std::string(model));
    request_.call.version = version;
    MEZZO_TRY_VOID(ReadRoot());
    if (!reader_.Finish()) return reader_.error();
    if (!seen_inputs_) return MissingField("inputs");
    if (binary_at_ != body_.size()) {
      return InvalidArgument("binary_left_over",
                             "unexpected additional input data for model " + Quoted(model) + ": " +
                                 std::to_string(body_.size() - binary_at_) + " bytes after the last input");
    }
    return std::move(request_);
  }

 private:
  Result<void> ReadRoot() {
    std::string_view key;
    bool seen_id = false;
    bool seen_parameters = false;
    bool seen_outputs = false;
    if (!reader_.EnterObject()) return reader_.error();
    while (reader_.NextMember(&key)) {
      if (key == "inputs") {
        if (std::exchange(seen_inputs_, true)) return DuplicateField(key);
        MEZZO_TRY_VOID(ReadInputs());
      } else if (key == "outputs") {
        if (std::exchange(seen_outputs, true)) return DuplicateField(key);
        MEZZO_TRY_VOID(ReadOutputs());
      } else if (key == "parameters") {
        if (std::exchange(seen_parameters, true)) return DuplicateField(key);
        MEZZO_TRY_VOID(ReadParameters());
      } else if (key == "id") {
        if (std::exchange(seen_id, true)) return DuplicateField(key);
        MEZZO_TRY(request_.call.id, ReadStringField(&reader_, "id", limits_.max_name_bytes));
      } else if (!reader_.Skip()) {
        return reader_.error();
      }
    }
    if (reader_.failed()) return reader_.error();
    return {};
  }

  Result<void> ReadInputs() {
    if (reader_.Peek() != JsonKind::kArray) return WrongKind(&reader_, "inputs", "array");
    if (!reader_.EnterArray()) return reader_.error();
    while (reader_.NextElement()) {
      if (request_.call.inputs.size() >= limits_.max_inputs) {
        return InvalidArgument("too_many_inputs",
                               "more than " + std::to_string(limits_.max_inputs) + " inputs in the request");
      }
      MEZZO_TRY_VOID(ReadInput());
    }
    if (reader_.failed()) return reader_.error();
    return {};
  }

  Result<void> ReadInput() {
    InputParts parts;
    std::string_view key;
    if (reader_.Peek() != JsonKind::kObject) return WrongKind(&reader_, "inputs", "object");
    if (!reader_.EnterObject()) return reader_.error();
    while (reader_.NextMember(&key)) MEZZO_TRY_VOID(ReadInputMember(key, &parts));
    if (reader_.failed()) return reader_.error();
    MEZZO_TRY_VOID(CheckContent(parts));
    if (!parts.name) return MissingField("name");
    if (!parts.dtype) return MissingField("datatype");
    if (!parts.shape) return MissingField("shape");
    MEZZO_TRY_VOID(CheckNew(request_.call.inputs, *parts.name));
    MEZZO_TRY(tensor::Tensor tensor, MakeTensor(&parts));
    inference::NamedTensor input{.name = std::string(*parts.name), .tensor = std::move(tensor)};
    request_.call.inputs.push_back(std::move(input));
    return {};
  }

  Result<void> ReadInputMember(std::string_view key, InputParts* parts) {
    if (key == "name") {
      if (parts->name) return DuplicateField(key);
      MEZZO_TRY(parts->name, ReadStringField(&reader_, "name", limits_.max_name_bytes));
    } else if (key == "datatype") {
      if (parts->dtype) return DuplicateField(key);
      MEZZO_TRY(const std::string_view text, ReadStringField(&reader_, "datatype", limits_.max_name_bytes));
      parts->dtype = tensor::ParseDType(text);
      if (!parts->dtype) {
        return InvalidArgument("datatype_unknown", "invalid datatype " + Quoted(text) + " for input " +
                                                       Quoted(parts->name.value_or("")));
      }
    } else if (key == "shape") {
      if (parts->shape) return DuplicateField(key);
      MEZZO_TRY(parts->shape, ReadShape(parts->name.value_or("")));
    } else if (key == "data") {
      if (parts->data) return DuplicateField(key);
      parts->data = reader_.Here();
      if (parts->name && parts->dtype && parts->shape) {
        MEZZO_TRY(parts->tensor,
                  ReadJsonTensor(&reader_, *parts->name, *parts->dtype, *parts->shape, &budget_));
        parts->data_read = true;
      } else if (!reader_.Skip()) {
        return reader_.error();
      }
    } else if (key == "parameters") {
      MEZZO_TRY_VOID(ReadInputParameters(parts));
    } else if (!reader_.Skip()) {
      return reader_.error();
    }
    return {};
  }

  Result<tensor::Shape> ReadShape(std::string_view input) {
    tensor::Shape shape;
    if (reader_.Peek() != JsonKind::kArray) return WrongKind(&reader_, "shape", "array");
    if (!reader_.EnterArray()) return reader_.error();
    while (reader_.NextElement()) {
      JsonNumber number;
      if (reader_.Peek() != JsonKind::kNumber) return WrongKind(&reader_, "shape", "unsigned-integer");
      if (!reader_.ReadNumber(&number)) return reader_.error();
      constexpr std::string_view kProblem =
          "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer";
      if (number.integer && number.negative && number.magnitude != 0) {
        // Triton calls this its own fault, and its tests ask for that: code INTERNAL, HTTP status 500.
        return Internal("shape_negative", std::string(kProblem) + " (dimension " +
                                              std::to_string(shape.rank()) + " of input " + Quoted(input) +
                                              " is -" + std::to_string(number.magnitude) + ")");
      }
      if (!number.integer || number.magnitude > std::numeric_limits<std::int64_t>::max()) {
        return InvalidArgument("field_type", std::string(kProblem) + " of 63 bits (dimension " +
                                                 std::to_string(shape.rank()) + " of input " + Quoted(input) +
                                                 ")");
      }
      if (!shape.Append(static_cast<std::int64_t>(number.magnitude))) {
        return InvalidArgument("shape_rank", "input " + Quoted(input) + " has more than " +
                                                 std::to_string(tensor::Shape::kMaxRank) + " dimensions");
      }
    }
    if (reader_.failed()) return reader_.error();
    return shape;
  }

  /// Reads `key` when it is one of the shared memory parameters, which inputs and outputs have in common.
  Result<bool> ReadRangeMember(std::string_view key, RegionRange* range) {
    if (key == "shared_memory_region") {
      MEZZO_TRY(range->region, ReadStringField(&reader_, key, limits_.max_name_bytes));
    } else if (key == "shared_memory_offset") {
      MEZZO_TRY(range->offset, ReadUintField(&reader_, key));
    } else if (key == "shared_memory_byte_size") {
      MEZZO_TRY(range->byte_size, ReadUintField(&reader_, key));
    } else {
      return false;
    }
    return true;
  }

  Result<void> ReadInputParameters(InputParts* parts) {
    std::string_view key;
    if (reader_.Peek() != JsonKind::kObject) return WrongKind(&reader_, "parameters", "object");
    if (!reader_.EnterObject()) return reader_.error();
    while (reader_.NextMember(&key)) {
      if (key == "binary_data_size") {
        MEZZO_TRY(parts->binary_size, ReadUintField(&reader_, key));
        continue;
      }
      MEZZO_TRY(const bool read, ReadRangeMember(key, &parts->range));
      if (!read && !reader_.Skip()) return reader_.error();
    }
    if (reader_.failed()) return reader_.error();
    return {};
  }

  /// An input has its bytes from exactly one place.
  static Result<void> CheckContent(const InputParts& parts) {
    const int count = (parts.data ? 1 : 0) + (parts.binary_size ? 1 : 0) + (parts.range.region ? 1 : 0);
    if (count == 1) return {};
    std::string set = count == 0 ? " no field is set" : " set";
    if (count != 0 && parts.data) set += " 'data'";
    if (count != 0 && parts.binary_size) set += " 'binary_data_size'";
    if (count != 0 && parts.range.region) set += " 'shared_memory_region'";
    return InvalidArgument("input_content",
                           "Input must set only one of the following fields: 'data', 'binary_data_size' in "
                           "'parameters', 'shared_memory_region' in 'parameters'. But" +
                               set + " (input " + Quoted(parts.name.value_or("")) + ")");
  }

  Result<tensor::Tensor> MakeTensor(InputParts* parts) {
    if (parts->data_read) return std::move(parts->tensor);
    if (parts->data) {
      const JsonReader::Mark behind = reader_.Here();
      reader_.GoTo(*parts->data);
      MEZZO_TRY(tensor::Tensor tensor,
                ReadJsonTensor(&reader_, *parts->name, *parts->dtype, *parts->shape, &budget_));
      reader_.GoTo(behind);
      return tensor;
    }
    tensor::Tensor tensor{.dtype = *parts->dtype, .shape = *parts->shape, .data = {}};
    if (parts->binary_size) {
      MEZZO_TRY(tensor.data, TakeBinary(*parts->name, *parts->binary_size));
    } else {
      MEZZO_TRY(tensor.data, ReadRegion(*parts->name, parts->range));
    }
    MEZZO_TRY_VOID(tensor::CheckTensor(*parts->name, tensor));
    AlignForType(&tensor);
    return tensor;
  }

  Result<SharedBytes> TakeBinary(std::string_view name, std::uint64_t size) {
    const std::uint64_t left = body_.size() - binary_at_;
    if (size > left) {
      return InvalidArgument("binary_too_short", "unexpected size for input " + Quoted(name) +
                                                     ", expecting " + std::to_string(size - left) +
                                                     " additional bytes for model " +
                                                     Quoted(request_.call.model.str()));
    }
    SharedBytes bytes = body_.Slice(binary_at_, static_cast<std::size_t>(size));
    binary_at_ += static_cast<std::size_t>(size);
    return bytes;
  }

  Result<SharedMemoryWindow> OpenRange(const RegionRange& range) const {
    if (sources_.regions == nullptr) {
      return NotFound("shared_memory_unknown",
                      "Unable to find shared memory region: " + Quoted(*range.region));
    }
    return sources_.regions->Window(sources_.tenant, *range.region, range.offset, range.byte_size);
  }

  Result<SharedBytes> ReadRegion(std::string_view name, const RegionRange& range) {
    MEZZO_TRY(const SharedMemoryWindow window, OpenRange(range));
    if (window.size() > budget_) {
      return InvalidArgument("data_too_large", "input " + Quoted(name) + " takes " +
                                                   std::to_string(window.size()) +
                                                   " bytes from shared memory, the limit that is left of the "
                                                   "request's is " +
                                                   std::to_string(budget_));
    }
    budget_ -= window.size();
    return window.Read();
  }

  Result<void> ReadOutputs() {
    if (reader_.Peek() != JsonKind::kArray) return WrongKind(&reader_, "outputs", "array");
    if (!reader_.EnterArray()) return reader_.error();
    while (reader_.NextElement()) {
      if (request_.call.outputs.size() >= limits_.max_outputs) {
        return InvalidArgument("too_many_outputs", "more than " + std::to_string(limits_.max_outputs) +
                                                       " outputs in the request");
      }
      MEZZO_TRY_VOID(ReadOutput());
    }
    if (reader_.failed()) return reader_.error();
    return {};
  }

  Result<void> ReadOutput() {
    std::string_view key;
    std::optional<std::string_view> name;
    OutputPlan plan;
    RegionRange range;
    if (reader_.Peek() != JsonKind::kObject) return WrongKind(&reader_, "outputs", "object");
    if (!reader_.EnterObject()) return reader_.error();
    while (reader_.NextMember(&key)) {
      if (key == "name") {
        if (name) return DuplicateField(key);
        MEZZO_TRY(name, ReadStringField(&reader_, "name", limits_.max_name_bytes));
      } else if (key == "parameters") {
        MEZZO_TRY_VOID(ReadOutputParameters(&plan, &range));
      } else if (!reader_.Skip()) {
        return reader_.error();
      }
    }
    if (reader_.failed()) return reader_.error();
    if (!name) return MissingField("name");
    for (const auto& output : request_.call.outputs) {
      if (output.name != *name) continue;
      return InvalidArgument("output_duplicate", "output " + Quoted(*name) + " already exists in request");
    }
    if (range.region) {
      MEZZO_TRY_VOID(CheckWindowOutput(plan));
      MEZZO_TRY(plan.window, OpenRange(range));
    }
    plan.name = *name;
    inference::RequestedOutput output{.name = plan.name, .classification = plan.classification};
    request_.call.outputs.push_back(std::move(output));
    request_.plan.outputs.push_back(std::move(plan));
    return {};
  }

  static Result<void> CheckWindowOutput(const OutputPlan& plan) {
    if (plan.classification == 0 && !plan.binary) return {};
    return InvalidArgument("output_content",
                           std::string("Output can't set both 'shared_memory_region' and ") +
                               (plan.binary ? "'binary_data'" : "'classification'"));
  }

  Result<void> ReadOutputParameters(OutputPlan* plan, RegionRange* range) {
    std::string_view key;
    if (reader_.Peek() != JsonKind::kObject) return WrongKind(&reader_, "parameters", "object");
    if (!reader_.EnterObject()) return reader_.error();
    while (reader_.NextMember(&key)) {
      if (key == "binary_data") {
        MEZZO_TRY(plan->binary, ReadBoolField(&reader_, key));
        continue;
      }
      if (key == "classification") {
        MEZZO_TRY(const std::uint64_t top, ReadUintField(&reader_, key));
        plan->classification =
            static_cast<std::int64_t>(std::min<std::uint64_t>(top, std::numeric_limits<std::int64_t>::max()));
        continue;
      }
      MEZZO_TRY(const bool read, ReadRangeMember(key, range));
      if (!read && !reader_.Skip()) return reader_.error();
    }
    if (reader_.failed()) return reader_.error();
    return {};
  }

  Result<void> ReadParameters() {
    std::string_view key;
    std::size_t count = 0;
    if (reader_.Peek() != JsonKind::kObject) return WrongKind(&reader_, "parameters", "object");
    if (!reader_.EnterObject()) return reader_.error();
    while (reader_.NextMember(&key)) {
      if (++count > limits_.max_parameters) {
        return InvalidArgument("too_many_parameters", "more than " + std::to_string(limits_.max_parameters) +
                                                          " parameters in the request");
      }
      MEZZO_TRY_VOID(ReadRequestParameter(key));
    }
    if (reader_.failed()) return reader_.error();
    return {};
  }

  Result<void> ReadRequestParameter(std::string_view key) {
    if (key == "binary_data_output") {
      MEZZO_TRY(request_.plan.binary_by_default, ReadBoolField(&reader_, key));
    } else if (key == "priority") {
      MEZZO_TRY(request_.call.priority, ReadUintField(&reader_, key));
    } else if (key == "timeout") {
      MEZZO_TRY(const std::uint64_t micros, ReadUintField(&reader_, key));
      constexpr std::uint64_t kLongest = 1'000'000ULL * 3600 * 24 * 365;
      if (micros != 0) request_.timeout = std::chrono::microseconds(std::min(micros, kLongest));
    } else if (key == "sequence_start" || key == "sequence_end") {
      MEZZO_TRY(const bool set, ReadBoolField(&reader_, key));
      if (set) return SequenceRefusal(key);
    } else if (key == "sequence_id") {
      return ReadSequenceId();
    } else if (key.substr(0, 7) == "triton_") {
      return InvalidArgument(
          "parameter_reserved",
          "parameter keys starting with 'triton_' are reserved for Triton usage and should not be "
          "specified: " +
              Quoted(key));
    } else {
      if (key.size() > limits_.max_name_bytes) {
        return InvalidArgument("field_too_long", "a parameter's name has " + std::to_string(key.size()) +
                                                     " bytes, the limit is " +
                                                     std::to_string(limits_.max_name_bytes));
      }
      MEZZO_TRY(inference::ParameterValue value, ReadParameter(&reader_, key));
      request_.call.parameters.emplace_back(std::string(key), std::move(value));
    }
    return {};
  }

  static Error SequenceRefusal(std::string_view key) {
    return Unimplemented("sequence_unsupported",
                         "parameter '" + std::string(key) + "': sequence batching is not supported");
  }

  /// Clients that have no sequence send 0 or an empty name.
  Result<void> ReadSequenceId() {
    if (reader_.Peek() == JsonKind::kString) {
      std::string_view id;
      if (!reader_.ReadString(&id)) return reader_.error();
      if (!id.empty()) return SequenceRefusal("sequence_id");
      return {};
    }
    MEZZO_TRY(const std::uint64_t id, ReadUintField(&reader_, "sequence_id"));
    if (id != 0) return SequenceRefusal("sequence_id");
    return {};
  }

  const SharedBytes& body_;
  std::size_t binary_at_;  // Of the next binary tensor.
  const DecodeSources& sources_;
  const DecodeLimits& limits_;
  ByteCount budget_;
  JsonReader reader_;
  bool seen_inputs_ = false;
  DecodedRequest request_;
};

}  // namespace

Result<std::size_t> ParseHeaderLength(std::string_view value) {
  const auto length = ParseUint(Trim(value));
  if (!length || *length > std::numeric_limits<std::int32_t>::max()) {
    return InvalidArgument("header_length",
                           "Unable to parse Inference-Header-Content-Length, expected a number in "
                           "[0, 2147483647], got: " +
                               Printable(value));
  }
  return static_cast<std::size_t>(*length);
}

Result<DecodedRequest> DecodeRequest(const SharedBytes& body, std::size_t header_length,
                                     std::string_view model, std::string_view version,
                                     const DecodeSources& sources, const DecodeLimits& limits) {
  if (header_length > body.size()) {
    return InvalidArgument("header_length", "inference header size should be in range (0, " +
                                                std::to_string(body.size()) +
                                                "), got: " + std::to_string(header_length));
  }
  return Decoder(body, header_length, sources, limits).Decode(model, version);
}

Result<DecodedRequest> DecodeRawRequest(const SharedBytes& body, std::string_view model,
                                        std::string_view version, const models::ModelConfig& config) {
  if (config.inputs.size() != 1) {
    return InvalidArgument("raw_request",
                           "Raw request must only have 1 input (found 1) to be deduced but got " +
                               std::to_string(config.inputs.size()) + " inputs in " + Quoted(model) +
                               " model configuration");
  }
  const models::TensorConfig& declared = config.inputs.front();
  tensor::Tensor tensor{.dtype = declared.dtype, .shape = declared.shape, .data = body};
  const std::size_t first = config.max_batch_size > 0 ? 1 : 0;
  if (first == 1 && tensor.shape.rank() > 0) tensor.shape[0] = 1;
  std::optional<std::size_t> variable;
  std::uint64_t elements = 1;
  for (std::size_t i = first; i < tensor.shape.rank(); ++i) {
    if (tensor.shape[i] >= 0) {
      elements *= static_cast<std::uint64_t>(tensor.shape[i]);
    } else if (variable) {
      return InvalidArgument("raw_request", "The shape of the raw input " + Quoted(declared.name) +
                                                " can not be deduced because there are more than one "
                                                "variable-sized dimension");
    } else {
      variable = i;
    }
  }
  if (declared.dtype == DType::kBytes) {
    if (variable || elements != 1) {
      return InvalidArgument("raw_request", "For BYTE datatype raw input " + Quoted(declared.name) +
                                                ", the model must have input shape [1]");
    }
    std::string element;
    tensor::AppendBytesElement(element, body.text());
    tensor.data = SharedBytes::FromString(std::move(element));
  } else if (variable) {
    const std::uint64_t step = elements * tensor::DTypeSize(declared.dtype);
    tensor.shape[*variable] = step == 0 ? 0 : static_cast<std::int64_t>(body.size() / step);
  }
  MEZZO_TRY_VOID(tensor::CheckTensor(declared.name, tensor));
  AlignForType(&tensor);

  DecodedRequest request;
  request.call.model = ModelName(std::string(model));
  request.call.version = version;
  inference::NamedTensor input{.name = declared.name, .tensor = std::move(tensor)};
  request.call.inputs.push_back(std::move(input));
  request.plan.binary_by_default = true;
  return request;
}

}  // namespace mezzo::api::v2http
