#include "mezzo/drivers/onnxruntime/internal/session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "mezzo/drivers/onnxruntime/internal/element_types.h"
#include "mezzo/drivers/onnxruntime/internal/ort_error.h"

namespace mezzo::drivers {
namespace {

/// Models rarely have more inputs or outputs; then a run's arrays stand on the stack.
constexpr std::size_t kInlineTensors = 16;

/// An array of `size` on the stack, or on the heap when it is long.
template <typename T>
class ShortArray {
 public:
  explicit ShortArray(std::size_t size) : size_(size) {
    if (size > kInlineTensors) heap_.resize(size);
  }
  T* data() { return heap_.empty() ? inline_.data() : heap_.data(); }
  [[nodiscard]] const T* data() const { return heap_.empty() ? inline_.data() : heap_.data(); }
  T& operator[](std::size_t i) { return data()[i]; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  std::array<T, kInlineTensors> inline_{};
  std::vector<T> heap_;
};

class OnnxRunControl final : public engine::RunControl {
 public:
  OnnxRunControl(std::shared_ptr<OnnxRuntime> runtime, OrtRunOptions* options)
      : runtime_(std::move(runtime)), options_(options) {}
  ~OnnxRunControl() override { runtime_->api().ReleaseRunOptions(options_); }
  // Neither call fails: both only set a flag.
  void Terminate() override { Ignore(runtime_->api().RunOptionsSetTerminate(options_)); }
  void Reset() override { Ignore(runtime_->api().RunOptionsUnsetTerminate(options_)); }
  [[nodiscard]] const OrtRunOptions* options() const { return options_; }

 private:
  void Ignore(OrtStatus* status) const {
    if (status != nullptr) runtime_->api().ReleaseStatus(status);
  }
  std::shared_ptr<OnnxRuntime> runtime_;
  OrtRunOptions* options_;
};

/// An output's memory: the bytes live as long as the value. The runtime must outlive it, for its allocator
/// frees it.
struct HeldValue {
  HeldValue(std::shared_ptr<OnnxRuntime> held, OrtValue* owned) : runtime(std::move(held)), value(owned) {}
  ~HeldValue() { runtime->api().ReleaseValue(value); }
  HeldValue(const HeldValue&) = delete;
  HeldValue& operator=(const HeldValue&) = delete;
  std::shared_ptr<OnnxRuntime> runtime;
  OrtValue* value;
};

/// String elements as the protocol sends them.
Result<SharedBytes> JoinStrings(const OrtApi& ort, const OrtValue* value, std::uint64_t count) {
  if (count == 0) return SharedBytes();
  std::size_t length = 0;
  MEZZO_ORT_TRY(ort, ort.GetStringTensorDataLength(value, &length));
  std::string content(length, '\0');
  std::vector<std::size_t> offsets(count);
  MEZZO_ORT_TRY(ort, ort.GetStringTensorContent(value, content.data(), length, offsets.data(), count));
  const tensor::MutableBuffer joined = tensor::AllocateBuffer(length + count * sizeof(std::uint32_t));
  std::byte* at = joined.data();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t size = (i + 1 < count ? offsets[i + 1] : length) - offsets[i];
    if (size > UINT32_MAX) return Internal("engine_failed", "the model made a string longer than 4 GiB");
    const auto prefix = static_cast<std::uint32_t>(size);
    std::memcpy(at, &prefix, sizeof(prefix));
    std::memcpy(at + sizeof(prefix), content.data() + offsets[i], size);
    at += sizeof(prefix) + size;
  }
  return joined.Share();
}

}  // namespace

LoadedSession::~LoadedSession() {
  if (ort == nullptr) return;
  const MemoryChanges::Scope change(runtime->memory_changes);
  runtime->api().ReleaseSession(ort);
  runtime->allocator().Trim();
}

/// What one run feeds in, and what keeps it alive.
struct OnnxSession::Feeds {
  Feeds(const OrtApi& api, std::size_t size) : ort(api), names(size), values(size) {}
  ~Feeds() {
    for (std::size_t i = 0; i < count; ++i) ort.ReleaseValue(values[i]);
  }
  Feeds(const Feeds&) = delete;
  Feeds& operator=(const Feeds&) = delete;

  const OrtApi& ort;
  ShortArray<const char*> names;
  ShortArray<OrtValue*> values;
  std::size_t count = 0;
  std::vector<tensor::MutableBuffer> aligned;
  /// Whether an output is one of the inputs handed through.
  bool Contains(const void* data) const {
    return std::any_of(borrowed.data(), borrowed.data() + borrowed_count, [data](BytesView bytes) {
      return !std::less<>()(data, static_cast<const void*>(bytes.data())) &&
             std::less<>()(data, static_cast<const void*>(bytes.data() + bytes.size()));
    });
  }
  ShortArray<BytesView> borrowed{values.size()};
  std::size_t borrowed_count = 0;
};

OnnxSession::OnnxSession(std::unique_ptr<LoadedSession> loaded, engine::SessionFacts facts)
    : loaded_(std::move(loaded)), ort_(loaded_->runtime->api()), facts_(std::move(facts)) {
  for (const auto& spec : facts_.inputs) input_names_.push_back(spec.name.c_str());
  for (const auto& spec : facts_.outputs) output_names_.push_back(spec.name.c_str());
  loaded_->runtime->sessions.fetch_add(1, std::memory_order_relaxed);
  loaded_->runtime->session_bytes.fetch_add(facts_.memory_bytes, std::memory_order_relaxed);
}

OnnxSession::~OnnxSession() {
  loaded_->runtime->sessions.fetch_sub(1, std::memory_order_relaxed);
  loaded_->runtime->session_bytes.fetch_sub(facts_.memory_bytes, std::memory_order_relaxed);
}

Result<std::vector<tensor::Tensor>> OnnxSession::Run(std::span<const tensor::Tensor* const> inputs,
                                                     std::span<const std::size_t> wanted,
                                                     engine::RunControl* control) {
  MEZZO_CHECK(inputs.size() == facts_.inputs.size());
  Feeds feeds(ort_, inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr) {
      // The library would run the model without it and fail somewhere inside.
      if (facts_.inputs[i].optional) continue;
      return InvalidArgument("engine_rejected_input", "input '" + facts_.inputs[i].name + "' is missing");
    }
    feeds.names[feeds.count] = input_names_[i];
    MEZZO_TRY_VOID(AddInput(facts_.inputs[i], *inputs[i], feeds));
  }
  ShortArray<const char*> names(wanted.size());
  ShortArray<OrtValue*> values(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    MEZZO_CHECK(wanted[i] < output_names_.size());
    names[i] = output_names_[wanted[i]];
  }

  const OrtRunOptions* const options =
      control == nullptr ? nullptr : static_cast<OnnxRunControl*>(control)->options();
  OrtStatus* const status = ort_.Run(loaded_->ort, options, feeds.names.data(), feeds.values.data(),
                                     feeds.count, names.data(), wanted.size(), values.data());
  loaded_->runtime->runs.fetch_add(1, std::memory_order_relaxed);
  if (status != nullptr) [[unlikely]] {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (values[i] != nullptr) ort_.ReleaseValue(values[i]);
    }
    return RunError(ort_, status);
  }
  std::vector<tensor::Tensor> outputs;
  outputs.reserve(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    auto output = WrapOutput(facts_.outputs[wanted[i]], values[i], feeds);
    if (!output.ok()) [[unlikely]] {
      for (std::size_t rest = i + 1; rest < wanted.size(); ++rest) ort_.ReleaseValue(values[rest]);
      return std::move(output).error();
    }
    outputs.push_back(std::move(output).value());
  }
  return outputs;
}

Result<void> OnnxSession::AddInput(const engine::TensorSpec& spec, const tensor::Tensor& tensor,
                                   Feeds& feeds) {
  if (tensor.dtype != spec.dtype) {
    return InvalidArgument("engine_rejected_input",
                           "input '" + spec.name + "' is " + std::string(tensor::DTypeName(spec.dtype)) +
                               ", got " + std::string(tensor::DTypeName(tensor.dtype)));
  }
  OrtValue* value = nullptr;
  if (tensor.dtype == tensor::DType::kBytes) {
    MEZZO_TRY(value, StringInput(spec, tensor));
    feeds.values[feeds.count++] = value;
    return {};
  }
  // An empty tensor may come without any memory, which the library would refuse.
  alignas(64) static std::byte nothing[64];
  const std::byte* data = tensor.data.size() == 0 ? nothing : tensor.data.data();
  if (reinterpret_cast<std::uintptr_t>(data) % tensor::DTypeSize(tensor.dtype) != 0) [[unlikely]] {
    loaded_->runtime->misaligned_inputs.fetch_add(1, std::memory_order_relaxed);
    tensor::MutableBuffer copy = tensor::AllocateBuffer(tensor.data.size());
    std::memcpy(copy.data(), data, tensor.data.size());
    data = copy.data();
    feeds.aligned.push_back(std::move(copy));
  }
  OrtStatus* const status = ort_.CreateTensorWithDataAsOrtValue(
      loaded_->runtime->cpu_memory(), const_cast<std::byte*>(data), tensor.data.size(),
      tensor.shape.dims().data(), tensor.shape.rank(), ToOrtType(tensor.dtype), &value);
  if (status != nullptr) [[unlikely]] {
    return std::move(RunError(ort_, status)).WithContext("input '" + spec.name + "'");
  }
  feeds.values[feeds.count++] = value;
  feeds.borrowed[feeds.borrowed_count++] = BytesView(data, std::max<std::size_t>(tensor.data.size(), 1));
  return {};
}

Result<OrtValue*> OnnxSession::StringInput(const engine::TensorSpec& spec, const tensor::Tensor& tensor) {
  // The copy into the library's strings goes by the lengths, so they are proven here, whoever checked before.
  MEZZO_TRY_VOID(tensor::CheckTensor(spec.name, tensor));
  OrtAllocator* allocator = nullptr;
  MEZZO_ORT_TRY(ort_, ort_.GetAllocatorWithDefaultOptions(&allocator));
  OrtValue* value = nullptr;
  MEZZO_ORT_TRY(ort_, ort_.CreateTensorAsOrtValue(allocator, tensor.shape.dims().data(), tensor.shape.rank(),
                                                  ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &value));
  const BytesView data = tensor.data.view();
  std::size_t index = 0;
  for (std::size_t at = 0; at < data.size();) {
    std::uint32_t length = 0;
    std::memcpy(&length, data.data() + at, sizeof(length));
    at += sizeof(length);
    char* buffer = nullptr;
    OrtStatus* const status = ort_.GetResizedStringTensorElementBuffer(value, index++, length, &buffer);
    if (status != nullptr) {
      ort_.ReleaseValue(value);
      return RunError(ort_, status);
    }
    if (length > 0) std::memcpy(buffer, data.data() + at, length);
    at += length;
  }
  return value;
}

Result<tensor::Tensor> OnnxSession::WrapOutput(const engine::TensorSpec& spec, OrtValue* value,
                                               const Feeds& feeds) {
  // From here on `held` frees the value, also when this fails.
  auto held = std::make_shared<HeldValue>(loaded_->runtime, value);
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  const std::int64_t* dims = nullptr;
  std::size_t rank = 0;
  MEZZO_ORT_TRY(ort_, ort_.GetTensorElementTypeAndShapeDataReference(value, &type, &dims, &rank));
  if (type != ToOrtType(spec.dtype) || rank > tensor::Shape::kMaxRank) {
    return Internal("engine_failed", "output '" + spec.name + "' came as " + OrtTypeName(type) + " of rank " +
                                         std::to_string(rank) + "; the model declares " +
                                         std::string(tensor::DTypeName(spec.dtype)) +
                                         ", and the highest rank is " +
                                         std::to_string(tensor::Shape::kMaxRank));
  }
  tensor::Tensor output;
  output.dtype = spec.dtype;
  output.shape = tensor::Shape(std::span(dims, rank));
  if (spec.dtype == tensor::DType::kBytes) {
    MEZZO_TRY(const std::uint64_t count, tensor::ElementCount(output.shape));
    MEZZO_TRY(output.data, JoinStrings(ort_, value, count));
    return output;
  }
  MEZZO_TRY(const ByteCount size, tensor::ByteSize(spec.dtype, output.shape));
  void* data = nullptr;
  MEZZO_ORT_TRY(ort_, ort_.GetTensorMutableData(value, &data));
  const BytesView bytes(static_cast<const std::byte*>(data), size);
  if (size > 0 && feeds.Contains(data)) {
    // A model that hands an input through gives the caller's own memory back; that is only borrowed.
    const tensor::MutableBuffer copy = tensor::AllocateBuffer(size);
    std::memcpy(copy.data(), data, size);
    output.data = copy.Share();
    return output;
  }
  output.data = SharedBytes(std::move(held), bytes);
  return output;
}

std::unique_ptr<engine::RunControl> OnnxSession::NewRunControl() {
  OrtRunOptions* options = nullptr;
  OrtStatus* const status = ort_.CreateRunOptions(&options);
  MEZZO_CHECK(status == nullptr);
  return std::make_unique<OnnxRunControl>(loaded_->runtime, options);
}

}  // namespace mezzo::drivers
