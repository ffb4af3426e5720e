#include "mezzo/api/byte_range.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "mezzo/base/strings.h"

namespace mezzo::api {
namespace {

/// Digits as a number, too large ones as the largest.
std::optional<ByteCount> Position(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return ParseUint(text).value_or(std::numeric_limits<ByteCount>::max());
}

}  // namespace

RequestedRange ParseByteRange(std::string_view header, ByteCount size) {
  constexpr std::string_view kUnit = "bytes=";
  constexpr RequestedRange kWhole;
  constexpr RequestedRange kUnsatisfiable{.kind = RequestedRange::Kind::kUnsatisfiable};
  header = Trim(header);
  if (header.size() < kUnit.size() || !EqualsIgnoreCase(header.substr(0, kUnit.size()), kUnit)) return kWhole;
  const std::string_view spec = Trim(header.substr(kUnit.size()));
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return kWhole;
  const std::string_view from = spec.substr(0, dash);
  const std::string_view to = spec.substr(dash + 1);

  if (from.empty()) {
    const auto suffix = Position(to);
    if (!suffix) return kWhole;
    const ByteCount length = std::min(*suffix, size);
    if (length == 0) return kUnsatisfiable;
    return {.kind = RequestedRange::Kind::kPart, .offset = size - length, .length = length};
  }
  const auto first = Position(from);
  const auto last = to.empty() ? std::numeric_limits<ByteCount>::max() : Position(to);
  if (!first || !last || *last < *first) return kWhole;
  if (*first >= size) return kUnsatisfiable;
  return {.kind = RequestedRange::Kind::kPart,
          .offset = *first,
          .length = std::min(*last, size - 1) - *first + 1};
}

}  // namespace mezzo::api
