#include "mezzo/media/ssim.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

namespace mezzo::media {
namespace {

/// The pictures of testing/ssim_golden.py, made by the same integer arithmetic.
class Lcg {
 public:
  explicit Lcg(std::uint32_t seed) : state_(seed) {}
  double Byte() {
    state_ = state_ * 1664525U + 1013904223U;
    return static_cast<double>(state_ >> 24U);
  }

 private:
  std::uint32_t state_;
};

std::vector<double> Noise(int width, int height, std::uint32_t seed) {
  Lcg random(seed);
  std::vector<double> out(static_cast<std::size_t>(width * height));
  for (double& sample : out) sample = random.Byte();
  return out;
}

std::vector<double> Gradient(int width, int height) {
  std::vector<double> out;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) out.push_back((3 * x + 5 * y) % 256);
  }
  return out;
}

std::vector<double> Mixed(const std::vector<double>& a, const std::vector<double>& b, int sixteenths) {
  std::vector<double> out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    out[i] = std::floor((a[i] * (16 - sixteenths) + b[i] * sixteenths) / 16);
  return out;
}

double SsimOf(const std::vector<double>& a, const std::vector<double>& b, int width, int height,
              double range = 255) {
  const auto ssim = Ssim({a, width, height}, {b, width, height}, range);
  EXPECT_TRUE(ssim.ok()) << ssim.error().ToString();
  return ssim.ok() ? *ssim : -2;
}

TEST(Ssim, IsWhatScikitImageSays) {
  const auto gradient = Gradient(40, 31);
  const auto noise = Noise(40, 31, 7);

  EXPECT_NEAR(SsimOf(gradient, Mixed(gradient, noise, 1), 40, 31), 0.9020556938223873, 1e-9);
  EXPECT_NEAR(SsimOf(gradient, Mixed(gradient, noise, 4), 40, 31), 0.33090895032194784, 1e-9);
  EXPECT_NEAR(SsimOf(gradient, noise, 40, 31), 0.008523946424109679, 1e-9);
  EXPECT_NEAR(SsimOf(Noise(11, 11, 1), Noise(11, 11, 2), 11, 11), -0.18000268849516482, 1e-9);
  EXPECT_NEAR(SsimOf(gradient, Mixed(gradient, noise, 4), 40, 31, 1), 0.24373122973018008, 1e-9);
}

TEST(Ssim, IsOneForEqualPicturesAndTheSameBothWays) {
  const auto a = Noise(23, 17, 3);
  const auto b = Noise(23, 17, 4);

  EXPECT_DOUBLE_EQ(SsimOf(a, a, 23, 17), 1);
  EXPECT_DOUBLE_EQ(SsimOf(a, b, 23, 17), SsimOf(b, a, 23, 17));
  EXPECT_LT(SsimOf(a, b, 23, 17), 0.5);
}

TEST(Ssim, FallsWithMoreNoise) {
  const auto gradient = Gradient(64, 64);
  const auto noise = Noise(64, 64, 11);

  double last = 1.0001;
  for (int sixteenths = 0; sixteenths <= 16; sixteenths += 4) {
    const double now = SsimOf(gradient, Mixed(gradient, noise, sixteenths), 64, 64);
    EXPECT_LT(now, last) << sixteenths;
    last = now;
  }
}

TEST(Ssim, RefusesWhatItCannotCompare) {
  const auto a = Noise(12, 12, 1);
  const auto b = Noise(11, 12, 1);
  const auto small = Noise(10, 12, 1);
  const auto reason = [](const Result<double>& result) { return result.ok() ? "" : result.error().reason(); };

  EXPECT_EQ(reason(Ssim({a, 12, 12}, {b, 11, 12}, 255)), "ssim_sizes");
  EXPECT_EQ(reason(Ssim({small, 10, 12}, {small, 10, 12}, 255)), "ssim_sizes");
  EXPECT_EQ(reason(Ssim({a, 12, 13}, {a, 12, 13}, 255)), "ssim_sizes");
  EXPECT_EQ(reason(Ssim({a, 12, 12}, {a, 12, 12}, 0)), "ssim_sizes");
}

}  // namespace
}  // namespace mezzo::media
