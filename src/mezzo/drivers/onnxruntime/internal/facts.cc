#include <string>
#include <string_view>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/onnxruntime/internal/element_types.h"
#include "mezzo/drivers/onnxruntime/internal/ort_error.h"
#include "mezzo/drivers/onnxruntime/internal/session.h"

namespace mezzo::drivers {
namespace {

std::string_view KindName(ONNXType kind) {
  switch (kind) {
    case ONNX_TYPE_TENSOR:
      return "tensor";
    case ONNX_TYPE_SEQUENCE:
      return "sequence";
    case ONNX_TYPE_MAP:
      return "map";
    case ONNX_TYPE_OPAQUE:
      return "opaque";
    case ONNX_TYPE_SPARSETENSOR:
      return "sparse tensor";
    case ONNX_TYPE_OPTIONAL:
      return "optional";
    default:
      return "unknown";
  }
}

Error Unservable(std::string_view what, std::string_view type) {
  return InvalidArgument("model_invalid",
                         std::string(what) + " has the type " + std::string(type) +
                             ", which the protocol has no name for; only tensors of booleans, "
                             "integers of 8 to 64 bits, floats of 16 to 64 bits and strings are served");
}

Result<void> ReadTensor(const OrtApi& ort, const OrtTensorTypeAndShapeInfo* info, bool is_input,
                        std::string_view what, engine::TensorSpec& spec) {
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  MEZZO_ORT_TRY(ort, ort.GetTensorElementType(info, &type));
  const auto dtype = FromOrtType(type);
  if (!dtype) return Unservable(what, OrtTypeName(type));
  spec.dtype = *dtype;
  if (!ort.TensorTypeAndShape_HasShape(info)) {
    if (is_input) {
      return InvalidArgument("model_invalid",
                             std::string(what) + " has no declared rank; export the model with one");
    }
    spec.shape = {-1};
    spec.symbols = {""};
    return {};
  }
  std::size_t rank = 0;
  MEZZO_ORT_TRY(ort, ort.GetDimensionsCount(info, &rank));
  if (rank > tensor::Shape::kMaxRank) {
    return InvalidArgument("model_invalid", std::string(what) + " has rank " + std::to_string(rank) +
                                                "; the limit is " + std::to_string(tensor::Shape::kMaxRank));
  }
  std::vector<std::int64_t> dims(rank);
  std::vector<const char*> symbols(rank);
  MEZZO_ORT_TRY(ort, ort.GetDimensions(info, dims.data(), rank));
  MEZZO_ORT_TRY(ort, ort.GetSymbolicDimensions(info, symbols.data(), rank));
  for (std::int64_t& dim : dims) dim = dim < 0 ? -1 : dim;
  spec.shape = tensor::Shape(dims);
  for (const char* symbol : symbols) spec.symbols.emplace_back(symbol == nullptr ? "" : symbol);
  return {};
}

Result<engine::TensorSpec> ReadSpec(const OnnxRuntime& runtime, const OrtSession* session, std::size_t index,
                                    bool is_input) {
  const OrtApi& ort = runtime.api();
  OrtAllocator* allocator = nullptr;
  MEZZO_ORT_TRY(ort, ort.GetAllocatorWithDefaultOptions(&allocator));
  char* name = nullptr;
  MEZZO_ORT_TRY(ort, is_input ? ort.SessionGetInputName(session, index, allocator, &name)
                              : ort.SessionGetOutputName(session, index, allocator, &name));
  engine::TensorSpec spec;
  spec.name = name;
  MEZZO_ORT_TRY(ort, ort.AllocatorFree(allocator, name));
  const std::string what = (is_input ? "input '" : "output '") + Printable(spec.name) + "'";

  OrtTypeInfo* type = nullptr;
  MEZZO_ORT_TRY(ort, is_input ? ort.SessionGetInputTypeInfo(session, index, &type)
                              : ort.SessionGetOutputTypeInfo(session, index, &type));
  const auto release = [&ort](OrtTypeInfo* it) { ort.ReleaseTypeInfo(it); };
  const std::unique_ptr<OrtTypeInfo, decltype(release)> guard(type, release);
  ONNXType kind = ONNX_TYPE_UNKNOWN;
  MEZZO_ORT_TRY(ort, ort.GetOnnxTypeFromTypeInfo(type, &kind));
  if (kind != ONNX_TYPE_TENSOR) return Unservable(what, KindName(kind));
  const OrtTensorTypeAndShapeInfo* info = nullptr;
  MEZZO_ORT_TRY(ort, ort.CastTypeInfoToTensorInfo(type, &info));
  MEZZO_TRY_VOID(ReadTensor(ort, info, is_input, what, spec));
  return spec;
}

}  // namespace

Result<engine::SessionFacts> ReadFacts(const OnnxRuntime& runtime, const OrtSession* session) {
  const OrtApi& ort = runtime.api();
  engine::SessionFacts facts;
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  MEZZO_ORT_TRY(ort, ort.SessionGetInputCount(session, &inputs));
  MEZZO_ORT_TRY(ort, ort.SessionGetOutputCount(session, &outputs));
  for (std::size_t i = 0; i < inputs; ++i) {
    MEZZO_TRY(engine::TensorSpec spec, ReadSpec(runtime, session, i, true));
    facts.inputs.push_back(std::move(spec));
  }
  for (std::size_t i = 0; i < outputs; ++i) {
    MEZZO_TRY(engine::TensorSpec spec, ReadSpec(runtime, session, i, false));
    facts.outputs.push_back(std::move(spec));
  }
  return facts;
}

}  // namespace mezzo::drivers
