#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mezzo::generation::internal {

/// The two tokenizers that the transformers package has for CLIP. They clean a text differently.
enum class ClipRules : std::uint8_t {
  kBasic,  ///< CLIPTokenizer without the ftfy package.
  kFast,   ///< CLIPTokenizerFast.
};

/// Normalization Form C and lower case. kBasic also drops controls, formats and what is not assigned, and
/// sets CJK characters apart.
std::u32string CleanClipText(std::u32string_view text, ClipRules rules);

/// Hands out the words of a cleaned text: letters, single numbers, other characters, and English endings such
/// as "'s"; white space parts them. With kBasic the names of CLIP's start and end token are words, too.
///
/// Time is linear in the text. Not thread-safe.
class ClipWords {
 public:
  /// `text` must outlive it.
  ClipWords(std::u32string_view text, ClipRules rules) : rest_(text), rules_(rules) {}

  /// The next word; empty at the end.
  std::u32string_view Next();

 private:
  std::u32string_view rest_;
  ClipRules rules_;
};

}  // namespace mezzo::generation::internal
