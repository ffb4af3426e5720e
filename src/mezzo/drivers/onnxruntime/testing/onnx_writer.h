#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// Writes small ONNX models for tests: the protobuf wire format with the fields of onnx.proto3 that they
/// need.
namespace mezzo::drivers::testing {

/// A protobuf message under construction.
class Proto {
 public:
  Proto& Number(std::uint32_t field, std::uint64_t value) {
    Varint(std::uint64_t{field} << 3U);
    Varint(value);
    return *this;
  }
  Proto& Bytes(std::uint32_t field, std::string_view value) {
    Varint((std::uint64_t{field} << 3U) | 2U);
    Varint(value.size());
    bytes_ += value;
    return *this;
  }
  Proto& Child(std::uint32_t field, const Proto& child) { return Bytes(field, child.bytes_); }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  void Varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) bytes_ += static_cast<char>(value | 0x80U);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

/// TensorProto.DataType.
enum OnnxType : std::uint8_t {
  kOnnxFloat = 1,
  kOnnxUint8 = 2,
  kOnnxInt8 = 3,
  kOnnxUint16 = 4,
  kOnnxInt16 = 5,
  kOnnxInt32 = 6,
  kOnnxInt64 = 7,
  kOnnxString = 8,
  kOnnxBool = 9,
  kOnnxFloat16 = 10,
  kOnnxDouble = 11,
  kOnnxUint32 = 12,
  kOnnxUint64 = 13,
  kOnnxComplex64 = 14,
  kOnnxBfloat16 = 16,
};

using Dim = std::variant<std::int64_t, std::string>;

inline Proto TensorHead(std::string_view name, OnnxType type, std::initializer_list<std::int64_t> dims) {
  Proto tensor;
  for (const std::int64_t dim : dims) tensor.Number(1, static_cast<std::uint64_t>(dim));
  return tensor.Number(2, type).Bytes(8, name);
}

inline Proto Initializer(std::string_view name, OnnxType type, std::initializer_list<std::int64_t> dims,
                         std::string_view raw) {
  return TensorHead(name, type, dims).Bytes(9, raw);
}

inline Proto ExternalInitializer(std::string_view name, OnnxType type,
                                 std::initializer_list<std::int64_t> dims,
                                 const std::vector<std::pair<std::string, std::string>>& entries) {
  Proto tensor = TensorHead(name, type, dims);
  for (const auto& [key, value] : entries) tensor.Child(13, Proto().Bytes(1, key).Bytes(2, value));
  return tensor.Number(14, 1);
}

inline Proto ValueInfo(std::string_view name, OnnxType type, const std::vector<Dim>& dims) {
  Proto shape;
  for (const Dim& dim : dims) {
    const auto* const size = std::get_if<std::int64_t>(&dim);
    shape.Child(1, size != nullptr ? Proto().Number(1, static_cast<std::uint64_t>(*size))
                                   : Proto().Bytes(2, std::get<std::string>(dim)));
  }
  return Proto().Bytes(1, name).Child(2, Proto().Child(1, Proto().Number(1, type).Child(2, shape)));
}

inline Proto Node(std::string_view op, std::initializer_list<std::string_view> inputs,
                  std::initializer_list<std::string_view> outputs) {
  Proto node;
  for (const auto input : inputs) node.Bytes(1, input);
  for (const auto output : outputs) node.Bytes(2, output);
  return node.Bytes(4, op);
}

inline Proto GraphAttribute(std::string_view name, const Proto& graph) {
  return Proto().Bytes(1, name).Child(6, graph).Number(20, 5);
}

struct GraphParts {
  std::vector<Proto> nodes;
  std::vector<Proto> inputs;
  std::vector<Proto> outputs;
  std::vector<Proto> initializers = {};
};

inline Proto Graph(const GraphParts& parts) {
  Proto graph;
  for (const Proto& node : parts.nodes) graph.Child(1, node);
  graph.Bytes(2, "test");
  for (const Proto& tensor : parts.initializers) graph.Child(5, tensor);
  for (const Proto& input : parts.inputs) graph.Child(11, input);
  for (const Proto& output : parts.outputs) graph.Child(12, output);
  return graph;
}

inline std::string Model(const Proto& graph) {
  return Proto().Number(1, 8).Child(7, graph).Child(8, Proto().Bytes(1, "").Number(2, 17)).bytes();
}

inline std::string Model(const GraphParts& parts) { return Model(Graph(parts)); }

/// y = x for one type and shape.
inline std::string IdentityModel(OnnxType type, const std::vector<Dim>& dims) {
  return Model({.nodes = {Node("Identity", {"x"}, {"y"})},
                .inputs = {ValueInfo("x", type, dims)},
                .outputs = {ValueInfo("y", type, dims)}});
}

inline std::string RawFloats(std::size_t count, float value) {
  std::string raw(count * sizeof(float), '\0');
  for (std::size_t i = 0; i < count; ++i)
    raw.replace(i * sizeof(float), sizeof(float), reinterpret_cast<char*>(&value), sizeof(float));
  return raw;
}

/// y = x multiplied `layers` times by a [width, width] matrix of 1/width: 4 · layers · width² bytes of
/// weights, kept repacked by the engine.
inline std::string MatMulModel(std::int64_t width, int layers) {
  std::string raw = RawFloats(static_cast<std::size_t>(width * width), 1.0F / static_cast<float>(width));
  GraphParts parts{.nodes = {},
                   .inputs = {ValueInfo("x", kOnnxFloat, {"batch", width})},
                   .outputs = {ValueInfo("y", kOnnxFloat, {"batch", width})}};
  std::string from = "x";
  for (int i = 0; i < layers; ++i) {
    const std::string weight = "w" + std::to_string(i);
    const std::string to = i + 1 == layers ? "y" : "h" + std::to_string(i);
    // Different from the others: the engine keeps equal tensors once.
    const float first = 1.0F / static_cast<float>(width) * (1.0F + static_cast<float>(i) / 1e6F);
    raw.replace(0, sizeof(float), reinterpret_cast<const char*>(&first), sizeof(float));
    parts.initializers.push_back(Initializer(weight, kOnnxFloat, {width, width}, raw));
    parts.nodes.push_back(Node("MatMul", {from, weight}, {to}));
    from = to;
  }
  return Model(parts);
}

/// y = rows `x` of a [rows, width] table: weights that the engine keeps as they are.
inline std::string GatherModel(std::int64_t rows, std::int64_t width) {
  return Model({.nodes = {Node("Gather", {"table", "x"}, {"y"})},
                .inputs = {ValueInfo("x", kOnnxInt64, {"n"})},
                .outputs = {ValueInfo("y", kOnnxFloat, {"n", width})},
                .initializers = {Initializer("table", kOnnxFloat, {rows, width},
                                             RawFloats(static_cast<std::size_t>(rows * width), 0.5F))}});
}

/// y = sin(sin(… x)), `n` times: runs as long as one likes.
inline std::string LoopModel() {
  const Proto body =
      Graph({.nodes = {Node("Sin", {"v_in"}, {"v_out"}), Node("Identity", {"cond_in"}, {"cond_out"})},
             .inputs = {ValueInfo("i", kOnnxInt64, {}), ValueInfo("cond_in", kOnnxBool, {}),
                        ValueInfo("v_in", kOnnxFloat, {"m"})},
             .outputs = {ValueInfo("cond_out", kOnnxBool, {}), ValueInfo("v_out", kOnnxFloat, {"m"})}});
  Proto loop = Node("Loop", {"n", "", "x"}, {"y"});
  loop.Child(5, GraphAttribute("body", body));
  return Model({.nodes = {loop},
                .inputs = {ValueInfo("n", kOnnxInt64, {}), ValueInfo("x", kOnnxFloat, {"m"})},
                .outputs = {ValueInfo("y", kOnnxFloat, {"m"})}});
}

/// y = w, a float vector in an external file.
inline std::string ExternalModel(const std::vector<std::pair<std::string, std::string>>& entries,
                                 std::int64_t count) {
  return Model({.nodes = {Node("Add", {"x", "w"}, {"y"})},
                .inputs = {ValueInfo("x", kOnnxFloat, {count})},
                .outputs = {ValueInfo("y", kOnnxFloat, {count})},
                .initializers = {ExternalInitializer("w", kOnnxFloat, {count}, entries)}});
}

}  // namespace mezzo::drivers::testing
