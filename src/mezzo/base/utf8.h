#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mezzo {

/// Length (1 to 4) of the well-formed UTF-8 sequence that `text` starts with; 0 when there is none.
std::size_t Utf8Length(std::string_view text);

/// The whole of `text` is well-formed UTF-8 (RFC 3629).
bool IsUtf8(std::string_view text);

/// Appends `text` as the inside of a JSON string. Control characters become escapes, bytes that are not UTF-8
/// U+FFFD. Never appends more than `limit` bytes nor splits a character; false when it had to cut.
bool AppendJsonEscaped(std::string& out, std::string_view text, std::size_t limit = SIZE_MAX);

/// `text` as valid UTF-8 of at most `limit` bytes: bad bytes become '?', and it is cut between characters.
std::string ToUtf8(std::string_view text, std::size_t limit);

}  // namespace mezzo
