#include "mezzo/drivers/onnxruntime/model_scan.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "mezzo/base/checked.h"
#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

enum class Message : std::uint8_t {
  kModel,
  kTraining,
  kGraph,
  kFunction,
  kNode,
  kAttribute,
  kTensor,
  kSparseTensor,
  kExternalEntry,
  kValueInfo,
  kType,
  kTensorType,
  kTensorShape,
  kDimension,
  kOpset,
  kNone,
};

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

/// What a length-delimited field of a message holds, as far as tensors can be below it (onnx.proto3).
Message ChildOf(Message parent, std::uint64_t field) {
  switch (parent) {
    case Message::kModel:
      return field == 7    ? Message::kGraph
             : field == 8  ? Message::kOpset
             : field == 20 ? Message::kTraining
             : field == 25 ? Message::kFunction
                           : Message::kNone;
    case Message::kTraining:
      return field == 1 || field == 2 ? Message::kGraph : Message::kNone;
    case Message::kGraph:
      return field == 1    ? Message::kNode
             : field == 5  ? Message::kTensor
             : field == 11 ? Message::kValueInfo
             : field == 15 ? Message::kSparseTensor
                           : Message::kNone;
    case Message::kFunction:
      return field == 7    ? Message::kNode
             : field == 9  ? Message::kOpset
             : field == 11 ? Message::kAttribute
                           : Message::kNone;
    case Message::kNode:
      return field == 5 ? Message::kAttribute : Message::kNone;
    case Message::kAttribute:
      if (field == 5 || field == 10) return Message::kTensor;
      if (field == 6 || field == 11) return Message::kGraph;
      return field == 22 || field == 23 ? Message::kSparseTensor : Message::kNone;
    case Message::kSparseTensor:
      return field == 1 || field == 2 ? Message::kTensor : Message::kNone;
    case Message::kTensor:
      return field == 13 ? Message::kExternalEntry : Message::kNone;
    case Message::kValueInfo:
      return field == 2 ? Message::kType : Message::kNone;
    case Message::kType:
      return field == 1 ? Message::kTensorType : Message::kNone;
    case Message::kTensorType:
      return field == 2 ? Message::kTensorShape : Message::kNone;
    case Message::kTensorShape:
      return field == 1 ? Message::kDimension : Message::kNone;
    default:
      return Message::kNone;
  }
}

constexpr std::uint64_t kNodeOpType = 4;
constexpr std::uint64_t kNodeDomain = 7;
constexpr std::uint64_t kFunctionName = 1;
constexpr std::uint64_t kFunctionDomain = 10;
constexpr std::uint64_t kOpsetDomain = 1;
constexpr std::uint64_t kOpsetVersion = 2;
constexpr std::uint64_t kDimParam = 2;
/// A graph that an execution provider compiled before.
constexpr std::string_view kContextOperator = "EPContext";
constexpr std::string_view kLoop = "Loop";
constexpr std::string_view kScan = "Scan";
/// The long name of the domain "".
constexpr std::string_view kOnnxDomain = "ai.onnx";
constexpr std::uint64_t kTensorName = 8;
constexpr std::uint64_t kSparseDims = 3;
constexpr std::size_t kMaxSparseElementSize = 16;

/// What the fields of a tensor said.
struct TensorState {
  std::string name;
  std::vector<std::string> locations;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
  std::uint64_t inline_bytes = 0;
};

class Scanner {
 public:
  explicit Scanner(ByteSource& source) : source_(source) {}

  Result<ModelScan> Run() {
    if (source_.size() == 0) return InvalidArgument("model_invalid", "the model file is empty");
    MEZZO_TRY_VOID(Visit(Message::kModel, source_.size(), 0));
    if (!has_graph_) return InvalidArgument("model_invalid", "not an ONNX model: it has no graph");
    for (auto& [location, file] : files_) scan_.external.push_back(std::move(file));
    for (const auto& [domain, name] : functions_) {
      const auto operators = scan_.foreign_operators.find(domain);
      if (operators == scan_.foreign_operators.end()) continue;
      operators->second.erase(name);
      if (operators->second.empty()) scan_.foreign_operators.erase(operators);
    }
    return std::move(scan_);
  }

 private:
  struct Field {
    std::uint64_t number = 0;
    WireType type = WireType::kVarint;
    std::uint64_t value = 0;  ///< The number, or the length of what follows.
    std::uint64_t end = 0;    ///< Of a length-delimited field.
  };

  Error Broken(std::string_view what) const {
    return InvalidArgument("model_invalid",
                           "not an ONNX model: " + std::string(what) + " at byte " + std::to_string(at_));
  }

  Result<void> Visit(Message message, std::uint64_t end, int depth) {
    if (depth > kMaxScanDepth) {
      return InvalidArgument("model_invalid",
                             "the model's graphs nest deeper than " + std::to_string(kMaxScanDepth));
    }
    if (message == Message::kGraph) has_graph_ = true;
    if (message == Message::kTensor) return VisitTensor(end, depth);
    if (message == Message::kSparseTensor) return VisitSparseTensor(end, depth);
    if (message == Message::kOpset) return VisitOpset(end);
    QualifiedName named;  // Of a node or a function.
    while (at_ < end) {
      MEZZO_TRY(const Field field, NextField(end));
      if (field.type != WireType::kLength) continue;
      if (std::string* part = named.PartOf(message, field.number); part != nullptr) {
        MEZZO_TRY(*part, ShortText(field));
        continue;
      }
      if (message == Message::kDimension && field.number == kDimParam) {
        MEZZO_TRY_VOID(AddDimSymbol(field));
        continue;
      }
      const Message child = ChildOf(message, field.number);
      if (child == Message::kNone) {
        at_ = field.end;
      } else {
        MEZZO_TRY_VOID(Visit(child, field.end, depth + 1));
      }
    }
    if (message == Message::kNode) return AddOperator(named);
    if (message == Message::kFunction && functions_.size() < kMaxForeignOperators) {
      functions_.emplace(std::move(named.domain), std::move(named.name));
    }
    return {};
  }

  /// What a node runs, or a function defines.
  struct QualifiedName {
    std::string domain;
    std::string name;

    /// Where a field of the message belongs; null: elsewhere.
    std::string* PartOf(Message message, std::uint64_t field) {
      if (message != Message::kNode && message != Message::kFunction) return nullptr;
      if (field == (message == Message::kNode ? kNodeOpType : kFunctionName)) return &name;
      return field == (message == Message::kNode ? kNodeDomain : kFunctionDomain) ? &domain : nullptr;
    }
  };

  Result<void> VisitOpset(std::uint64_t end) {
    std::string domain;
    std::uint64_t version = 0;
    while (at_ < end) {
      MEZZO_TRY(const Field field, NextField(end));
      if (field.number == kOpsetVersion && field.type == WireType::kVarint) version = field.value;
      if (field.type != WireType::kLength) continue;
      if (field.number == kOpsetDomain) {
        MEZZO_TRY(domain, ShortText(field));
      } else {
        at_ = field.end;
      }
    }
    if (domain == kOnnxDomain) domain.clear();
    if (scan_.opsets.size() < kMaxDomains || scan_.opsets.contains(domain)) {
      scan_.opsets[domain] = static_cast<std::int64_t>(version);
    }
    return {};
  }

  Result<void> AddOperator(QualifiedName& node) {
    const std::string& name = node.name;
    if (name == kLoop || name == kScan) scan_.has_loops = true;
    if (!node.domain.empty() && node.domain != kOnnxDomain && foreign_count_ < kMaxForeignOperators) {
      if (scan_.foreign_operators[node.domain].insert(name).second) ++foreign_count_;
    }
    if (name != kContextOperator) return {};
    return InvalidArgument(
        "model_invalid",
        "the model has an EPContext node, which names files for an execution provider to open; "
        "such precompiled models are not accepted");
  }

  Result<void> AddDimSymbol(const Field& field) {
    if (field.value == 0 || field.value > kMaxDimSymbolLength || scan_.dim_symbols.size() >= kMaxDimSymbols) {
      at_ = field.end;
      return {};
    }
    MEZZO_TRY(std::string symbol, Text(field.value));
    scan_.dim_symbols.insert(std::move(symbol));
    return {};
  }

  Result<void> VisitTensor(std::uint64_t end, int depth) {
    TensorState tensor;
    while (at_ < end) {
      MEZZO_TRY(const Field field, NextField(end));
      if (field.type != WireType::kLength) continue;
      if (ChildOf(Message::kTensor, field.number) == Message::kExternalEntry) {
        if (depth + 1 > kMaxScanDepth) return Broken("nesting too deep");
        MEZZO_TRY_VOID(ReadExternalEntry(field.end, tensor));
      } else if (field.number == kTensorName) {
        MEZZO_TRY(tensor.name, Text(std::min<std::uint64_t>(field.value, 128)));
        at_ = field.end;
      } else {
        tensor.inline_bytes += field.value;
        at_ = field.end;
      }
    }
    scan_.inline_tensor_bytes += tensor.inline_bytes;
    return AddExternal(tensor);
  }

  Result<void> VisitSparseTensor(std::uint64_t end, int depth) {
    std::optional<std::uint64_t> elements = 1;
    const auto add_dim = [&elements](std::uint64_t dim) {
      if (elements) elements = CheckedMul(*elements, dim);
    };
    while (at_ < end) {
      MEZZO_TRY(const Field field, NextField(end));
      if (field.number == kSparseDims && field.type == WireType::kVarint) add_dim(field.value);
      if (field.type != WireType::kLength) continue;
      if (field.number == kSparseDims) {
        while (at_ < field.end) {
          MEZZO_TRY(const std::uint64_t dim, Varint(field.end));
          add_dim(dim);
        }
      } else if (ChildOf(Message::kSparseTensor, field.number) == Message::kTensor) {
        MEZZO_TRY_VOID(Visit(Message::kTensor, field.end, depth + 1));
      } else {
        at_ = field.end;
      }
    }
    if (!elements || *elements > kMaxSparseTensorBytes / kMaxSparseElementSize) {
      return InvalidArgument("model_invalid",
                             "the model has a sparse tensor of more than " +
                                 std::to_string(kMaxSparseTensorBytes / kMaxSparseElementSize) +
                                 " elements once it is dense");
    }
    return {};
  }

  /// One key and value of TensorProto.external_data. Of repeated fields protobuf keeps the last.
  Result<void> ReadExternalEntry(std::uint64_t end, TensorState& tensor) {
    std::string key;
    std::string value;
    while (at_ < end) {
      MEZZO_TRY(const Field field, NextField(end));
      if (field.type != WireType::kLength) continue;
      if (field.number != 1 && field.number != 2) {
        at_ = field.end;
        continue;
      }
      if (field.value > kMaxLocationLength) {
        return InvalidArgument("model_invalid", TensorText(tensor) + " has an external data entry of " +
                                                    std::to_string(field.value) + " bytes; the limit is " +
                                                    std::to_string(kMaxLocationLength));
      }
      MEZZO_TRY((field.number == 1 ? key : value), Text(field.value));
    }
    if (key == "location") {
      tensor.locations.push_back(std::move(value));
      return {};
    }
    if (key == "checksum") return {};
    if (key != "offset" && key != "length") {
      return InvalidArgument("model_invalid", TensorText(tensor) + " has external data of an unknown kind '" +
                                                  Printable(key) + "'");
    }
    const auto number = ParseUint(value);
    if (!number) {
      return InvalidArgument("model_invalid", TensorText(tensor) + " has the external data " + key + " '" +
                                                  Printable(value) + "', which is not a number");
    }
    // Merged parts may repeat a key. The widest range counts.
    if (key == "offset") {
      tensor.offset = std::max(tensor.offset, *number);
    } else {
      tensor.length = std::max(tensor.length.value_or(0), *number);
    }
    return {};
  }

  Result<void> AddExternal(const TensorState& tensor) {
    for (const std::string& location : tensor.locations) {
      if (const std::string fault = LocationFault(location); !fault.empty()) {
        return InvalidArgument("model_invalid", TensorText(tensor) + " has the external data location '" +
                                                    Printable(location) + "', which " + fault);
      }
      const auto range_end = CheckedAdd(tensor.offset, tensor.length.value_or(0));
      if (!range_end) {
        return InvalidArgument("model_invalid",
                               TensorText(tensor) + " has an external data range that overflows");
      }
      scan_.external_tensor_bytes += tensor.length.value_or(0);
      ExternalFile& file = files_[location];
      if (file.location.empty()) {
        if (files_.size() > kMaxExternalFiles) {
          return InvalidArgument("model_invalid", "the model refers to more than " +
                                                      std::to_string(kMaxExternalFiles) + " external files");
        }
        file.location = location;
        file.tensor = tensor.name;
      }
      file.min_size = std::max(file.min_size, *range_end);
    }
    return {};
  }

  static std::string TensorText(const TensorState& tensor) {
    return "tensor '" + Printable(tensor.name) + "'";
  }

  Result<Field> NextField(std::uint64_t end) {
    MEZZO_TRY(const std::uint64_t tag, Varint(end));
    Field field;
    field.number = tag >> 3U;
    if (field.number == 0 || tag > UINT32_MAX) return Broken("an impossible field number");
    switch (tag & 7U) {
      case static_cast<std::uint64_t>(WireType::kVarint): {
        field.type = WireType::kVarint;
        MEZZO_TRY(field.value, Varint(end));
        return field;
      }
      case static_cast<std::uint64_t>(WireType::kFixed64):
        return Fixed(field, WireType::kFixed64, 8, end);
      case static_cast<std::uint64_t>(WireType::kFixed32):
        return Fixed(field, WireType::kFixed32, 4, end);
      case static_cast<std::uint64_t>(WireType::kLength): {
        field.type = WireType::kLength;
        MEZZO_TRY(field.value, Varint(end));
        if (field.value > end - at_) return Broken("a field that runs past its end (a truncated file?)");
        field.end = at_ + field.value;
        return field;
      }
      default:
        return Broken("an unknown wire type");
    }
  }

  Result<Field> Fixed(Field field, WireType type, std::uint64_t size, std::uint64_t end) {
    if (end - at_ < size) return Broken("a field that runs past its end (a truncated file?)");
    field.type = type;
    at_ += size;
    return field;
  }

  Result<std::uint64_t> Varint(std::uint64_t end) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (at_ >= end) return Broken("a number that runs past its end (a truncated file?)");
      MEZZO_TRY(const std::uint8_t byte, Byte());
      value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    return Broken("a number longer than ten bytes");
  }

  Result<std::uint8_t> Byte() {
    if (at_ < window_begin_ || at_ >= window_begin_ + window_size_) {
      window_begin_ = at_;
      window_size_ = std::min<std::uint64_t>(window_.size(), source_.size() - at_);
      MEZZO_TRY_VOID(source_.Read(at_, std::span(window_).first(window_size_)));
    }
    return std::to_integer<std::uint8_t>(window_[at_++ - window_begin_]);
  }

  Result<std::string> Text(std::uint64_t length) {
    std::string text;
    text.reserve(length);
    for (std::uint64_t i = 0; i < length; ++i) {
      MEZZO_TRY(const std::uint8_t byte, Byte());
      text.push_back(static_cast<char>(byte));
    }
    return text;
  }

  /// A name, cut where none is that long.
  Result<std::string> ShortText(const Field& field) {
    MEZZO_TRY(std::string text, Text(std::min<std::uint64_t>(field.value, kMaxOperatorName)));
    at_ = field.end;
    return text;
  }

  ByteSource& source_;
  std::uint64_t at_ = 0;
  std::array<std::byte, 4096> window_{};
  std::uint64_t window_begin_ = 0;
  std::uint64_t window_size_ = 0;
  bool has_graph_ = false;
  std::size_t foreign_count_ = 0;
  std::map<std::string, ExternalFile> files_;
  std::set<std::pair<std::string, std::string>> functions_;  ///< Domain and name.
  ModelScan scan_;
};

}  // namespace

std::string LocationFault(std::string_view location) {
  if (location.empty()) return "is empty";
  if (location.find('\0') != std::string_view::npos) return "has a zero byte";
  if (location.front() == '/') return "is absolute; it must lie below the model's own folder";
  // ONNX Runtime's own mark for "this is an address in memory".
  if (location.find("_ORT_MEM_ADDR_") != std::string_view::npos) return "is reserved by the engine";
  bool names_something = false;
  for (const std::string_view part : Split(location, '/')) {
    if (part == "..") return "has '..'; it must lie below the model's own folder";
    names_something |= !part.empty() && part != ".";
  }
  if (!names_something || location.back() == '/') return "names no file";
  return "";
}

Result<ModelScan> ScanModel(ByteSource& source) { return Scanner(source).Run(); }

}  // namespace mezzo::drivers
