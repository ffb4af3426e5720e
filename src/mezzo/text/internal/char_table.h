#pragma once

#include <cstdint>
#include <span>

// What BERT's uncased tokenizer does with a Unicode character. Constant tables; thread-safe.
namespace mezzo::text::internal {

enum class CharAction : std::uint8_t {
  kKeep,
  kDrop,  ///< Controls, formats, private use, and accents that combine.
  kSpace,
  kPunctuation,  ///< A word of its own.
  kCjk,          ///< A word of its own.
  kBarrier,      ///< Dropped, but no combining character moves across it.
  kCombining,    ///< Stays, in the order of its combining class: see text::CombiningClass().
};

struct CharFate {
  CharAction action = CharAction::kKeep;
  /// What stands for the character when not empty: decomposed, without accents, lower case. Each of them is
  /// kept; several are never words of their own.
  std::span<const char32_t> mapping;
  char32_t single = 0;  ///< The same for a mapping to one character; 0: there is none.
};

/// `code` is below 0x110000. Hangul syllables are kept here: decompose them first.
[[nodiscard]] CharFate FateOf(char32_t code);

}  // namespace mezzo::text::internal
