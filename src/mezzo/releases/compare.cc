#include "mezzo/releases/compare.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace mezzo::releases {
namespace {

using tensor::DType;

float FromHalf(std::uint16_t half) {
  constexpr int kBias = 15;
  const int exponent = (half >> 10) & 0x1f;
  const int fraction = half & 0x3ff;
  float value = 0;
  if (exponent == 0x1f) {
    value = fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    value = std::ldexp(static_cast<float>(fraction + 0x400), exponent - kBias - 10);
  }
  return (half & 0x8000) != 0 ? -value : value;
}

float FromBrain(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

template <typename T>
double Plain(T value) {
  return static_cast<double>(value);
}

/// Runs through two arrays of numbers of one type.
template <typename T, typename Convert>
void CompareNumbers(BytesView a, BytesView b, Convert convert, TensorDifference& out) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double dot = 0;
  double norm_a = 0;
  double norm_b = 0;
  const std::size_t count = a.size() / sizeof(T);
  for (std::size_t i = 0; i < count; ++i) {
    T raw_a;
    T raw_b;
    std::memcpy(&raw_a, a.data() + i * sizeof(T), sizeof(T));
    std::memcpy(&raw_b, b.data() + i * sizeof(T), sizeof(T));
    const double x = convert(raw_a);
    const double y = convert(raw_b);
    if (std::isnan(x) && std::isnan(y)) continue;
    if (!(x == y)) {
      const double distance = std::abs(x - y);
      const double larger = std::max(std::abs(x), std::abs(y));
      const bool finite = std::isfinite(x) && std::isfinite(y);
      out.max_abs = std::max(out.max_abs, finite ? distance : kInfinity);
      out.max_rel = std::max(out.max_rel, finite ? distance / larger : kInfinity);
    }
    if (!std::isfinite(x) || !std::isfinite(y)) continue;
    dot += x * y;
    norm_a += x * x;
    norm_b += y * y;
  }
  if (norm_a == 0 && norm_b == 0) return;
  out.cosine = norm_a == 0 || norm_b == 0 ? 0 : dot / (std::sqrt(norm_a) * std::sqrt(norm_b));
}

void CompareValues(DType dtype, BytesView a, BytesView b, TensorDifference& out) {
  switch (dtype) {
    case DType::kBool:
    case DType::kUint8:
      return CompareNumbers<std::uint8_t>(a, b, Plain<std::uint8_t>, out);
    case DType::kUint16:
      return CompareNumbers<std::uint16_t>(a, b, Plain<std::uint16_t>, out);
    case DType::kUint32:
      return CompareNumbers<std::uint32_t>(a, b, Plain<std::uint32_t>, out);
    case DType::kUint64:
      return CompareNumbers<std::uint64_t>(a, b, Plain<std::uint64_t>, out);
    case DType::kInt8:
      return CompareNumbers<std::int8_t>(a, b, Plain<std::int8_t>, out);
    case DType::kInt16:
      return CompareNumbers<std::int16_t>(a, b, Plain<std::int16_t>, out);
    case DType::kInt32:
      return CompareNumbers<std::int32_t>(a, b, Plain<std::int32_t>, out);
    case DType::kInt64:
      return CompareNumbers<std::int64_t>(a, b, Plain<std::int64_t>, out);
    case DType::kFp16:
      return CompareNumbers<std::uint16_t>(
          a, b, [](std::uint16_t half) { return static_cast<double>(FromHalf(half)); }, out);
    case DType::kBf16:
      return CompareNumbers<std::uint16_t>(
          a, b, [](std::uint16_t bits) { return static_cast<double>(FromBrain(bits)); }, out);
    case DType::kFp32:
      return CompareNumbers<float>(a, b, Plain<float>, out);
    case DType::kFp64:
      return CompareNumbers<double>(a, b, Plain<double>, out);
    case DType::kBytes:
      break;
  }
  out.comparable = false;
}

}  // namespace

TensorDifference CompareTensors(std::string_view name, const tensor::Tensor& a, const tensor::Tensor& b) {
  TensorDifference out{.name = std::string(name)};
  const BytesView left = a.data.view();
  const BytesView right = b.data.view();
  if (a.dtype != b.dtype || !(a.shape == b.shape)) {
    out.comparable = false;
    return out;
  }
  out.exact = left.size() == right.size() &&
              (left.empty() || std::memcmp(left.data(), right.data(), left.size()) == 0);
  if (out.exact) return out;
  if (left.size() != right.size()) {
    out.comparable = false;  // Texts of other lengths.
    return out;
  }
  CompareValues(a.dtype, left, right, out);
  return out;
}

void AnswerDifference::Take(TensorDifference one) {
  exact = exact && one.exact;
  comparable = comparable && one.comparable;
  max_abs = std::max(max_abs, one.max_abs);
  max_rel = std::max(max_rel, one.max_rel);
  cosine = std::min(cosine, one.cosine);
  outputs.push_back(std::move(one));
}

AnswerDifference CompareAnswers(std::span<const ComparedOutput> a, std::span<const ComparedOutput> b) {
  AnswerDifference out;
  if (a.size() != b.size()) out.exact = out.comparable = false;
  for (const ComparedOutput& left : a) {
    const auto right =
        std::find_if(b.begin(), b.end(), [&](const ComparedOutput& one) { return one.name == left.name; });
    if (right == b.end()) {
      out.exact = out.comparable = false;
      continue;
    }
    out.Take(CompareTensors(left.name, *left.tensor, *right->tensor));
  }
  return out;
}

}  // namespace mezzo::releases
