#include "mezzo/generation/torch_random.h"

#include <cmath>
#include <numbers>

#include "mezzo/generation/internal/box_muller.h"
#include "mezzo/generation/internal/half.h"

namespace mezzo::generation {
namespace {

constexpr std::size_t kBlock = 16;

/// A number of [0, 1) from the lower bits of a draw, as many as the type has digits.
template <int kDigits>
float LowerBits(std::mt19937& engine) {
  constexpr std::uint32_t kRange = 1U << kDigits;
  return static_cast<float>(engine() % kRange) / static_cast<float>(kRange);
}

/// Draws all values, then turns them in blocks of 16; when the last block is not full, the last 16 values are
/// drawn anew.
template <typename T, typename Uniform, typename BoxMuller>
void FillBlocks(std::span<T> out, const Uniform& uniform, const BoxMuller& box_muller) {
  for (T& value : out) value = uniform();
  for (std::size_t i = 0; i + kBlock <= out.size(); i += kBlock) {
    box_muller(out.subspan(i).template first<kBlock>());
  }
  if (out.size() % kBlock != 0) {
    const auto last = out.template last<kBlock>();
    for (T& value : last) value = uniform();
    box_muller(last);
  }
}

}  // namespace

void TorchRandom::Randn(std::span<float> out, NormalType type) {
  const bool half = type == NormalType::kFloat16;
  if (out.size() < kBlock) {
    for (float& value : out) {
      value = static_cast<float>(ShortNormal());
      if (half) value = internal::RoundToHalf(value);
    }
  } else if (half) {
    FillBlocks(out, [this] { return LowerBits<11>(engine_); }, internal::BoxMullerHalf16);
  } else {
    FillBlocks(out, [this] { return LowerBits<24>(engine_); }, internal::BoxMullerCephes16);
  }
}

void TorchRandom::Randn(std::span<double> out) {
  if (out.size() < kBlock) {
    for (double& value : out) value = ShortNormal();
  } else {
    FillBlocks(out, [this] { return Uniform53(); }, internal::BoxMuller16);
  }
}

double TorchRandom::Uniform53() {
  constexpr std::uint64_t kRange = std::uint64_t{1} << 53U;
  const std::uint64_t high = engine_();
  const std::uint64_t low = engine_();
  return static_cast<double>((high << 32U | low) % kRange) / static_cast<double>(kRange);
}

double TorchRandom::ShortNormal() {
  if (left_over_.has_value()) {
    const double value = *left_over_;
    left_over_.reset();
    return value;
  }
  const double turn = Uniform53();
  const double radius = std::sqrt(-2 * std::log1p(-Uniform53()));
  const double angle = 2 * std::numbers::pi * turn;
  left_over_ = radius * std::sin(angle);
  return radius * std::cos(angle);
}

}  // namespace mezzo::generation
