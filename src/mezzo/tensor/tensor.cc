#include "mezzo/tensor/tensor.h"

#include <cstring>
#include <limits>
#include <new>

#include "mezzo/base/checked.h"

namespace mezzo::tensor {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kLengthSize = sizeof(std::uint32_t);

std::uint32_t ReadLength(const std::byte* at) {
  std::uint32_t length = 0;
  std::memcpy(&length, at, kLengthSize);
  return length;
}

Result<void> CheckBytesElements(std::string_view name, const Tensor& tensor, std::uint64_t expected) {
  const BytesView data = tensor.data.view();
  std::uint64_t found = 0;
  std::size_t at = 0;
  while (at < data.size()) {
    if (data.size() - at < kLengthSize || data.size() - at - kLengthSize < ReadLength(data.data() + at)) {
      return InvalidArgument("tensor_size", "incomplete string data for input '" + std::string(name) +
                                                "': element " + std::to_string(found) + " at byte " +
                                                std::to_string(at) + " runs past the end of its " +
                                                std::to_string(data.size()) + " bytes");
    }
    at += kLengthSize + ReadLength(data.data() + at);
    ++found;
  }
  if (found != expected) {
    return InvalidArgument("tensor_size", "expected " + std::to_string(expected) +
                                              " string elements for input '" + std::string(name) +
                                              "' of shape " + tensor.shape.ToString() + ", got " +
                                              std::to_string(found));
  }
  return {};
}

/// Offset of element `index` in a checked kBytes tensor.
std::size_t ElementOffset(BytesView data, std::uint64_t index) {
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < index; ++i) at += kLengthSize + ReadLength(data.data() + at);
  return at;
}

/// Elements in one row of dimension 0.
std::uint64_t RowElements(const Shape& shape) {
  std::uint64_t count = 1;
  for (std::size_t i = 1; i < shape.rank(); ++i) count *= static_cast<std::uint64_t>(shape[i]);
  return count;
}

}  // namespace

Result<ByteCount> ByteSize(DType dtype, const Shape& shape) {
  MEZZO_CHECK(dtype != DType::kBytes);
  MEZZO_TRY(const std::uint64_t count, ElementCount(shape));
  const auto size = CheckedMul<std::uint64_t>(count, DTypeSize(dtype));
  if (!size || *size > std::numeric_limits<std::int64_t>::max()) {
    return InvalidArgument("shape_overflow", "a tensor of shape " + shape.ToString() + " and type " +
                                                 std::string(DTypeName(dtype)) + " has too many bytes");
  }
  return *size;
}

Result<void> CheckTensor(std::string_view name, const Tensor& tensor) {
  if (tensor.dtype == DType::kBytes) {
    MEZZO_TRY(const std::uint64_t count, ElementCount(tensor.shape));
    return CheckBytesElements(name, tensor, count);
  }
  MEZZO_TRY(const ByteCount expected, ByteSize(tensor.dtype, tensor.shape));
  if (expected != tensor.data.size()) {
    return InvalidArgument("tensor_size", "input '" + std::string(name) + "' of type " +
                                              std::string(DTypeName(tensor.dtype)) + " and shape " +
                                              tensor.shape.ToString() + " needs " + std::to_string(expected) +
                                              " bytes, got " + std::to_string(tensor.data.size()));
  }
  return {};
}

void ForEachBytesElement(BytesView data, const std::function<void(std::string_view)>& visit) {
  std::size_t at = 0;
  while (at < data.size()) {
    const std::uint32_t length = ReadLength(data.data() + at);
    visit(AsText(data.subspan(at + kLengthSize, length)));
    at += kLengthSize + length;
  }
}

void AppendBytesElement(std::string& out, std::string_view element) {
  MEZZO_CHECK(element.size() <= std::numeric_limits<std::uint32_t>::max());
  const auto length = static_cast<std::uint32_t>(element.size());
  out.append(reinterpret_cast<const char*>(&length), kLengthSize);
  out.append(element);
}

MutableBuffer AllocateBuffer(std::size_t size) {
  auto* bytes = static_cast<std::byte*>(::operator new(size == 0 ? 1 : size, std::align_val_t(kAlignment)));
  return {std::shared_ptr<std::byte>(
              bytes, [](std::byte* p) { ::operator delete(p, std::align_val_t(kAlignment)); }),
          size};
}

Tensor ConcatRows(std::span<const Tensor* const> parts) {
  MEZZO_CHECK(!parts.empty());
  if (parts.size() == 1) return *parts[0];
  std::size_t size = 0;
  std::int64_t rows = 0;
  for (const Tensor* part : parts) {
    size += part->data.size();
    rows += part->shape[0];
  }
  const MutableBuffer buffer = AllocateBuffer(size);
  std::byte* at = buffer.data();
  for (const Tensor* part : parts) {
    if (!part->data.empty()) std::memcpy(at, part->data.data(), part->data.size());
    at += part->data.size();
  }
  Tensor out{.dtype = parts[0]->dtype, .shape = parts[0]->shape, .data = buffer.Share()};
  out.shape[0] = rows;
  return out;
}

Tensor SliceRows(const Tensor& tensor, std::int64_t begin, std::int64_t count) {
  MEZZO_CHECK(tensor.shape.rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= tensor.shape[0]);
  Tensor out = tensor;
  out.shape[0] = count;
  const std::uint64_t row = RowElements(tensor.shape);
  std::size_t from = 0;
  std::size_t to = 0;
  if (tensor.dtype == DType::kBytes) {
    from = ElementOffset(tensor.data.view(), row * static_cast<std::uint64_t>(begin));
    to = from + ElementOffset(tensor.data.view().subspan(from), row * static_cast<std::uint64_t>(count));
  } else {
    const std::size_t row_bytes = row * DTypeSize(tensor.dtype);
    from = row_bytes * static_cast<std::size_t>(begin);
    to = from + row_bytes * static_cast<std::size_t>(count);
  }
  out.data = tensor.data.Slice(from, to - from);
  return out;
}

}  // namespace mezzo::tensor
