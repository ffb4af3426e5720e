#include "mezzo/config/value.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <ostream>
#include <span>

#include "mezzo/base/strings.h"

namespace mezzo::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 8> kTimeUnits = {{{"ns", 1},
                                             {"us", 1'000},
                                             {"ms", 1'000'000},
                                             {"s", 1'000'000'000},
                                             {"m", 60'000'000'000},
                                             {"h", 3'600'000'000'000},
                                             {"d", 86'400'000'000'000},
                                             {"", 0}}};
constexpr std::array<Unit, 10> kByteUnits = {{{"B", 1},
                                              {"kB", 1'000},
                                              {"MB", 1'000'000},
                                              {"GB", 1'000'000'000},
                                              {"TB", 1'000'000'000'000},
                                              {"KiB", std::uint64_t{1} << 10},
                                              {"MiB", std::uint64_t{1} << 20},
                                              {"GiB", std::uint64_t{1} << 30},
                                              {"TiB", std::uint64_t{1} << 40},
                                              {"", 1}}};

/// What a quantity's text may say; every message completes "x must be ...".
struct Grammar {
  std::span<const Unit> units;
  std::uint64_t max;
  std::string_view expected;
  std::string_view whole;  ///< What a result must be a whole number of.
  std::string_view largest;
};

Error Refuse(std::string message) { return InvalidArgument("config_invalid_value", std::move(message)); }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Digits, optionally a point and digits, optionally one space, a unit. Exact: no floating point.
Result<std::uint64_t> ParseQuantity(std::string_view text, const Grammar& grammar) {
  const auto expected = [&] {
    return Refuse(std::string(grammar.expected) + ", not '" + Printable(text, 64) + "'");
  };
  const auto overflow = [&] {
    return Refuse("at most " + std::string(grammar.largest) + ", not '" + Printable(text, 64) + "'");
  };
  std::size_t at = 0;
  std::uint64_t digits = 0;  // The number without its point.
  std::uint64_t scale = 1;   // Ten to the digits after the point.
  bool too_long = false;
  const auto take_digits = [&](bool after_point) {
    const std::size_t begin = at;
    for (; at < text.size() && IsDigit(text[at]); ++at) {
      std::uint64_t next = 0;
      too_long |= __builtin_mul_overflow(digits, std::uint64_t{10}, &next) ||
                  __builtin_add_overflow(next, static_cast<std::uint64_t>(text[at] - '0'), &digits) ||
                  (after_point && __builtin_mul_overflow(scale, std::uint64_t{10}, &scale));
    }
    return at > begin;
  };
  if (!take_digits(false)) return expected();
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (!take_digits(true)) return expected();
  }
  const bool spaced = at < text.size() && text[at] == ' ';
  if (spaced) ++at;
  const std::string_view name = text.substr(at);
  const auto* unit = std::find_if(grammar.units.data(), grammar.units.data() + grammar.units.size(),
                                  [&](const Unit& candidate) { return candidate.name == name; });
  if (unit == grammar.units.data() + grammar.units.size() || (spaced && name.empty())) return expected();
  if (too_long) return overflow();
  if (unit->factor == 0) {  // A duration without a unit.
    if (digits == 0) return std::uint64_t{0};
    return expected();
  }
  const auto product = static_cast<unsigned __int128>(digits) * unit->factor;
  if (product % scale != 0)
    return Refuse("a whole number of " + std::string(grammar.whole) + ", not '" + Printable(text, 64) + "'");
  if (product / scale > grammar.max) return overflow();
  return static_cast<std::uint64_t>(product / scale);
}

/// In the largest unit that divides `value`, or as it is with `smallest` behind it.
std::string FormatQuantity(std::uint64_t value, std::span<const Unit> units, std::string_view smallest) {
  if (value == 0) return "0";
  Unit best{smallest, 1};
  for (const Unit& unit : units) {
    if (unit.factor > best.factor && value % unit.factor == 0) best = unit;
  }
  return std::to_string(value / best.factor) + std::string(best.name);
}

}  // namespace

bool operator==(const Secret& a, const Secret& b) {
  return a.reference_ == b.reference_ && ConstantTimeEquals(a.value_, b.value_);
}

void PrintTo(const Secret& secret, std::ostream* out) { *out << (secret.is_set() ? "***" : "(unset)"); }

Result<Duration> ParseDuration(std::string_view text) {
  static constexpr Grammar kGrammar = {
      kTimeUnits, static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
      "a duration with a unit of ns, us, ms, s, m, h or d, like '5ms'", "nanoseconds", "106751d"};
  MEZZO_TRY(const std::uint64_t count, ParseQuantity(text, kGrammar));
  return Duration(static_cast<std::int64_t>(count));
}

std::string FormatDuration(Duration duration) {
  const auto count = duration.count();
  const auto magnitude =
      count < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(count) : static_cast<std::uint64_t>(count);
  return (count < 0 ? "-" : "") + FormatQuantity(magnitude, kTimeUnits, "ns");
}

Result<ByteSize> ParseByteSize(std::string_view text) {
  static constexpr Grammar kGrammar = {
      kByteUnits, std::numeric_limits<std::uint64_t>::max(),
      "a number of bytes or a size like '64MiB' (units B, kB, MB, GB, TB, KiB, "
      "MiB, GiB, TiB)",
      "bytes", "18446744073709551615"};
  MEZZO_TRY(const std::uint64_t count, ParseQuantity(text, kGrammar));
  return ByteSize(count);
}

std::string FormatByteSize(ByteSize size) { return FormatQuantity(size.value, kByteUnits, ""); }

}  // namespace mezzo::config
