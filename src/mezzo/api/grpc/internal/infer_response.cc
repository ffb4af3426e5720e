#include "mezzo/api/grpc/internal/infer_response.h"

#include <bit>
#include <cstring>
#include <string>
#include <string_view>

#include "mezzo/api/classification.h"
#include "mezzo/api/grpc/internal/wire_parameter.h"
#include "mezzo/api/grpc/internal/wire_reader.h"
#include "mezzo/base/check.h"

namespace mezzo::api::rpc {
namespace {

/// The parameter that tells stream clients which response is the last one of a request.
constexpr std::string_view kFinalResponse = "triton_final_response";

constexpr std::size_t VarintSize(std::uint64_t value) {
  return (static_cast<std::size_t>(std::bit_width(value | 1)) + 6) / 7;
}
/// Tags of all fields here take one byte: their numbers are below 16.
constexpr std::size_t BytesFieldSize(std::size_t size) { return 1 + VarintSize(size) + size; }
constexpr std::size_t TextFieldSize(std::string_view text) {
  return text.empty() ? 0 : BytesFieldSize(text.size());
}

class Writer {
 public:
  explicit Writer(std::byte* out) : begin_(out), at_(out) {}

  [[nodiscard]] std::size_t written() const { return static_cast<std::size_t>(at_ - begin_); }

  void Varint(std::uint64_t value) {
    while (value >= 0x80) {
      *at_++ = static_cast<std::byte>(value | 0x80);
      value >>= 7;
    }
    *at_++ = static_cast<std::byte>(value);
  }
  void Tag(std::uint32_t field, WireType type) { Varint(field << 3 | static_cast<std::uint32_t>(type)); }
  void Head(std::uint32_t field, std::size_t size) {
    Tag(field, WireType::kBytes);
    Varint(size);
  }
  void Bytes(const void* data, std::size_t size) {
    if (size != 0) std::memcpy(at_, data, size);
    at_ += size;
  }
  void Text(std::uint32_t field, std::string_view text) {
    if (text.empty()) return;
    Head(field, text.size());
    Bytes(text.data(), text.size());
  }

 private:
  const std::byte* begin_;
  std::byte* at_;
};

std::size_t ValueSize(const inference::ParameterValue& value) {
  if (std::holds_alternative<bool>(value)) return 2;
  if (std::holds_alternative<double>(value)) return 9;
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return 1 + VarintSize(static_cast<std::uint64_t>(*number));
  }
  return BytesFieldSize(std::get<std::string>(value).size());
}

void WriteValue(const inference::ParameterValue& value, Writer* writer) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    writer->Tag(1, WireType::kVarint);
    writer->Varint(*flag ? 1 : 0);
  } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
    writer->Tag(2, WireType::kVarint);
    writer->Varint(static_cast<std::uint64_t>(*number));
  } else if (const auto* real = std::get_if<double>(&value)) {
    writer->Tag(4, WireType::kFixed64);
    writer->Bytes(real, sizeof(*real));
  } else {
    const std::string& text = std::get<std::string>(value);
    writer->Head(3, text.size());  // Also when empty: an empty text is a value.
    writer->Bytes(text.data(), text.size());
  }
}

std::size_t EntrySize(std::string_view key, const inference::ParameterValue& value) {
  return TextFieldSize(key) + BytesFieldSize(ValueSize(value));
}

void WriteEntry(std::string_view key, const inference::ParameterValue& value, Writer* writer) {
  writer->Head(4, EntrySize(key, value));
  writer->Text(1, key);
  writer->Head(2, ValueSize(value));
  WriteValue(value, writer);
}

std::size_t DimsSize(const tensor::Shape& shape) {
  std::size_t size = 0;
  for (const std::int64_t dim : shape.dims()) size += VarintSize(static_cast<std::uint64_t>(dim));
  return size;
}

std::size_t OutputSize(const inference::NamedTensor& output) {
  const std::size_t dims = DimsSize(output.tensor.shape);
  return TextFieldSize(output.name) + TextFieldSize(tensor::DTypeName(output.tensor.dtype)) +
         (dims == 0 ? 0 : BytesFieldSize(dims));
}

void WriteOutput(const inference::NamedTensor& output, Writer* writer) {
  writer->Head(5, OutputSize(output));
  writer->Text(1, output.name);
  writer->Text(2, tensor::DTypeName(output.tensor.dtype));
  if (output.tensor.shape.rank() == 0) return;
  writer->Head(3, DimsSize(output.tensor.shape));
  for (const std::int64_t dim : output.tensor.shape.dims()) writer->Varint(static_cast<std::uint64_t>(dim));
}

}  // namespace

Result<void> WriteTargets(std::span<const OutputTarget> targets, inference::InferenceAnswer* answer) {
  for (const OutputTarget& target : targets) {
    for (inference::NamedTensor& output : answer->outputs) {
      if (output.name != target.name) continue;
      SharedBytes& data = output.tensor.data;
      MEZZO_TRY_VOID(target.window.Write(output.name, data.view()));
      data = SharedBytes();
    }
  }
  return {};
}

Result<void> ClassifyOutputs(std::span<const std::int64_t> classes, inference::InferenceAnswer* answer) {
  const models::ModelConfig* config =
      answer->served_by == nullptr ? nullptr : answer->served_by->config.get();
  for (std::size_t i = 0; i < classes.size() && i < answer->outputs.size(); ++i) {
    if (classes[i] == 0) continue;
    inference::NamedTensor& output = answer->outputs[i];
    std::vector<std::string> labels;
    if (config != nullptr) {
      for (const auto& declared : config->outputs) {
        if (declared.name == output.name) labels = declared.labels;
      }
    }
    MEZZO_TRY(output.tensor, Classify(output.name, output.tensor, classes[i],
                                      config != nullptr && config->max_batch_size > 0, labels));
  }
  return {};
}

InferResponseWriter::InferResponseWriter(const inference::InferenceAnswer& answer, Form form)
    : answer_(answer), form_(form) {
  std::size_t spliced = 0;
  std::size_t size =
      TextFieldSize(answer.model.str()) + TextFieldSize(answer.version) + TextFieldSize(answer.id);
  for (const auto& [key, value] : answer.parameters) size += BytesFieldSize(EntrySize(key, value));
  if (form == Form::kStream) size += BytesFieldSize(EntrySize(kFinalResponse, true));
  for (const auto& output : answer.outputs) {
    const std::size_t data = output.tensor.data.size();
    size += BytesFieldSize(OutputSize(output)) + BytesFieldSize(data);
    if (data >= kSpliceBytes) spliced += data;
  }
  response_size_ = size;
  head_size_ = (form == Form::kStream ? BytesFieldSize(size) : size) - spliced;
}

void InferResponseWriter::Write(std::byte* out) {
  Writer writer(out);
  splices_.clear();
  if (form_ == Form::kStream) writer.Head(2, response_size_);
  writer.Text(1, answer_.model.str());
  writer.Text(2, answer_.version);
  writer.Text(3, answer_.id);
  for (const auto& [key, value] : answer_.parameters) WriteEntry(key, value, &writer);
  if (form_ == Form::kStream) WriteEntry(kFinalResponse, true, &writer);
  for (const auto& output : answer_.outputs) WriteOutput(output, &writer);
  for (const auto& output : answer_.outputs) {
    const SharedBytes& data = output.tensor.data;
    writer.Head(6, data.size());
    if (data.size() < kSpliceBytes) {
      writer.Bytes(data.data(), data.size());
    } else {
      splices_.push_back({.at = writer.written(), .bytes = &data});
    }
  }
  MEZZO_CHECK(writer.written() == head_size_);
}

}  // namespace mezzo::api::rpc
