#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"

namespace mezzo::observe {

namespace internal {
std::string HexOf(const std::uint8_t* bytes, std::size_t count);
}

/// A random id of `N` bytes; all zero means none.
template <std::size_t N, typename Tag>
struct TraceIdentifier {
  std::array<std::uint8_t, N> bytes{};

  [[nodiscard]] bool empty() const { return bytes == std::array<std::uint8_t, N>{}; }
  /// Lower-case hex.
  [[nodiscard]] std::string Hex() const { return internal::HexOf(bytes.data(), N); }
  friend bool operator==(const TraceIdentifier&, const TraceIdentifier&) = default;
};
using TraceId = TraceIdentifier<16, struct TraceTag>;
using SpanId = TraceIdentifier<8, struct SpanTag>;

/// From getrandom(2); never empty.
TraceId NewTraceId();
SpanId NewSpanId();

/// Where a call stands in a trace (W3C Trace Context, level 1 and the random bits of level 2).
struct TraceContext {
  TraceId trace_id;
  SpanId span_id;
  bool sampled = false;
  std::string trace_state;  ///< As received, within its limit; passed on untouched.
};

/// Longest `tracestate` that is passed on, in bytes, and its most members.
inline constexpr std::size_t kMaxTraceStateBytes = 512;
inline constexpr std::size_t kMaxTraceStateMembers = 32;

/// Parses a `traceparent` header. Strict: version 00 is exactly 55 lower-case bytes; a later version may have
/// more after a dash; version ff and empty ids are invalid. Fails with "invalid_traceparent"; the caller then
/// starts a trace of its own, and doesn't fail the request.
Result<TraceContext> ParseTraceParent(std::string_view header);

/// "00-<trace id>-<span id>-<01 if sampled, else 00>".
std::string FormatTraceParent(const TraceContext& context);

/// What of a `tracestate` header (several joined by commas) may be passed on: all of it when well formed and
/// within the limits. Too long: members over 128 bytes go first, then the last ones. Malformed or over 32
/// members: nothing.
std::string LimitTraceState(std::string_view header);

}  // namespace mezzo::observe
