#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mezzo::api {

/// Each appends to `out`, which is JSON under construction.

/// A quoted string. Bytes that are not UTF-8 become U+FFFD.
void AppendJsonString(std::string_view text, std::string* out);
/// The same when the caller knows that `text` is valid UTF-8: faster.
void AppendJsonUtf8(std::string_view text, std::string* out);
/// Runtime-dispatched SIMD.
[[nodiscard]] bool IsUtf8(std::string_view text);

void AppendJsonInteger(std::int64_t value, std::string* out);
void AppendJsonInteger(std::uint64_t value, std::string* out);
/// The shortest text that reads back as the same value, always with a point or an exponent. As Triton's
/// writer does, not-a-number is NaN and infinity is Infinity: not JSON, but what its clients read.
void AppendJsonFloat(float value, std::string* out);
void AppendJsonFloat(double value, std::string* out);
inline void AppendJsonBool(bool value, std::string* out) { out->append(value ? "true" : "false"); }

}  // namespace mezzo::api
