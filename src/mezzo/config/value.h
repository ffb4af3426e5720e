#pragma once

#include <compare>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::config {

/// A count of bytes in a configuration struct, written "64MiB", "90MB" or 1048576. Converts to ByteCount.
struct ByteSize {
  ByteCount value = 0;

  constexpr ByteSize() = default;
  constexpr explicit ByteSize(ByteCount bytes) : value(bytes) {}
  constexpr operator ByteCount() const { return value; }  // NOLINT(*-explicit-*)
};

constexpr ByteSize KiB(ByteCount count) { return ByteSize(count << 10); }
constexpr ByteSize MiB(ByteCount count) { return ByteSize(count << 20); }
constexpr ByteSize GiB(ByteCount count) { return ByteSize(count << 30); }

/// A value that is never printed. In a file it is a reference, `file:/path` or `env:NAME`, which the loader
/// resolves; a literal is an error. Without a reference it is unset and reveals "".
class Secret {
 public:
  Secret() = default;
  Secret(std::string reference, std::string value)
      : reference_(std::move(reference)), value_(std::move(value)) {}

  /// The secret itself: not for logs.
  [[nodiscard]] const std::string& Reveal() const { return value_; }
  /// "file:/run/secrets/key", or "" when unset.
  [[nodiscard]] const std::string& reference() const { return reference_; }
  [[nodiscard]] bool is_set() const { return !reference_.empty(); }
  /// Compares the values in time that depends on their lengths only.
  friend bool operator==(const Secret& a, const Secret& b);
  /// "***", also where a test framework would print the object's bytes.
  friend void PrintTo(const Secret& secret, std::ostream* out);

 private:
  std::string reference_;
  std::string value_;
};

/// One number and a unit: "5ms", "1.5s", "2m", "1h" (ns, us, ms, s, m, h, d), or "0". Never negative, always
/// a whole number of nanoseconds. The error's message completes "x must be ...".
Result<Duration> ParseDuration(std::string_view text);
/// The shortest text that ParseDuration reads back as the same value; a negative one has a '-' before it.
std::string FormatDuration(Duration duration);

/// A number of bytes: "1048576", "64MiB", "1.5GiB", "90MB" (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB).
/// The error's message completes "x must be ...".
Result<ByteSize> ParseByteSize(std::string_view text);
/// The shortest text that ParseByteSize reads back as the same value.
std::string FormatByteSize(ByteSize size);

}  // namespace mezzo::config
