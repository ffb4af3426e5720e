#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>

namespace mezzo::generation {

/// Which values torch.randn() gives: its types draw different numbers from the same seed.
enum class NormalType : std::uint8_t {
  kFloat32,
  kFloat16,  ///< Every value is one that half precision has.
};

/// PyTorch's random generator for the CPU: torch.Generator().manual_seed(seed), then calls of
/// torch.randn(out.size(), generator=..., dtype=...). What Diffusers draws latents and noise from, so equal
/// seeds make equal pictures.
///
/// Like the original, two methods: sixteen values and more come by Box-Muller in blocks of 16, where a last
/// part that is not full makes the last 16 values again; fewer come one by one in double precision, and a
/// value left over waits for the next short call. So consecutive calls share state.
///
/// Bit for bit the numbers of PyTorch 1.13 on x86-64 with AVX2 (float32, float16, float64: the tests
/// compare). float32 does not depend on the C library; float16, float64 and short calls use its log, sqrt,
/// sin and cos and can differ by 1 ulp of those where it is another one. PyTorch without AVX2 differs from
/// both by about 2e-6.
///
/// Not thread-safe.
class TorchRandom {
 public:
  /// Only the lower 32 bits of a seed matter, as in PyTorch.
  explicit TorchRandom(std::uint64_t seed) : engine_(static_cast<std::uint32_t>(seed)) {}

  /// Fills `out` with standard normal numbers.
  void Randn(std::span<float> out, NormalType type = NormalType::kFloat32);
  void Randn(std::span<double> out);

 private:
  double Uniform53();
  double ShortNormal();

  std::mt19937 engine_;
  std::optional<double> left_over_;  // The second value of the last pair that a short call made.
};

}  // namespace mezzo::generation
