#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"

namespace mezzo {

/// The candidate nearest to `name` by edit distance, when it is near enough to be a typing error
/// (at most a third of the length, at least one edit); for "did you mean" in messages.
std::optional<std::string> NearestName(std::string_view name, std::span<const std::string> candidates);

/// For messages: control characters and bytes outside ASCII escaped, cut after `limit` bytes with "...".
std::string Printable(std::string_view text, std::size_t limit = 128);

/// ASCII lower case.
std::string ToLower(std::string_view text);
/// ASCII case-insensitive equality, as HTTP names need.
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
/// Without leading and trailing spaces and tabs.
std::string_view Trim(std::string_view text);
/// All parts, empty ones too: Split("a,,b", ',') has three.
std::vector<std::string_view> Split(std::string_view text, char separator);

/// Whole-string decimal number without sign, or nothing (also on overflow).
std::optional<std::uint64_t> ParseUint(std::string_view text);

/// Names that become folder or label names: 1 to 128 of [A-Za-z0-9._-], not starting with a dot.
bool IsSafeName(std::string_view name);

/// "67108864" becomes "64 MiB"; exact powers only are rounded to one decimal.
std::string FormatBytes(std::uint64_t bytes);

/// RFC 3986: everything but unreserved characters (letters, digits, "-._~") becomes %XX.
std::string PercentEncode(std::string_view text);
std::string HexEncode(std::span<const std::uint8_t> bytes);
/// RFC 4648 section 4, with padding.
std::string Base64Encode(std::string_view bytes);
/// Strict: no white space, right padding. Fails with "invalid_base64" naming the offset.
Result<std::string> Base64Decode(std::string_view text);

/// SHA-256 (FIPS 180-4) as 64 lower-case hex digits.
std::string Sha256Hex(std::string_view bytes);
/// Compares in time that depends on the lengths only.
bool ConstantTimeEquals(std::string_view a, std::string_view b);

}  // namespace mezzo
