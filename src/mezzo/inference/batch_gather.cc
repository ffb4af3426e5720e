#include "mezzo/inference/batch_gather.h"

#include <algorithm>
#include <cstring>

namespace mezzo::inference {
namespace {

using tensor::DType;
using tensor::Shape;
using tensor::Tensor;

bool SameTrailing(std::span<const Tensor* const> parts) {
  const Shape& first = parts[0]->shape;
  return std::all_of(parts.begin() + 1, parts.end(), [&](const Tensor* part) {
    for (std::size_t d = 1; d < first.rank(); ++d) {
      if (part->shape[d] != first[d]) return false;
    }
    return true;
  });
}

std::size_t CountOf(const Shape& shape) {
  std::size_t count = 1;
  for (const auto dim : shape.dims()) count *= static_cast<std::size_t>(dim);
  return count;
}

/// Calls copy(source element, target element, count) for each run of the innermost dimension of a block of
/// `dims` at the origin of both arrays.
template <typename Copy>
void ForEachRun(const Shape& dims, const Shape& source, const Shape& target, const Copy& copy) {
  const std::size_t rank = dims.rank();
  if (CountOf(dims) == 0) return;
  std::array<std::int64_t, Shape::kMaxRank> at{};
  const auto run = static_cast<std::size_t>(rank == 0 ? 1 : dims[rank - 1]);
  while (true) {
    std::size_t from = 0;
    std::size_t to = 0;
    for (std::size_t d = 0; d < rank; ++d) {
      from = from * static_cast<std::size_t>(source[d]) + static_cast<std::size_t>(at.at(d));
      to = to * static_cast<std::size_t>(target[d]) + static_cast<std::size_t>(at.at(d));
    }
    copy(from, to, run);
    std::size_t d = rank < 2 ? rank : rank - 1;  // The innermost dimension is the run itself.
    if (rank < 2) return;
    while (d > 0) {
      --d;
      if (++at.at(d) < dims[d]) break;
      at.at(d) = 0;
      if (d == 0) return;
    }
  }
}

std::vector<std::string_view> Elements(const Tensor& tensor) {
  std::vector<std::string_view> out;
  tensor::ForEachBytesElement(tensor.data.view(), [&](std::string_view element) { out.push_back(element); });
  return out;
}

Tensor FromElements(const Shape& shape, const std::vector<std::string_view>& elements) {
  std::string bytes;
  for (const auto& element : elements) tensor::AppendBytesElement(bytes, element);
  return {.dtype = DType::kBytes, .shape = shape, .data = SharedBytes::FromString(std::move(bytes))};
}

Tensor PadStrings(std::span<const Tensor* const> parts, const Shape& target) {
  std::vector<std::string_view> out(CountOf(target));
  std::size_t base = 0;
  for (const Tensor* part : parts) {
    const auto elements = Elements(*part);
    ForEachRun(part->shape, part->shape, target, [&](std::size_t from, std::size_t to, std::size_t count) {
      std::copy_n(elements.begin() + static_cast<std::ptrdiff_t>(from), count,
                  out.begin() + static_cast<std::ptrdiff_t>(base + to));
    });
    Shape block = target;
    block[0] = part->shape[0];
    base += CountOf(block);
  }
  return FromElements(target, out);
}

}  // namespace

Tensor GatherRows(std::span<const Tensor* const> parts) {
  MEZZO_CHECK(!parts.empty() && parts[0]->shape.rank() >= 1);
  if (parts.size() == 1 || SameTrailing(parts)) return tensor::ConcatRows(parts);
  Shape target = parts[0]->shape;
  target[0] = 0;
  for (const Tensor* part : parts) {
    target[0] += part->shape[0];
    for (std::size_t d = 1; d < target.rank(); ++d) target[d] = std::max(target[d], part->shape[d]);
  }
  if (parts[0]->dtype == DType::kBytes) return PadStrings(parts, target);

  const std::size_t size = tensor::DTypeSize(parts[0]->dtype);
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(CountOf(target) * size);
  std::memset(buffer.data(), 0, buffer.size);
  std::byte* base = buffer.data();
  for (const Tensor* part : parts) {
    ForEachRun(part->shape, part->shape, target, [&](std::size_t from, std::size_t to, std::size_t count) {
      std::memcpy(base + to * size, part->data.data() + from * size, count * size);
    });
    Shape block = target;
    block[0] = part->shape[0];
    base += CountOf(block) * size;
  }
  return {.dtype = parts[0]->dtype, .shape = target, .data = buffer.Share()};
}

Tensor CropTo(const Tensor& tensor, const Shape& dims) {
  MEZZO_CHECK(dims.rank() == tensor.shape.rank());
  if (dims == tensor.shape) return tensor;
  if (tensor.dtype == DType::kBytes) {
    const auto elements = Elements(tensor);
    std::vector<std::string_view> out(CountOf(dims));
    ForEachRun(dims, tensor.shape, dims, [&](std::size_t from, std::size_t to, std::size_t count) {
      std::copy_n(elements.begin() + static_cast<std::ptrdiff_t>(from), count,
                  out.begin() + static_cast<std::ptrdiff_t>(to));
    });
    return FromElements(dims, out);
  }
  const std::size_t size = tensor::DTypeSize(tensor.dtype);
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(CountOf(dims) * size);
  ForEachRun(dims, tensor.shape, dims, [&](std::size_t from, std::size_t to, std::size_t count) {
    std::memcpy(buffer.data() + to * size, tensor.data.data() + from * size, count * size);
  });
  return {.dtype = tensor.dtype, .shape = dims, .data = buffer.Share()};
}

}  // namespace mezzo::inference
