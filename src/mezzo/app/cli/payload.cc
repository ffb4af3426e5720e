#include "mezzo/app/cli/payload.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <random>

#include "mezzo/app/cli/internal/numbers.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using tensor::DType;
using tensor::Shape;

constexpr std::uint64_t kMaxTensor = std::uint64_t{1} << 30;

struct Range {
  double low = 0;
  double high = 1;
};

Range DefaultRange(DType dtype) {
  switch (dtype) {
    case DType::kBool:
    case DType::kFp16:
    case DType::kBf16:
    case DType::kFp32:
    case DType::kFp64:
      return {.low = 0, .high = 1};
    default:
      return {.low = 0, .high = 99};
  }
}

/// The greatest range of integers of the type that doubles hold exactly.
Range TypeRange(DType dtype) {
  constexpr double kExact = 9007199254740992.0;
  Range range{.low = std::numeric_limits<double>::lowest(), .high = std::numeric_limits<double>::max()};
  if (dtype == DType::kBool) return {.low = 0, .high = 1};
  VisitInteger(dtype, [&](auto zero) {
    using T = decltype(zero);
    range.low = std::max(-kExact, static_cast<double>(std::numeric_limits<T>::min()));
    range.high = std::min(kExact, static_cast<double>(std::numeric_limits<T>::max()));
  });
  if (dtype == DType::kBytes) range = {.low = 0, .high = 1e9};
  return range;
}

struct Parts {
  std::string_view name;
  std::string_view value;
};

/// "input:value" split at the last colon, as names may have colons themselves.
std::optional<Parts> SplitNamed(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  return Parts{.name = text.substr(0, colon), .value = text.substr(colon + 1)};
}

std::optional<double> ParseReal(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

Error BadFlow(const FlowSpec& flow, const std::string& what) {
  return InvalidArgument("bad_flow", "flow '" + Printable(FlowName(flow)) + "': " + what);
}

std::string InputNames(const ModelSignature& signature) {
  std::string names;
  for (const TensorSignature& input : signature.inputs) names += (names.empty() ? "" : ", ") + input.name;
  return names;
}

/// The last value given for an input among "input:value" texts.
Result<std::optional<std::string_view>> Given(const ModelSignature& signature, const FlowSpec& flow,
                                              const std::vector<std::string>& texts, std::string_view option,
                                              std::string_view input) {
  std::optional<std::string_view> value;
  for (const std::string& text : texts) {
    const auto parts = SplitNamed(text);
    const bool known =
        parts.has_value() && std::any_of(signature.inputs.begin(), signature.inputs.end(),
                                         [&](const auto& one) { return one.name == parts->name; });
    if (!known) {
      return BadFlow(flow, std::string(option) + " '" + Printable(text) +
                               "' must be INPUT:VALUE with an input of model '" + signature.name + "' (" +
                               InputNames(signature) + ")");
    }
    if (parts->name == input) value = parts->value;
  }
  return value;
}

/// The text of the input's own shape, or of one given to an input declared alike.
Result<std::optional<std::string_view>> GivenShape(const TensorSignature& input,
                                                   const ModelSignature& signature, const FlowSpec& flow) {
  MEZZO_TRY(auto given, Given(signature, flow, flow.shapes, "shape", input.name));
  for (const TensorSignature& other : signature.inputs) {
    if (given.has_value()) break;
    if (!(other.shape == input.shape)) continue;
    MEZZO_TRY(given, Given(signature, flow, flow.shapes, "shape", other.name));
  }
  return given;
}

Result<Shape> ChooseShape(const TensorSignature& input, const ModelSignature& signature,
                          const FlowSpec& flow) {
  MEZZO_TRY(const auto given, GivenShape(input, signature, flow));
  Shape shape = input.shape;
  if (given.has_value()) {
    MEZZO_TRY(shape, ParseShape(*given));
    bool fits = shape.rank() == input.shape.rank();
    for (std::size_t i = 0; fits && i < shape.rank(); ++i)
      fits = input.shape[i] < 0 || input.shape[i] == shape[i];
    if (!fits) {
      return BadFlow(flow, "shape " + shape.ToString() + " does not fit input '" + input.name +
                               "' of shape " + input.shape.ToString());
    }
  }
  for (std::size_t i = 0; i < shape.rank(); ++i) shape[i] = std::max<std::int64_t>(shape[i], given ? 0 : 1);
  const auto bytes = tensor::ByteSize(input.dtype == DType::kBytes ? DType::kInt64 : input.dtype, shape);
  if (!bytes.ok() || *bytes > kMaxTensor) {
    return BadFlow(flow, "input '" + input.name + "' of shape " + shape.ToString() + " is larger than 1 GiB");
  }
  return shape;
}

Result<Range> ChooseRange(const TensorSignature& input, const ModelSignature& signature,
                          const FlowSpec& flow) {
  MEZZO_TRY(const auto given, Given(signature, flow, flow.ranges, "range", input.name));
  if (!given.has_value()) return DefaultRange(input.dtype);
  const std::size_t dots = given->find("..");
  const auto low = ParseReal(given->substr(0, dots));
  const auto high = dots == std::string_view::npos ? low : ParseReal(given->substr(dots + 2));
  if (!low || !high || *low > *high) {
    return BadFlow(flow, "range '" + Printable(*given) + "' of input '" + input.name + "' must be LOW..HIGH");
  }
  const Range limit = TypeRange(input.dtype);
  if (*low < limit.low || *high > limit.high) {
    return BadFlow(flow, "range '" + Printable(*given) + "' of input '" + input.name + "' exceeds its type " +
                             std::string(tensor::DTypeName(input.dtype)));
  }
  return Range{.low = *low, .high = *high};
}

/// Uniform in [0, 1).
double Draw(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

std::string MakeValues(DType dtype, std::uint64_t count, Range range, bool zeros, std::mt19937_64& random) {
  std::string bytes;
  if (dtype == DType::kBytes) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const double value = range.low + std::floor(Draw(random) * (range.high - range.low + 1));
      tensor::AppendBytesElement(bytes,
                                 zeros ? "" : "word" + std::to_string(static_cast<std::uint64_t>(value)));
    }
    return bytes;
  }
  bytes.reserve(count * tensor::DTypeSize(dtype));
  if (zeros) return std::string(count * tensor::DTypeSize(dtype), '\0');
  const bool integer = VisitInteger(dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::uint64_t i = 0; i < count; ++i) {
      const double value = range.low + std::floor(Draw(random) * (range.high - range.low + 1));
      AppendRaw(bytes, static_cast<T>(std::min(value, range.high)));
    }
  });
  if (integer) return bytes;
  for (std::uint64_t i = 0; i < count; ++i) {
    AppendReal(bytes, dtype, range.low + Draw(random) * (range.high - range.low));
  }
  return bytes;
}

}  // namespace

Result<Shape> ParseShape(std::string_view text) {
  Shape shape;
  for (const std::string_view part : Split(text, 'x')) {
    const auto dim = ParseUint(part);
    if (!dim || *dim > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return InvalidArgument("bad_shape",
                             "shape '" + Printable(text) + "' must be numbers joined by 'x', as 1x32");
    }
    if (!shape.Append(static_cast<std::int64_t>(*dim))) {
      return InvalidArgument("bad_shape", "shape '" + Printable(text) + "' has more than 12 dimensions");
    }
  }
  return shape;
}

Result<std::vector<NamedInput>> MakeInputs(const ModelSignature& signature, const FlowSpec& flow,
                                           std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<NamedInput> inputs;
  for (const TensorSignature& input : signature.inputs) {
    MEZZO_TRY(const Shape shape, ChooseShape(input, signature, flow));
    MEZZO_TRY(const Range range, ChooseRange(input, signature, flow));
    MEZZO_TRY(const std::uint64_t count, tensor::ElementCount(shape));
    std::string values = MakeValues(input.dtype, count, range, flow.fill == Fill::kZeros, random);
    inputs.push_back(
        {.name = input.name,
         .tensor = {
             .dtype = input.dtype, .shape = shape, .data = SharedBytes::FromString(std::move(values))}});
  }
  return inputs;
}

}  // namespace mezzo::app::cli
