#include "mezzo/drivers/worker/internal/worker_result.h"

#include <cstring>
#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

using tensor::Tensor;

constexpr ByteCount kAlignment = 64;
/// Below it a copy costs less than a segment that can't be used again meanwhile.
constexpr ByteCount kCopyBelow = ByteCount{64} << 10U;

Error Broken(const TensorPlace& place, const std::string& what) {
  return Internal("worker_protocol", "the worker's output '" + Printable(place.name) + "' " + what);
}

bool Fits(const tensor::Shape& declared, const tensor::Shape& actual) {
  if (declared.rank() != actual.rank()) return false;
  for (std::size_t i = 0; i < declared.rank(); ++i) {
    if (declared[i] != -1 && declared[i] != actual[i]) return false;
  }
  return true;
}

Result<void> CheckPlace(const TensorPlace& place, const engine::TensorSpec& spec, ByteCount segment_bytes) {
  if (place.name != spec.name) return Broken(place, "stands where '" + Printable(spec.name) + "' is wanted");
  if (place.dtype != spec.dtype) {
    return Broken(place, "is " + std::string(tensor::DTypeName(place.dtype)) + ", but declared " +
                             std::string(tensor::DTypeName(spec.dtype)));
  }
  if (!Fits(spec.shape, place.shape)) {
    return Broken(place,
                  "has the shape " + place.shape.ToString() + ", but declared is " + spec.shape.ToString());
  }
  if (place.dtype != tensor::DType::kBytes) {
    MEZZO_TRY(const ByteCount size, tensor::ByteSize(place.dtype, place.shape));
    if (size != place.bytes) {
      return Broken(place,
                    "has " + std::to_string(place.bytes) + " bytes; its shape needs " + std::to_string(size));
    }
  }
  if (place.offset % kAlignment != 0 || place.bytes > segment_bytes ||
      place.offset > segment_bytes - place.bytes) {
    return Broken(place, "lies outside of its memory");
  }
  return {};
}

SharedBytes Copy(const std::byte* data, ByteCount bytes) {
  const tensor::MutableBuffer copy = tensor::AllocateBuffer(bytes);
  if (bytes > 0) std::memcpy(copy.data(), data, bytes);
  return copy.Share();
}

}  // namespace

Result<void> CheckWorkerResult(const WorkerResult& result, std::span<const engine::TensorSpec> outputs,
                               std::span<const std::size_t> wanted, ByteCount segment_bytes) {
  if (result.outputs.size() != wanted.size()) {
    return Internal("worker_protocol", "the worker sent " + std::to_string(result.outputs.size()) +
                                           " outputs; " + std::to_string(wanted.size()) + " are wanted");
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    auto checked = CheckPlace(result.outputs[i], outputs[wanted[i]], segment_bytes);
    if (!checked.ok()) return Internal("worker_protocol", checked.error().message());
  }
  return {};
}

Result<std::vector<Tensor>> TakeTensors(const WorkerAnswer& answer, const SegmentBudget& budget) {
  ByteCount total = 0;
  for (const TensorPlace& place : answer.result.outputs) total += place.bytes;
  const bool copy = total < kCopyBelow || budget.taken() > budget.limit() / 2;
  std::vector<Tensor> tensors;
  tensors.reserve(answer.result.outputs.size());
  for (const TensorPlace& place : answer.result.outputs) {
    const std::byte* data = answer.segment->data() + place.offset;
    Tensor made{.dtype = place.dtype, .shape = place.shape, .data = {}};
    if (copy || place.dtype == tensor::DType::kBytes) {
      made.data = Copy(data, place.bytes);
    } else {
      made.data = SharedBytes(answer.segment, BytesView(data, place.bytes));
    }
    if (place.dtype == tensor::DType::kBytes) {
      if (const auto whole = tensor::CheckTensor(place.name, made); !whole.ok()) {
        return Broken(place, "is not whole: " + whole.error().message());
      }
    }
    tensors.push_back(std::move(made));
  }
  return tensors;
}

}  // namespace mezzo::drivers
