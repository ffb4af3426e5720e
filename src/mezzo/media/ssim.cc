#include "mezzo/media/ssim.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include <fmt/format.h>

namespace mezzo::media {
namespace {

constexpr double kSigma = 1.5;
constexpr double kK1 = 0.01;
constexpr double kK2 = 0.03;

using Window = std::array<double, kSsimWindow>;

/// The window is separable: this is one of its sides, which sums to 1.
Window GaussianSide() {
  Window side{};
  double sum = 0;
  constexpr int kMiddle = kSsimWindow / 2;
  for (int i = 0; i < kSsimWindow; ++i) {
    const double x = i - kMiddle;
    side[static_cast<std::size_t>(i)] = std::exp(-x * x / (2 * kSigma * kSigma));
    sum += side[static_cast<std::size_t>(i)];
  }
  for (double& weight : side) weight /= sum;
  return side;
}

/// The five weighted sums of a window: of a, b, a², b² and ab.
struct Moments {
  double a = 0;
  double b = 0;
  double aa = 0;
  double bb = 0;
  double ab = 0;

  void Add(const Moments& other, double weight) {
    a += weight * other.a;
    b += weight * other.b;
    aa += weight * other.aa;
    bb += weight * other.bb;
    ab += weight * other.ab;
  }
};

}  // namespace

Result<double> Ssim(const RealPlane& a, const RealPlane& b, double range) {
  const auto bad = [](std::string what) { return InvalidArgument("ssim_sizes", std::move(what)); };
  if (a.width != b.width || a.height != b.height) {
    return bad(
        fmt::format("planes of {}x{} and {}x{} can't be compared", a.width, a.height, b.width, b.height));
  }
  if (a.width < kSsimWindow || a.height < kSsimWindow) {
    return bad(fmt::format("a plane of {}x{} is smaller than SSIM's window of {}x{}", a.width, a.height,
                           kSsimWindow, kSsimWindow));
  }
  const auto width = static_cast<std::size_t>(a.width);
  const auto height = static_cast<std::size_t>(a.height);
  if (a.samples.size() / width != height || a.samples.size() % width != 0 ||
      b.samples.size() != a.samples.size()) {
    return bad("a plane has not width times height samples");
  }
  if (!(range > 0) || !std::isfinite(range)) return bad("the range of samples must be above zero");

  const Window side = GaussianSide();
  const double c1 = (kK1 * range) * (kK1 * range);
  const double c2 = (kK2 * range) * (kK2 * range);
  const std::size_t columns = width - kSsimWindow + 1;
  const std::size_t lines = height - kSsimWindow + 1;
  // Column by column of windows would jump; so each row is summed across first, and kept for the eleven lines
  // of windows that it belongs to.
  std::vector<Moments> rows(columns * kSsimWindow);
  double total = 0;
  for (std::size_t y = 0; y < height; ++y) {
    const double* const ra = a.samples.data() + y * width;
    const double* const rb = b.samples.data() + y * width;
    Moments* const across = rows.data() + (y % kSsimWindow) * columns;
    for (std::size_t x = 0; x < columns; ++x) {
      Moments sum;
      for (std::size_t i = 0; i < kSsimWindow; ++i) {
        const double va = ra[x + i];
        const double vb = rb[x + i];
        sum.Add({va, vb, va * va, vb * vb, va * vb}, side[i]);
      }
      across[x] = sum;
    }
    if (y + 1 < kSsimWindow) continue;
    const std::size_t top = y + 1 - kSsimWindow;
    for (std::size_t x = 0; x < columns; ++x) {
      Moments sum;
      for (std::size_t i = 0; i < kSsimWindow; ++i) {
        sum.Add(rows[((top + i) % kSsimWindow) * columns + x], side[i]);
      }
      const double variance_a = sum.aa - sum.a * sum.a;
      const double variance_b = sum.bb - sum.b * sum.b;
      const double covariance = sum.ab - sum.a * sum.b;
      total += (2 * sum.a * sum.b + c1) * (2 * covariance + c2) /
               ((sum.a * sum.a + sum.b * sum.b + c1) * (variance_a + variance_b + c2));
    }
  }
  return total / static_cast<double>(columns * lines);
}

}  // namespace mezzo::media
