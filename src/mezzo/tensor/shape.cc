#include "mezzo/tensor/shape.h"

#include <limits>

#include "mezzo/base/checked.h"

namespace mezzo::tensor {

Shape::Shape(std::span<const std::int64_t> dims) {
  MEZZO_CHECK(dims.size() <= kMaxRank);
  for (const auto dim : dims) dims_[rank_++] = dim;
}

bool Shape::Append(std::int64_t dim) {
  if (rank_ == kMaxRank) return false;
  dims_[rank_++] = dim;
  return true;
}

std::string Shape::ToString() const {
  std::string text = "[";
  for (std::size_t i = 0; i < rank_; ++i) {
    if (i > 0) text += ',';
    text += std::to_string(dims_[i]);
  }
  text += ']';
  return text;
}

Result<std::uint64_t> ElementCount(const Shape& shape) {
  std::uint64_t count = 1;
  bool zero = false;
  for (const auto dim : shape.dims()) {
    if (dim < 0) {
      return InvalidArgument("shape_negative", "shape " + shape.ToString() + " has a negative dimension");
    }
    if (dim == 0) {
      zero = true;  // The others must still be sound: [0, 2^62, 2^62] is not.
      continue;
    }
    const auto product = CheckedMul(count, static_cast<std::uint64_t>(dim));
    if (!product || *product > std::numeric_limits<std::int64_t>::max()) {
      return InvalidArgument("shape_overflow",
                             "shape " + shape.ToString() + " has more elements than 63 bits can count");
    }
    count = *product;
  }
  return zero ? 0 : count;
}

}  // namespace mezzo::tensor
