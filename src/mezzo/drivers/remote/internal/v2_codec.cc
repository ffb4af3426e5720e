#include "mezzo/drivers/remote/internal/v2_codec.h"

#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

using nlohmann::json;
using tensor::Shape;
using tensor::Tensor;

constexpr std::size_t kMaxTensors = 1024;

Error Invalid(const std::string& what) { return {Code::kUnknown, "upstream_answer_invalid", what}; }

const json* Find(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

Result<std::string> Text(const json& object, const char* name) {
  const json* value = Find(object, name);
  if (value == nullptr || !value->is_string()) return Invalid(std::string("a tensor without '") + name + "'");
  return value->get<std::string>();
}

/// Name, type and shape: what metadata and answers have in common.
Result<engine::TensorSpec> ReadSpec(const json& entry, std::int64_t lowest) {
  engine::TensorSpec spec;
  MEZZO_TRY(spec.name, Text(entry, "name"));
  MEZZO_TRY(const std::string datatype, Text(entry, "datatype"));
  const auto dtype = tensor::ParseDType(datatype);
  const json* shape = Find(entry, "shape");
  const std::string subject = "a tensor '" + Printable(spec.name) + "'";
  if (!dtype.has_value()) return Invalid(subject + " of the unknown type '" + Printable(datatype) + "'");
  if (shape == nullptr || !shape->is_array()) return Invalid(subject + " without a shape");
  spec.dtype = *dtype;
  for (const json& dim : *shape) {
    const bool fits = dim.is_number_integer() && dim.get<std::int64_t>() >= lowest;
    if (!fits || !spec.shape.Append(dim.get<std::int64_t>()))
      return Invalid(subject + " with an impossible shape");
  }
  spec.symbols.resize(spec.shape.rank());
  return spec;
}

Result<std::vector<engine::TensorSpec>> ReadSpecs(const json& metadata, const char* name) {
  const json* list = Find(metadata, name);
  if (list == nullptr || !list->is_array() || list->empty() || list->size() > kMaxTensors) {
    return Invalid(std::string("metadata without '") + name + "'");
  }
  std::vector<engine::TensorSpec> specs;
  for (const json& entry : *list) {
    MEZZO_TRY(engine::TensorSpec spec, ReadSpec(entry, -1));
    specs.push_back(std::move(spec));
  }
  return specs;
}

bool Fits(const Shape& declared, const Shape& actual) {
  if (declared.rank() != actual.rank()) return false;
  for (std::size_t i = 0; i < declared.rank(); ++i) {
    if (declared[i] != -1 && declared[i] != actual[i]) return false;
  }
  return true;
}

/// Where the binary tensors of an answer lie, one behind the other.
struct Binary {
  SharedBytes body;
  std::size_t at = 0;
};

Result<Tensor> ReadOutput(const json& entry, const engine::TensorSpec& spec, Binary& binary) {
  MEZZO_TRY(const engine::TensorSpec actual, ReadSpec(entry, 0));
  const std::string subject = "an output '" + Printable(spec.name) + "'";
  if (actual.dtype != spec.dtype || !Fits(spec.shape, actual.shape)) {
    return Invalid(subject + " of type " + std::string(tensor::DTypeName(actual.dtype)) + " and shape " +
                   actual.shape.ToString() + ", which is not what it declares");
  }
  const json* parameters = Find(entry, "parameters");
  const json* size = parameters == nullptr ? nullptr : Find(*parameters, "binary_data_size");
  if (size == nullptr || !size->is_number_unsigned()) return Invalid(subject + " that is not in binary");
  const auto bytes = size->get<std::uint64_t>();
  if (bytes > binary.body.size() - binary.at)
    return Invalid(subject + " that its body ends in the middle of");
  Tensor output{.dtype = spec.dtype, .shape = actual.shape, .data = binary.body.Slice(binary.at, bytes)};
  binary.at += bytes;
  if (const auto whole = tensor::CheckTensor(spec.name, output); !whole.ok()) {
    return Invalid(subject + " that is not whole: " + whole.error().message());
  }
  return output;
}

}  // namespace

V2Body EncodeV2Request(const engine::SessionFacts& facts, std::span<const Tensor* const> inputs,
                       std::span<const std::size_t> wanted) {
  json request{{"inputs", json::array()}, {"outputs", json::array()}};
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr) continue;
    const Shape& shape = inputs[i]->shape;
    request["inputs"].push_back(
        {{"name", facts.inputs[i].name},
         {"datatype", tensor::DTypeName(inputs[i]->dtype)},
         {"shape", std::vector<std::int64_t>(shape.dims().begin(), shape.dims().end())},
         {"parameters", {{"binary_data_size", inputs[i]->data.size()}}}});
    bytes += inputs[i]->data.size();
  }
  for (const std::size_t output : wanted) {
    request["outputs"].push_back(
        {{"name", facts.outputs[output].name}, {"parameters", {{"binary_data", true}}}});
  }
  V2Body body;
  body.bytes = request.dump(-1, ' ', false, json::error_handler_t::replace);
  body.json_size = body.bytes.size();
  body.bytes.reserve(body.json_size + bytes);
  for (const Tensor* input : inputs) {
    if (input != nullptr) body.bytes += input->data.text();
  }
  return body;
}

Result<std::vector<Tensor>> DecodeV2Response(const engine::SessionFacts& facts,
                                             std::span<const std::size_t> wanted, std::string body,
                                             std::optional<std::size_t> json_size) {
  const std::size_t end = json_size.value_or(body.size());
  if (end > body.size()) return Invalid("a body shorter than its JSON is said to be");
  const SharedBytes shared = SharedBytes::FromString(std::move(body));
  const json answer = json::parse(shared.text().substr(0, end), nullptr, /*allow_exceptions=*/false);
  const json* outputs = Find(answer, "outputs");
  if (outputs == nullptr || !outputs->is_array() || outputs->size() > kMaxTensors) {
    return Invalid("without 'outputs'");
  }
  Binary binary{.body = shared, .at = end};
  std::vector<std::optional<Tensor>> found(wanted.size());
  for (const json& entry : *outputs) {
    MEZZO_TRY(const std::string name, Text(entry, "name"));
    std::size_t place = 0;
    while (place < wanted.size() && facts.outputs[wanted[place]].name != name) ++place;
    if (place == wanted.size() || found[place].has_value()) {
      return Invalid("an output '" + Printable(name) + "' that was not asked for");
    }
    MEZZO_TRY(found[place], ReadOutput(entry, facts.outputs[wanted[place]], binary));
  }
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!found[i].has_value()) {
      return Invalid("without the output '" + Printable(facts.outputs[wanted[i]].name) + "'");
    }
    tensors.push_back(*std::move(found[i]));
  }
  return tensors;
}

Result<engine::SessionFacts> DecodeV2Metadata(std::string_view body) {
  const json metadata = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!metadata.is_object()) return Invalid("metadata that is no JSON object");
  engine::SessionFacts facts;
  MEZZO_TRY(facts.inputs, ReadSpecs(metadata, "inputs"));
  MEZZO_TRY(facts.outputs, ReadSpecs(metadata, "outputs"));
  return facts;
}

}  // namespace mezzo::drivers
