#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/tensor/dtype.h"
#include "mezzo/tensor/shape.h"

namespace mezzo::tensor {

/// A dense, row-major, little-endian tensor value. Copying shares the bytes.
///
/// kBytes tensors hold their elements as the protocol sends them: a 32-bit length, then the bytes, one after
/// the other. So gathering a batch is concatenation for every type.
struct Tensor {
  DType dtype = DType::kFp32;
  Shape shape;
  SharedBytes data;
};

/// The size in bytes that `shape` needs. Not for kBytes. Fails with "shape_negative" or "shape_overflow".
Result<ByteCount> ByteSize(DType dtype, const Shape& shape);

/// Proves that `data` is a whole tensor of this type and shape: the size, and for kBytes every length.
/// `name` is for the message. Fails with "tensor_size" or the errors of ByteSize.
Result<void> CheckTensor(std::string_view name, const Tensor& tensor);

/// Calls `visit` with each element of a checked kBytes tensor's data.
void ForEachBytesElement(BytesView data, const std::function<void(std::string_view)>& visit);

/// Appends one element in the form of kBytes tensors. `element` must be shorter than 4 GiB.
void AppendBytesElement(std::string& out, std::string_view element);

/// Memory for tensor data: uninitialised, aligned to 64 bytes, shared.
struct MutableBuffer {
  std::shared_ptr<std::byte> owner;
  std::size_t size = 0;
  [[nodiscard]] std::byte* data() const { return owner.get(); }
  [[nodiscard]] SharedBytes Share() const { return {owner, BytesView(owner.get(), size)}; }
};
MutableBuffer AllocateBuffer(std::size_t size);

/// Joins tensors along dimension 0. All must be checked, of one dtype, with equal trailing dimensions (rank
/// >= 1). A single part is returned as it is, without a copy.
Tensor ConcatRows(std::span<const Tensor* const> parts);

/// Rows [begin, begin + count) of a checked tensor of rank >= 1 as a view; no bytes are copied.
/// For kBytes the elements before `begin` are walked.
Tensor SliceRows(const Tensor& tensor, std::int64_t begin, std::int64_t count);

}  // namespace mezzo::tensor
