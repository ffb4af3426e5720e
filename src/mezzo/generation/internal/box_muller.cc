#include "mezzo/generation/internal/box_muller.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

#include "mezzo/generation/internal/half.h"

namespace mezzo::generation::internal {
namespace {

constexpr std::size_t kPairs = 8;
constexpr float kMean = 0;  // Adding it makes -0 to 0, as in PyTorch.

// Compiled twice, see BoxMullerCephes16().
#define MEZZO_INLINE [[gnu::always_inline]] inline

/// logf() of Cephes for normal x in (0, 1].
MEZZO_INLINE float CephesLog(float x) {
  constexpr std::uint32_t kExponentBits = 0x7F800000;
  constexpr int kExponentBias = 127;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  auto exponent = static_cast<float>(static_cast<int>(bits >> 23U) - kExponentBias + 1);
  x = std::bit_cast<float>((bits & ~kExponentBits) | std::bit_cast<std::uint32_t>(0.5F));
  if (x < 0.707106781186547524F) {
    exponent -= 1.0F;
    x = x - 1.0F + x;
  } else {
    x = x - 1.0F;
  }
  float y = 7.0376836292E-2F;
  y = std::fma(y, x, -1.1514610310E-1F);
  y = std::fma(y, x, 1.1676998740E-1F);
  y = std::fma(y, x, -1.2420140846E-1F);
  y = std::fma(y, x, 1.4249322787E-1F);
  y = std::fma(y, x, -1.6668057665E-1F);
  y = std::fma(y, x, 2.0000714765E-1F);
  y = std::fma(y, x, -2.4999993993E-1F);
  y = std::fma(y, x, 3.3333331174E-1F);
  const float square = x * x;
  y = std::fma(y * x, square, exponent * -2.12194440E-4F);
  y = std::fma(-0.5F, square, y);
  return std::fma(exponent, 0.693359375F, x + y);
}

struct SinCos {
  float sin;
  float cos;
};

/// sinf() and cosf() of Cephes for x in [0, 8192).
MEZZO_INLINE SinCos CephesSinCos(float x) {
  const int octant = (static_cast<int>(x * 1.27323954473516F) + 1) & ~1;
  const auto turns = static_cast<float>(octant);
  x = std::fma(turns, -0.78515625F, x);  // Pi / 4 in three parts.
  x = std::fma(turns, -2.4187564849853515625E-4F, x);
  x = std::fma(turns, -3.77489497744594108E-8F, x);
  const float square = x * x;
  float near_cos = 2.443315711809948E-5F;
  near_cos = std::fma(near_cos, square, -1.388731625493765E-3F);
  near_cos = std::fma(near_cos, square, 4.166664568298827E-2F);
  near_cos = std::fma(near_cos * square, square, -0.5F * square) + 1.0F;
  float near_sin = -1.9515295891E-4F;
  near_sin = std::fma(near_sin, square, 8.3321608736E-3F);
  near_sin = std::fma(near_sin, square, -1.6666654611E-1F);
  near_sin = std::fma(near_sin * square, x, x);
  const bool swapped = (octant & 2) != 0;
  const float sine = swapped ? near_cos : near_sin;
  const float cosine = swapped ? near_sin : near_cos;
  return {.sin = (octant & 4) != 0 ? -sine : sine, .cos = ((octant - 2) & 4) == 0 ? -cosine : cosine};
}

MEZZO_INLINE void CephesPairs(std::span<float, 16> values) {
  constexpr auto kTwoPi = static_cast<float>(2 * std::numbers::pi);
  for (std::size_t i = 0; i < kPairs; ++i) {
    const float radius = std::sqrt(-2.0F * CephesLog(1.0F - values[i]));
    const SinCos angle = CephesSinCos(kTwoPi * values[i + kPairs]);
    values[i] = radius * angle.cos + kMean;
    values[i + kPairs] = radius * angle.sin + kMean;
  }
}

#undef MEZZO_INLINE

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void CephesPairsFma(std::span<float, 16> values) { CephesPairs(values); }
#endif

}  // namespace

void BoxMuller16(std::span<double, 16> values) {
  for (std::size_t i = 0; i < kPairs; ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - values[i]));
    const double angle = 2 * std::numbers::pi * values[i + kPairs];
    values[i] = radius * std::cos(angle) + kMean;
    values[i + kPairs] = radius * std::sin(angle) + kMean;
  }
}

void BoxMullerHalf16(std::span<float, 16> values) {
  for (std::size_t i = 0; i < kPairs; ++i) {
    const float radius = RoundToHalf(std::sqrt(-2 * std::log(1 - values[i])));
    const double angle = 2 * std::numbers::pi * values[i + kPairs];
    const float rounded = RoundToHalf(static_cast<float>(angle));
    values[i] = RoundToHalf(radius * std::cos(rounded) + kMean);
    values[i + kPairs] = RoundToHalf(radius * std::sin(rounded) + kMean);
  }
}

void BoxMullerCephes16(std::span<float, 16> values) {
#if defined(__x86_64__)
  // Without the instruction std::fma() is a call: the same bits at a tenth of the speed.
  static const bool has_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_fma) return CephesPairsFma(values);
#endif
  CephesPairs(values);
}

}  // namespace mezzo::generation::internal
