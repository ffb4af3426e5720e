#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "mezzo/base/result.h"

namespace mezzo::tensor {

/// Dimensions of a tensor, outermost first, held inline. -1 stands for "any" in a signature, never in a
/// value.
class Shape {
 public:
  static constexpr std::size_t kMaxRank = 12;

  Shape() = default;
  /// At most kMaxRank dimensions.
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::int64_t> dims);

  [[nodiscard]] std::size_t rank() const { return rank_; }
  [[nodiscard]] std::int64_t operator[](std::size_t i) const { return dims_[i]; }
  [[nodiscard]] std::int64_t& operator[](std::size_t i) { return dims_[i]; }
  [[nodiscard]] std::span<const std::int64_t> dims() const { return {dims_.data(), rank_}; }
  /// False when the rank would exceed kMaxRank.
  [[nodiscard]] bool Append(std::int64_t dim);
  /// "[2,-1,384]".
  [[nodiscard]] std::string ToString() const;

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (std::size_t i = 0; i < a.rank_; ++i) {
      if (a.dims_[i] != b.dims_[i]) return false;
    }
    return true;
  }

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  std::uint8_t rank_ = 0;
};

/// The number of elements; 1 for rank 0. Fails with "shape_negative" or "shape_overflow".
Result<std::uint64_t> ElementCount(const Shape& shape);

}  // namespace mezzo::tensor
