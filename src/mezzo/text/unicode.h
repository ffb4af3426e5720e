#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// Unicode 14 characters as tokenizers need them: UTF-8, categories, lower case, canonical composition.
// Constant tables; thread-safe. Code points given to these functions are below 0x110000.
namespace mezzo::text {

/// The code point at the start of a text and its length in bytes.
struct DecodedChar {
  char32_t code = 0;
  std::size_t length = 0;  ///< 0: the text does not start with UTF-8 (RFC 3629).
};
/// `text` is not empty.
[[nodiscard]] DecodedChar DecodeChar(std::string_view text);

/// The UTF-8 of a code point: `length` (1 to 4) of the bytes.
struct EncodedChar {
  std::array<char, 4> bytes{};
  std::size_t length = 0;
  [[nodiscard]] std::string_view view() const& { return {bytes.data(), length}; }
  std::string_view view() const&& = delete;  // It would outlive the bytes.
};
[[nodiscard]] EncodedChar EncodeChar(char32_t code);

/// The first letter of the general category.
enum class CharClass : std::uint8_t {
  kOther,  ///< Controls, formats, private use, surrogates, and what is not assigned.
  kLetter,
  kMark,
  kNumber,
  kPunctuation,
  kSymbol,
  kSeparator,
};
[[nodiscard]] CharClass ClassOf(char32_t code);

/// The property White_Space: what `\s` of most regular expressions matches.
[[nodiscard]] bool IsWhiteSpace(char32_t code);

/// The canonical combining class; 0 for most.
[[nodiscard]] std::uint8_t CombiningClass(char32_t code);

enum class SigmaRule : std::uint8_t {
  kPlain,       ///< U+03A3 is like any letter, as in Rust's char::to_lowercase().
  kContextual,  ///< U+03A3 at the end of a word becomes U+03C2 (Final_Sigma), as in Python's str.lower().
};
/// Lower case by the rules that depend on no language; U+0130 becomes two characters.
[[nodiscard]] std::u32string LowerCase(std::u32string_view text, SigmaRule rule);

/// Normalization Form C (Unicode Standard Annex 15). Time n log n in the longest run of combining characters,
/// linear otherwise.
[[nodiscard]] std::u32string NormalizeNfc(std::u32string_view text);

}  // namespace mezzo::text
