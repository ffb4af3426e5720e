#include "mezzo/lifecycle/tensor_compare.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/media/ssim.h"

namespace mezzo::lifecycle {
namespace {

using tensor::DType;
using tensor::Tensor;

template <typename T>
T ElementAt(BytesView bytes, std::size_t index) {
  T value{};
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void Append(BytesView bytes, std::vector<double>& out) {
  for (std::size_t i = 0; i < bytes.size() / sizeof(T); ++i)
    out.push_back(static_cast<double>(ElementAt<T>(bytes, i)));
}

/// "[1,0,7]": where element `index` stands in a tensor of this shape.
std::string PlaceOf(std::size_t index, const tensor::Shape& shape) {
  std::vector<std::string> parts(shape.rank());
  for (std::size_t i = shape.rank(); i-- > 0;) {
    const auto dim = static_cast<std::size_t>(std::max<std::int64_t>(1, shape[i]));
    parts[i] = std::to_string(index % dim);
    index /= dim;
  }
  std::string text = "[";
  for (std::size_t i = 0; i < parts.size(); ++i) text += (i > 0 ? "," : "") + parts[i];
  return text + "]";
}

Comparison Far(std::string reason) { return {.near = false, .reason = std::move(reason), .measured = {}}; }

void Measure(Comparison& comparison, const char* name, double value) {
  if (std::isfinite(value)) comparison.measured[name] = value;
}

Comparison CompareTexts(const Tensor& expected, const Tensor& actual) {
  std::vector<std::string_view> wanted;
  tensor::ForEachBytesElement(expected.data.view(), [&](std::string_view one) { wanted.push_back(one); });
  std::size_t index = 0;
  std::size_t different = 0;
  std::string first;
  tensor::ForEachBytesElement(actual.data.view(), [&](std::string_view one) {
    if (index < wanted.size() && one != wanted[index] && different++ == 0) {
      first = fmt::format("element {} is '{}', expected '{}'", PlaceOf(index, expected.shape),
                          Printable(one, 60), Printable(wanted[index], 60));
    }
    ++index;
  });
  Comparison out{.near = different == 0, .reason = first, .measured = {}};
  Measure(out, "different", static_cast<double>(different));
  return out;
}

/// Integers beyond 2^53 are not equal because their roundings are.
bool EqualElements(const Tensor& a, const Tensor& b, std::size_t index, double real_a, double real_b) {
  if (a.dtype == DType::kInt64 || a.dtype == DType::kUint64) {
    return ElementAt<std::uint64_t>(a.data.view(), index) == ElementAt<std::uint64_t>(b.data.view(), index);
  }
  return real_a == real_b || (std::isnan(real_a) && std::isnan(real_b));
}

Comparison CompareElements(const CompareRule& rule, const Tensor& expected, const Tensor& actual) {
  const std::vector<double> wanted = ElementsAsReals(expected);
  const std::vector<double> got = ElementsAsReals(actual);
  Comparison out{.near = true, .reason = {}, .measured = {}};
  double max_absolute = 0;
  double max_relative = 0;
  std::size_t far = 0;
  std::size_t first = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (EqualElements(expected, actual, i, wanted[i], got[i])) continue;
    const double error = std::abs(got[i] - wanted[i]);
    max_absolute = std::max(max_absolute, error);
    if (wanted[i] != 0) max_relative = std::max(max_relative, error / std::abs(wanted[i]));
    // A NaN or an infinity on one side makes `error` one, which is never within.
    const bool within = rule.kind == CompareRule::Kind::kTolerance && std::isfinite(error) &&
                        error <= rule.absolute + rule.relative * std::abs(wanted[i]);
    if (!within && far++ == 0) first = i;
  }
  Measure(out, "max_abs_error", max_absolute);
  Measure(out, "max_rel_error", max_relative);
  if (far == 0) return out;
  out.near = false;
  out.reason =
      fmt::format("element {} is {}, expected {}", PlaceOf(first, expected.shape), got[first], wanted[first]);
  if (rule.kind == CompareRule::Kind::kTolerance) {
    out.reason += fmt::format(" (within {:g} + {:g} times that)", rule.absolute, rule.relative);
  }
  if (far > 1) out.reason += fmt::format("; {} of {} elements are too far", far, wanted.size());
  return out;
}

/// 1 for two rows of zeros; nothing when it is not defined: one row of zeros, a NaN, an infinity.
std::optional<double> Cosine(const double* a, const double* b, std::size_t size) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < size; ++i) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  if (aa == 0 && bb == 0) return 1.0;
  const double cosine = ab / (std::sqrt(aa) * std::sqrt(bb));
  if (!std::isfinite(cosine)) return std::nullopt;
  return std::clamp(cosine, -1.0, 1.0);
}

Comparison CompareCosine(const CompareRule& rule, const Tensor& expected, const Tensor& actual) {
  const tensor::Shape& shape = expected.shape;
  if (shape.rank() == 0) return Far("the rule cosine needs at least one dimension");
  const std::vector<double> wanted = ElementsAsReals(expected);
  const std::vector<double> got = ElementsAsReals(actual);
  const auto width = static_cast<std::size_t>(shape[shape.rank() - 1]);
  Comparison out{.near = true, .reason = {}, .measured = {}};
  double least = 1;
  for (std::size_t row = 0; width > 0 && row < wanted.size() / width; ++row) {
    const auto cosine = Cosine(wanted.data() + row * width, got.data() + row * width, width);
    if (!cosine) {
      return Far(fmt::format("row {} has no cosine with the expected one (zeros, NaN or infinity)", row));
    }
    if (*cosine < least) {
      least = *cosine;
      out.reason = fmt::format("row {} has the cosine {:.6f} with the expected one; at least {:g} is needed",
                               row, least, rule.at_least);
    }
  }
  Measure(out, "min_cosine", least);
  out.near = least >= rule.at_least;
  if (out.near) out.reason.clear();
  return out;
}

/// Where the samples of a picture lie.
struct PictureLayout {
  std::size_t pictures = 1;
  std::size_t channels = 1;
  int width = 0;
  int height = 0;
  bool interleaved = false;
};

std::optional<PictureLayout> LayoutOf(const CompareRule& rule, const tensor::Shape& shape) {
  if (shape.rank() < 2) return std::nullopt;
  for (const std::int64_t dim : shape.dims()) {
    if (dim < 1 || dim > std::numeric_limits<int>::max()) return std::nullopt;
  }
  const std::size_t rank = shape.rank();
  const auto at = [&](std::size_t from_end) { return shape[rank - from_end]; };
  PictureLayout out;
  out.interleaved = rank > 2 && rule.layout == CompareRule::Layout::kNhwc;
  out.height = static_cast<int>(at(out.interleaved ? 3 : 2));
  out.width = static_cast<int>(at(out.interleaved ? 2 : 1));
  if (rank > 2) out.channels = static_cast<std::size_t>(at(out.interleaved ? 1 : 3));
  for (std::size_t i = 0; i + 3 < rank; ++i) out.pictures *= static_cast<std::size_t>(shape[i]);
  return out;
}

std::vector<double> PlaneOf(const std::vector<double>& samples, const PictureLayout& layout,
                            std::size_t picture, std::size_t channel) {
  const std::size_t size = static_cast<std::size_t>(layout.width) * static_cast<std::size_t>(layout.height);
  const double* const start = samples.data() + picture * size * layout.channels;
  std::vector<double> plane(size);
  for (std::size_t i = 0; i < size; ++i) {
    plane[i] = layout.interleaved ? start[i * layout.channels + channel] : start[channel * size + i];
  }
  return plane;
}

Comparison CompareSsim(const CompareRule& rule, const Tensor& expected, const Tensor& actual) {
  const auto layout = LayoutOf(rule, expected.shape);
  if (!layout) return Far("the rule ssim needs pictures: two or more dimensions, none of them empty");
  const double range = rule.range > 0 ? rule.range : expected.dtype == DType::kUint8 ? 255 : 1;
  const std::vector<double> wanted = ElementsAsReals(expected);
  const std::vector<double> got = ElementsAsReals(actual);
  Comparison out{.near = true, .reason = {}, .measured = {}};
  double least = 1;
  for (std::size_t picture = 0; picture < layout->pictures; ++picture) {
    double sum = 0;
    for (std::size_t channel = 0; channel < layout->channels; ++channel) {
      const std::vector<double> a = PlaneOf(wanted, *layout, picture, channel);
      const std::vector<double> b = PlaneOf(got, *layout, picture, channel);
      const auto ssim =
          media::Ssim({a, layout->width, layout->height}, {b, layout->width, layout->height}, range);
      if (!ssim.ok()) return Far(ssim.error().message());
      sum += *ssim;
    }
    const double mean = sum / static_cast<double>(layout->channels);
    if (!std::isfinite(mean)) return Far(fmt::format("picture {} has samples that are no numbers", picture));
    if (mean < least) {
      least = mean;
      out.reason =
          fmt::format("picture {} has the similarity {:.6f} to the expected one; at least {:g} is needed",
                      picture, least, rule.at_least);
    }
  }
  Measure(out, "min_ssim", least);
  out.near = least >= rule.at_least;
  if (out.near) out.reason.clear();
  return out;
}

}  // namespace

std::string_view RuleName(CompareRule::Kind kind) {
  switch (kind) {
    case CompareRule::Kind::kExact:
      return "exact";
    case CompareRule::Kind::kTolerance:
      return "tolerance";
    case CompareRule::Kind::kCosine:
      return "cosine";
    default:
      return "ssim";
  }
}

std::vector<double> ElementsAsReals(const Tensor& tensor) {
  const BytesView bytes = tensor.data.view();
  std::vector<double> out;
  const std::size_t size = tensor::DTypeSize(tensor.dtype);
  if (size > 0) out.reserve(bytes.size() / size);
  switch (tensor.dtype) {
    case DType::kBool:
    case DType::kUint8:
      Append<std::uint8_t>(bytes, out);
      break;
    case DType::kUint16:
      Append<std::uint16_t>(bytes, out);
      break;
    case DType::kUint32:
      Append<std::uint32_t>(bytes, out);
      break;
    case DType::kUint64:
      Append<std::uint64_t>(bytes, out);
      break;
    case DType::kInt8:
      Append<std::int8_t>(bytes, out);
      break;
    case DType::kInt16:
      Append<std::int16_t>(bytes, out);
      break;
    case DType::kInt32:
      Append<std::int32_t>(bytes, out);
      break;
    case DType::kInt64:
      Append<std::int64_t>(bytes, out);
      break;
    case DType::kFp16:
      Append<_Float16>(bytes, out);
      break;
    case DType::kBf16:
      for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
        const auto bits = static_cast<std::uint32_t>(ElementAt<std::uint16_t>(bytes, i)) << 16U;
        out.push_back(static_cast<double>(std::bit_cast<float>(bits)));
      }
      break;
    case DType::kFp32:
      Append<float>(bytes, out);
      break;
    case DType::kFp64:
      Append<double>(bytes, out);
      break;
    case DType::kBytes:
      break;
  }
  return out;
}

Comparison Compare(const CompareRule& rule, const Tensor& expected, const Tensor& actual) {
  if (expected.dtype != actual.dtype) {
    return Far(fmt::format("has the type {}, expected {}", tensor::DTypeName(actual.dtype),
                           tensor::DTypeName(expected.dtype)));
  }
  if (!(expected.shape == actual.shape)) {
    return Far(
        fmt::format("has the shape {}, expected {}", actual.shape.ToString(), expected.shape.ToString()));
  }
  if (expected.dtype == DType::kBytes) {
    if (rule.kind == CompareRule::Kind::kExact) return CompareTexts(expected, actual);
    return Far(fmt::format("texts can only be compared by the rule exact, not {}", RuleName(rule.kind)));
  }
  switch (rule.kind) {
    case CompareRule::Kind::kCosine:
      return CompareCosine(rule, expected, actual);
    case CompareRule::Kind::kSsim:
      return CompareSsim(rule, expected, actual);
    default:
      return CompareElements(rule, expected, actual);
  }
}

}  // namespace mezzo::lifecycle
