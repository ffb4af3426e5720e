#include "mezzo/api/grpc/internal/infer_request.h"

#include <algorithm>
#include <utility>

#include "mezzo/api/grpc/internal/typed_contents.h"
#include "mezzo/api/grpc/internal/wire_parameter.h"
#include "mezzo/api/grpc/internal/wire_reader.h"
#include "mezzo/api/json_text.h"
#include "mezzo/api/version_text.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::rpc {
namespace {

constexpr std::size_t kAlignment = 64;

/// Where the bytes of an input are; its place is that of the input in the call.
struct InputSource {
  bool has_contents = false;
  BytesView contents;
  RegionRange range;
};

/// A raw_input_contents entry that was passed over.
struct RawContents {
  WireReader at;
  std::size_t size = 0;
};

Error TooMany(std::string_view what, std::size_t limit) {
  return InvalidArgument("too_many_" + std::string(what),
                         "more than " + std::to_string(limit) + " " + std::string(what) + " in the request");
}

class InferDecoder {
 public:
  InferDecoder(const DecodeSources& sources, const DecodeLimits& limits, DecodedInfer* out)
      : sources_(sources), limits_(limits), out_(*out), budget_(limits.max_decoded_bytes) {}

  Result<void> Decode(std::span<const BytesView> message) {
    WireReader reader(message);
    while (reader.remaining() > 0) {
      std::uint32_t field = 0;
      WireType type{};
      if (!reader.ReadTag(&field, &type)) return Malformed("the message");
      if (type != WireType::kBytes || field > 7) {
        if (!reader.SkipField(type)) return Malformed("the message");
        continue;
      }
      if (field == 7) {
        MEZZO_TRY_VOID(PassRaw(&reader));
        continue;
      }
      BytesView bytes;
      if (!reader.ReadBytes(&scratch_, &bytes)) return Malformed("the message");
      MEZZO_TRY_VOID(ReadField(field, bytes));
    }
    MEZZO_TRY_VOID(CheckInputs());
    return FillInputs();
  }

 private:
  Result<void> ReadField(std::uint32_t field, BytesView bytes) {
    switch (field) {
      case 1: {
        MEZZO_TRY(std::string text, TakeText("model_name", AsText(bytes)));
        out_.call.model = ModelName(std::move(text));
        return {};
      }
      case 2: {
        MEZZO_TRY(out_.call.version, TakeText("model_version", AsText(bytes)));
        return CheckVersion(out_.call.version);
      }
      case 3: {
        MEZZO_TRY(out_.call.id, TakeText("id", AsText(bytes)));
        return {};
      }
      case 4:
        return ReadRequestParameter(bytes);
      case 5:
        return ReadInput(bytes);
      default:
        return ReadOutput(bytes);
    }
  }

  Result<std::string> TakeText(std::string_view field, std::string_view text) const {
    if (text.size() > limits_.max_name_bytes) {
      return InvalidArgument("field_too_long", "field '" + std::string(field) + "' has " +
                                                   std::to_string(text.size()) + " bytes, the limit is " +
                                                   std::to_string(limits_.max_name_bytes));
    }
    if (!IsUtf8(text)) return Malformed(std::string(field) + ", which is not UTF-8");
    return std::string(text);
  }

  Result<void> PassRaw(WireReader* reader) {
    RawContents raw{.at = *reader, .size = 0};
    if (!reader->ReadLength(&raw.size)) return Malformed("raw_input_contents");
    raw.at = *reader;
    reader->Skip(raw.size);
    if (raws_.size() == limits_.max_tensors) return TooMany("raw_input_contents", limits_.max_tensors);
    raws_.push_back(raw);
    return {};
  }

  // Request parameters.

  Result<void> ReadRequestParameter(BytesView entry) {
    if (++parameters_ > limits_.max_parameters) return TooMany("parameters", limits_.max_parameters);
    std::string_view key;
    WireParameter value;
    MEZZO_TRY_VOID(ReadParameterEntry(entry, &scratch_, &key, &value));
    if (key == "priority") return ReadPriority(value);
    if (key == "timeout") return ReadTimeout(value);
    if (key == "sequence_id" || key == "sequence_start" || key == "sequence_end")
      return CheckSequence(key, value);
    if (key.starts_with("triton_")) return CheckReserved(key, value);
    MEZZO_TRY(std::string name, TakeText("parameters", key));
    MEZZO_TRY(inference::ParameterValue kept, ToParameterValue(key, value));
    out_.call.parameters.emplace_back(std::move(name), std::move(kept));
    return {};
  }

  Result<void> ReadPriority(const WireParameter& value) {
    if (const auto* number = std::get_if<std::uint64_t>(&value)) {
      out_.call.priority = *number;
      return {};
    }
    const auto* number = std::get_if<std::int64_t>(&value);
    if (number == nullptr) {
      return InvalidArgument(
          "parameter_type",
          "invalid value type for 'priority' parameter, expected int64_param or uint64_param.");
    }
    if (*number < 0) {
      return InvalidArgument("parameter_value", "invalid value for 'priority', expected value >= 0.");
    }
    out_.call.priority = static_cast<std::uint64_t>(*number);
    return {};
  }

  Result<void> ReadTimeout(const WireParameter& value) {
    std::uint64_t micros = 0;
    if (const auto* number = std::get_if<std::uint64_t>(&value)) {
      micros = *number;
    } else if (const auto* signed_number = std::get_if<std::int64_t>(&value)) {
      if (*signed_number < 0) {
        return InvalidArgument(
            "parameter_value",
            "invalid value for 'timeout', expected microseconds >= 0, got " + std::to_string(*signed_number));
      }
      micros = static_cast<std::uint64_t>(*signed_number);
    } else {
      return InvalidArgument("parameter_type",
                             "invalid value type for 'timeout' parameter, expected int64_param.");
    }
    constexpr std::uint64_t kLongest = 1'000'000ULL * 3600 * 24 * 365;
    out_.timeout.reset();
    if (micros != 0) out_.timeout = std::chrono::microseconds(std::min(micros, kLongest));
    return {};
  }

  static Result<void> CheckSequence(std::string_view key, const WireParameter& value) {
    bool off = false;
    if (key == "sequence_id") {
      const auto* number = std::get_if<std::int64_t>(&value);
      const auto* text = std::get_if<std::string_view>(&value);
      if (number == nullptr && text == nullptr) {
        return InvalidArgument("parameter_type",
                               "invalid value type for 'sequence_id' parameter, expected int64_param or "
                               "string_param.");
      }
      off = number != nullptr ? *number == 0 : text->empty();
    } else {
      const auto* flag = std::get_if<bool>(&value);
      if (flag == nullptr) {
        return InvalidArgument("parameter_type",
                               "invalid value type for " + Quoted(key) + " parameter, expected bool_param.");
      }
      off = !*flag;
    }
    if (off) return {};
    return Unimplemented("sequence_unsupported",
                         "parameter " + Quoted(key) + ": sequence batching is not supported");
  }

  /// Models here answer each request once, so the empty final response that this asks for never comes about.
  static Result<void> CheckReserved(std::string_view key, const WireParameter& value) {
    if (key != "triton_enable_empty_final_response") {
      return InvalidArgument("parameter_reserved",
                             "parameter keys starting with 'triton_' are reserved for Triton usage. Only the "
                             "following keys starting with 'triton_' are allowed: "
                             "triton_enable_empty_final_response, got " +
                                 Quoted(key));
    }
    if (std::holds_alternative<bool>(value)) return {};
    return InvalidArgument("parameter_type",
                           "invalid value type for " + Quoted(key) + " parameter, expected bool_param.");
  }

  // Inputs.

  Result<void> ReadInput(BytesView bytes) {
    if (out_.call.inputs.size() == limits_.max_tensors) return TooMany("inputs", limits_.max_tensors);
    inference::NamedTensor& input = out_.call.inputs.emplace_back();
    InputSource& source = sources_of_.emplace_back();
    std::string_view dtype;
    std::size_t parameters = 0;
    WireReader reader(bytes);
    while (reader.remaining() > 0) {
      std::uint32_t field = 0;
      WireType type{};
      if (!reader.ReadTag(&field, &type)) return Malformed("inputs");
      if (field == 3) {
        MEZZO_TRY_VOID(ReadDims(&reader, type, &input));
        continue;
      }
      if (field > 5 || type != WireType::kBytes) {
        if (!reader.SkipField(type)) return Malformed("inputs");
        continue;
      }
      BytesView value;
      if (!reader.ReadBytes(&scratch_, &value)) return Malformed("inputs");
      if (field == 1) {
        MEZZO_TRY(input.name, TakeText("name", AsText(value)));
      } else if (field == 2) {
        dtype = AsText(value);
      } else if (field == 4) {
        if (++parameters > limits_.max_parameters) return TooMany("parameters", limits_.max_parameters);
        MEZZO_TRY_VOID(ReadInputParameter(input.name, value, &source.range));
      } else {
        AddContents(value, &source);
      }
    }
    const auto known = tensor::ParseDType(dtype);
    if (!known) {
      return InvalidArgument("datatype_unknown",
                             "invalid datatype " + Quoted(dtype) + " for input " + Quoted(input.name));
    }
    input.tensor.dtype = *known;
    return {};
  }

  static Result<void> ReadDims(WireReader* reader, WireType type, inference::NamedTensor* input) {
    std::uint64_t dim = 0;
    std::size_t behind = reader->remaining();
    if (type == WireType::kBytes) {
      std::size_t length = 0;
      if (!reader->ReadLength(&length)) return Malformed("shape");
      behind = reader->remaining() - length;
      if (length == 0) return {};
    } else if (type == WireType::kVarint) {
      behind = reader->remaining() - 1;  // One number: the loop below ends behind its first byte.
    } else {
      return Malformed("shape");
    }
    do {
      if (!reader->ReadVarint(&dim)) return Malformed("shape");
      if (!input->tensor.shape.Append(static_cast<std::int64_t>(dim))) {
        return InvalidArgument("shape_rank", "input " + Quoted(input->name) + " has more than " +
                                                 std::to_string(tensor::Shape::kMaxRank) + " dimensions");
      }
    } while (reader->remaining() > behind);
    if (type == WireType::kBytes && reader->remaining() != behind) return Malformed("shape");
    return {};
  }

  Result<void> ReadInputParameter(std::string_view input, BytesView entry, RegionRange* range) {
    std::string_view key;
    WireParameter value;
    MEZZO_TRY_VOID(ReadParameterEntry(entry, &scratch_, &key, &value));
    MEZZO_TRY([[maybe_unused]] const bool taken, ReadRegionParameter(input, key, value, range));
    return {};
  }

  /// A message field that comes twice is merged, which is what its bytes one after the other mean.
  void AddContents(BytesView value, InputSource* source) {
    source->has_contents = true;
    if (source->contents.empty()) {
      source->contents = value;
      return;
    }
    if (value.empty()) return;
    const std::size_t size = source->contents.size() + value.size();
    scratch_.push_back(std::make_unique<std::byte[]>(size));
    std::byte* joined = scratch_.back().get();
    std::copy(value.begin(), value.end(),
              std::copy(source->contents.begin(), source->contents.end(), joined));
    source->contents = {joined, size};
  }

  Result<void> CheckInputs() const {
    const auto& inputs = out_.call.inputs;
    const std::string& model = out_.call.model.str();
    std::size_t wanted = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const InputSource& source = sources_of_[i];
      MEZZO_TRY_VOID(CheckRegionRange(inputs[i].name, source.range));
      const auto whose = [&] { return Quoted(inputs[i].name) + " for model " + Quoted(model); };
      if (source.range.given && source.has_contents) {
        return InvalidArgument(
            "input_content",
            "unexpected 'content' provided when using shared memory for input tensor " + whose());
      }
      if (source.has_contents && !raws_.empty()) {
        return InvalidArgument(
            "input_content",
            "contents field must not be specified when using raw_input_contents for " + whose());
      }
      if (source.range.given || source.has_contents) continue;
      if (wanted == raws_.size()) {
        return InvalidArgument("input_content",
                               "unable to find data for input tensor " + whose() + " in request.");
      }
      ++wanted;
    }
    if (wanted == raws_.size()) return {};
    return InvalidArgument("input_content", "expected " + std::to_string(wanted) +
                                                " raw_input_contents for the inputs of model " +
                                                Quoted(model) + ", got " + std::to_string(raws_.size()));
  }

  Result<void> FillInputs() {
    auto& inputs = out_.call.inputs;
    MEZZO_TRY_VOID(CopyRaws());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const InputSource& source = sources_of_[i];
      tensor::Tensor& tensor = inputs[i].tensor;
      if (source.has_contents) {
        const ContentsOf whose{.input = inputs[i].name, .model = out_.call.model.str(), .budget = budget_};
        MEZZO_TRY(tensor.data, DecodeContents(source.contents, tensor.dtype, tensor.shape, whose));
        Spend(tensor.data.size());
      } else if (source.range.given) {
        MEZZO_TRY(tensor.data, ReadRegion(inputs[i].name, source.range));
      }
    }
    return {};
  }

  /// One piece of memory for all raw inputs, each beginning where any element type is aligned.
  Result<void> CopyRaws() {
    std::size_t total = 0;
    for (const RawContents& raw : raws_) total += (raw.size + kAlignment - 1) / kAlignment * kAlignment;
    if (total == 0) return {};
    if (total > budget_) {
      return InvalidArgument("data_too_large", "raw_input_contents take " + std::to_string(total) +
                                                   " bytes, the limit is " + std::to_string(budget_));
    }
    Spend(total);
    const tensor::MutableBuffer buffer = tensor::AllocateBuffer(total);
    const SharedBytes shared = buffer.Share();
    std::size_t at = 0;
    std::size_t next = 0;
    for (std::size_t i = 0; i < sources_of_.size(); ++i) {
      if (sources_of_[i].has_contents || sources_of_[i].range.given) continue;
      RawContents& raw = raws_[next++];
      raw.at.CopyTo(buffer.data() + at, raw.size);
      out_.call.inputs[i].tensor.data = shared.Slice(at, raw.size);
      at += (raw.size + kAlignment - 1) / kAlignment * kAlignment;
    }
    return {};
  }

  void Spend(ByteCount bytes) {
    budget_ -= std::min(bytes, budget_);
    out_.tensor_bytes += bytes;
  }

  Result<SharedMemoryWindow> OpenRange(const RegionRange& range) const {
    if (sources_.regions == nullptr) {
      return NotFound("shared_memory_unknown",
                      "Unable to find shared memory region: " + Quoted(range.region));
    }
    return sources_.regions->Window(sources_.tenant, range.region, range.offset, range.byte_size);
  }

  Result<SharedBytes> ReadRegion(std::string_view input, const RegionRange& range) {
    MEZZO_TRY(const SharedMemoryWindow window, OpenRange(range));
    if (window.size() > budget_) {
      return InvalidArgument("data_too_large", "input " + Quoted(input) + " takes " +
                                                   std::to_string(window.size()) +
                                                   " bytes from shared memory, the limit that is left of the "
                                                   "request's is " +
                                                   std::to_string(budget_));
    }
    Spend(window.size());
    return window.Read();
  }

  // Outputs.

  Result<void> ReadOutput(BytesView bytes) {
    if (out_.call.outputs.size() == limits_.max_tensors) return TooMany("outputs", limits_.max_tensors);
    inference::RequestedOutput output;
    RegionRange range;
    std::size_t parameters = 0;
    WireReader reader(bytes);
    while (reader.remaining() > 0) {
      std::uint32_t field = 0;
      WireType type{};
      if (!reader.ReadTag(&field, &type)) return Malformed("outputs");
      if (field > 2 || type != WireType::kBytes) {
        if (!reader.SkipField(type)) return Malformed("outputs");
        continue;
      }
      BytesView value;
      if (!reader.ReadBytes(&scratch_, &value)) return Malformed("outputs");
      if (field == 1) {
        MEZZO_TRY(output.name, TakeText("name", AsText(value)));
        continue;
      }
      if (++parameters > limits_.max_parameters) return TooMany("parameters", limits_.max_parameters);
      MEZZO_TRY_VOID(ReadOutputParameter(value, &output, &range));
    }
    return AddOutput(std::move(output), range);
  }

  Result<void> ReadOutputParameter(BytesView entry, inference::RequestedOutput* output, RegionRange* range) {
    std::string_view key;
    WireParameter value;
    MEZZO_TRY_VOID(ReadParameterEntry(entry, &scratch_, &key, &value));
    if (key == "classification") {
      const auto* number = std::get_if<std::int64_t>(&value);
      if (number == nullptr || *number < 0) {
        return InvalidArgument(
            "parameter_type",
            "invalid value for 'classification' parameter, expected int64_param of at least 0.");
      }
      output->classification = *number;
      return {};
    }
    MEZZO_TRY([[maybe_unused]] const bool taken, ReadRegionParameter(output->name, key, value, range));
    return {};
  }

  Result<void> AddOutput(inference::RequestedOutput output, const RegionRange& range) {
    for (const auto& other : out_.call.outputs) {
      if (other.name == output.name) {
        return InvalidArgument("output_duplicate",
                               "output " + Quoted(output.name) + " already exists in request");
      }
    }
    MEZZO_TRY_VOID(CheckRegionRange(output.name, range));
    if (range.given) {
      if (output.classification != 0) {
        return InvalidArgument("output_content",
                               "output can't set both 'shared_memory_region' and 'classification'");
      }
      MEZZO_TRY(SharedMemoryWindow window, OpenRange(range));
      out_.targets.push_back({.name = output.name, .window = std::move(window)});
    }
    if (output.classification != 0) {
      out_.classes.resize(out_.call.outputs.size() + 1);
      out_.classes.back() = output.classification;
    }
    out_.call.outputs.push_back(std::move(output));
    return {};
  }

  const DecodeSources& sources_;
  const DecodeLimits& limits_;
  DecodedInfer& out_;
  ByteCount budget_;
  std::size_t parameters_ = 0;
  std::vector<InputSource> sources_of_;
  std::vector<RawContents> raws_;
  WireScratch scratch_;
};

}  // namespace

Result<void> DecodeInferRequest(std::span<const BytesView> message, const DecodeSources& sources,
                                const DecodeLimits& limits, DecodedInfer* out) {
  InferDecoder decoder(sources, limits, out);
  return decoder.Decode(message);
}

}  // namespace mezzo::api::rpc
