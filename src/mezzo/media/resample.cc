#include "mezzo/media/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "mezzo/base/check.h"

namespace mezzo::media {
namespace {

constexpr int kOne = 1 << AxisWeights::kWeightBits;
// Between the two passes samples carry 6 bits more: 255 and a filter's overshoot fit 16 bits.
constexpr int kMidBits = 6;
constexpr int kColumnShift = AxisWeights::kWeightBits - kMidBits;
constexpr int kRowShift = AxisWeights::kWeightBits + kMidBits;

double Mitchell(double x) {
  constexpr double kB = 1.0 / 3;
  constexpr double kC = 1.0 / 3;
  x = std::abs(x);
  if (x < 1) {
    return ((12 - 9 * kB - 6 * kC) * x * x * x + (-18 + 12 * kB + 6 * kC) * x * x + (6 - 2 * kB)) / 6;
  }
  if (x < 2) {
    return ((-kB - 6 * kC) * x * x * x + (6 * kB + 30 * kC) * x * x + (-12 * kB - 48 * kC) * x +
            (8 * kB + 24 * kC)) /
           6;
  }
  return 0;
}

double Sinc(double x) {
  if (std::abs(x) < 1e-9) return 1;
  return std::sin(std::numbers::pi * x) / (std::numbers::pi * x);
}

double Lanczos3(double x) { return std::abs(x) < 3 ? Sinc(x) * Sinc(x / 3) : 0; }

double Radius(Filter filter) { return filter == Filter::kMitchell ? 2 : 3; }

double Evaluate(Filter filter, double x) { return filter == Filter::kMitchell ? Mitchell(x) : Lanczos3(x); }

std::uint8_t ToSample(int sum) {
  return static_cast<std::uint8_t>(std::clamp((sum + (1 << (kRowShift - 1))) >> kRowShift, 0, 255));
}

/// One row of the middle form: the weighted sum of `taps` source rows, for columns [from, to).
void MixRows(PlaneView source, int first, const std::int16_t* weights, int taps, int from, int to,
             std::int16_t* out) {
  if (taps == 4) {
    const std::uint8_t* a = source.row(first);
    const std::uint8_t* b = source.row(first + 1);
    const std::uint8_t* c = source.row(first + 2);
    const std::uint8_t* d = source.row(first + 3);
    for (int x = from; x < to; ++x) {
      const int sum = a[x] * weights[0] + b[x] * weights[1] + c[x] * weights[2] + d[x] * weights[3];
      out[x] = static_cast<std::int16_t>((sum + (1 << (kColumnShift - 1))) >> kColumnShift);
    }
    return;
  }
  for (int x = from; x < to; ++x) {
    int sum = 1 << (kColumnShift - 1);
    for (int k = 0; k < taps; ++k) sum += source.row(first + k)[x] * weights[k];
    out[x] = static_cast<std::int16_t>(sum >> kColumnShift);
  }
}

int Dot(const std::int16_t* samples, const std::int16_t* weights, int taps) {
  int sum = 0;
  for (int k = 0; k < taps; ++k) sum += samples[k] * weights[k];
  return sum;
}

#if defined(__SSE2__)
/// Four products of 16 bits, as two sums of 32, of two outputs.
__m128i Products(const std::int16_t* middle, const AxisWeights& axis, int i) {
  const auto load = [](const std::int16_t* at) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
  };
  const __m128i samples = _mm_unpacklo_epi64(load(middle + axis.first(i)), load(middle + axis.first(i + 1)));
  const __m128i weights = _mm_loadu_si128(reinterpret_cast<const __m128i*>(axis.weights(i)));
  return _mm_madd_epi16(samples, weights);
}

/// Four outputs of a four-tap axis, as 32-bit samples.
__m128i FourOutputs(const std::int16_t* middle, const AxisWeights& axis, int i) {
  const __m128i ab = Products(middle, axis, i);
  const __m128i cd = Products(middle, axis, i + 2);
  const __m128 even = _mm_shuffle_ps(_mm_castsi128_ps(ab), _mm_castsi128_ps(cd), _MM_SHUFFLE(2, 0, 2, 0));
  const __m128 odd = _mm_shuffle_ps(_mm_castsi128_ps(ab), _mm_castsi128_ps(cd), _MM_SHUFFLE(3, 1, 3, 1));
  const __m128i sum = _mm_add_epi32(_mm_castps_si128(even), _mm_castps_si128(odd));
  return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(1 << (kRowShift - 1))), kRowShift);
}
#endif

void MixColumns(const std::int16_t* middle, const AxisWeights& axis, std::uint8_t* out) {
  int x = 0;
#if defined(__SSE2__)
  if (axis.taps() == 4) {
    for (; x + 8 <= axis.size(); x += 8) {
      const __m128i wide = _mm_packs_epi32(FourOutputs(middle, axis, x), FourOutputs(middle, axis, x + 4));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + x), _mm_packus_epi16(wide, wide));
    }
  }
#endif
  for (; x < axis.size(); ++x) out[x] = ToSample(Dot(middle + axis.first(x), axis.weights(x), axis.taps()));
}

void ResizePlane(PlaneView source, Plane out, ResampleScratch& scratch) {
  AxisWeights x;
  AxisWeights y;
  x.Set(0, source.width, source.width, out.width, Filter::kLanczos3, true);
  y.Set(0, source.height, source.height, out.height, Filter::kLanczos3, true);
  Resample(source, x, y, out, 0, out.height, scratch);
}

}  // namespace

void AxisWeights::Set(double start, double length, int source_size, int out_size, Filter filter, bool widen) {
  MEZZO_CHECK(length > 0 && source_size > 0 && out_size > 0);
  const double step = length / out_size;
  const double stretch = widen ? std::max(1.0, step) : 1.0;
  const double radius = Radius(filter) * stretch;
  const int wanted = std::max(1, static_cast<int>(std::ceil(2 * radius)));
  taps_ = std::min(wanted, source_size);
  first_.resize(static_cast<std::size_t>(out_size));
  weights_.resize(static_cast<std::size_t>(out_size) * static_cast<std::size_t>(taps_));
  std::vector<double> exact(static_cast<std::size_t>(taps_));
  for (int i = 0; i < out_size; ++i) {
    const double center = start + (i + 0.5) * step - 0.5;
    const int lowest = static_cast<int>(std::floor(center - radius)) + 1;
    const int first = std::clamp(lowest, 0, source_size - taps_);
    std::fill(exact.begin(), exact.end(), 0.0);
    double total = 0;
    for (int k = lowest; k < lowest + wanted; ++k) {
      const double weight = Evaluate(filter, (k - center) / stretch);
      // What falls outside is the edge sample's.
      exact[static_cast<std::size_t>(std::clamp(k, first, first + taps_ - 1) - first)] += weight;
      total += weight;
    }
    std::int16_t* to = weights_.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(taps_);
    int rest = kOne;
    int largest = 0;
    for (int k = 0; k < taps_; ++k) {
      const double scaled = exact[static_cast<std::size_t>(k)] / total * kOne;
      to[k] = static_cast<std::int16_t>(std::lround(scaled));
      rest -= to[k];
      if (to[k] > to[largest]) largest = k;
    }
    // Rounding must not change the brightness of a flat area.
    to[largest] = static_cast<std::int16_t>(to[largest] + rest);
    first_[static_cast<std::size_t>(i)] = first;
  }
}

void Resample(PlaneView source, const AxisWeights& x, const AxisWeights& y, Plane out, int first_row,
              int last_row, ResampleScratch& scratch) {
  MEZZO_CHECK(x.size() == out.width && y.size() == out.height);
  scratch.resize(static_cast<std::size_t>(source.width));
  const int from = x.first(0);
  const int to = x.first(x.size() - 1) + x.taps();
  for (int row = first_row; row < last_row; ++row) {
    MixRows(source, y.first(row), y.weights(row), y.taps(), from, to, scratch.data());
    MixColumns(scratch.data(), x, out.row(row));
  }
}

YuvPicture Resize(const YuvPicture& source, FrameSize size) {
  YuvPicture out(size);
  ResampleScratch scratch;
  for (int p = 0; p < YuvPicture::kPlanes; ++p) ResizePlane(source.plane(p), out.plane(p), scratch);
  return out;
}

RgbaPicture Resize(const RgbaPicture& source, FrameSize size) {
  RgbaPicture out(size);
  const FrameSize from = source.size();
  std::vector<std::uint8_t> before(static_cast<std::size_t>(from.width) *
                                   static_cast<std::size_t>(from.height));
  std::vector<std::uint8_t> after(static_cast<std::size_t>(size.width) *
                                  static_cast<std::size_t>(size.height));
  const Plane small{after.data(), size.width, size.height, size.width};
  ResampleScratch scratch;
  // Alpha first: colours are resized premultiplied and divided by the new alpha.
  for (const int channel : {3, 0, 1, 2}) {
    for (int y = 0; y < from.height; ++y) {
      const std::uint8_t* row = source.row(y);
      std::uint8_t* to = before.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(from.width);
      for (int x = 0; x < from.width; ++x, row += 4) {
        to[x] = channel == 3 ? row[3] : static_cast<std::uint8_t>((row[channel] * row[3] + 127) / 255);
      }
    }
    ResizePlane({before.data(), from.width, from.height, from.width}, small, scratch);
    for (int y = 0; y < size.height; ++y) {
      std::uint8_t* row = out.row(y);
      const std::uint8_t* now = small.row(y);
      for (int x = 0; x < size.width; ++x, row += 4) {
        const int alpha = channel == 3 ? 255 : row[3];
        row[channel] = alpha == 0
                           ? std::uint8_t{0}
                           : static_cast<std::uint8_t>(std::min(255, (now[x] * 255 + alpha / 2) / alpha));
      }
    }
  }
  return out;
}

}  // namespace mezzo::media
