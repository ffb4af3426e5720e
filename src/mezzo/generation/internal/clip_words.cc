#include "mezzo/generation/internal/clip_words.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "mezzo/text/unicode.h"

namespace mezzo::generation::internal {
namespace {

using text::CharClass;
using text::ClassOf;
using text::IsWhiteSpace;

/// The blocks that BERT's tokenizer, and with it CLIPTokenizer, takes for Chinese characters.
bool IsCjk(char32_t code) {
  constexpr std::array<std::pair<char32_t, char32_t>, 8> kBlocks = {{{0x3400, 0x4DBF},
                                                                     {0x4E00, 0x9FFF},
                                                                     {0xF900, 0xFAFF},
                                                                     {0x20000, 0x2A6DF},
                                                                     {0x2A700, 0x2B73F},
                                                                     {0x2B740, 0x2B81F},
                                                                     {0x2B820, 0x2CEAF},
                                                                     {0x2F800, 0x2FA1F}}};
  return std::any_of(kBlocks.begin(), kBlocks.end(),
                     [code](const auto& block) { return code >= block.first && code <= block.second; });
}

/// `lower`, ASCII and in lower case, stands at the start of `text`. The pattern of CLIPTokenizer ignores
/// case, and of the characters that are their own lower case, U+017F alone is the same as an ASCII letter
/// then.
bool StartsWith(std::u32string_view text, std::string_view lower, ClipRules rules) {
  constexpr char32_t kLongS = 0x17F;
  if (text.size() < lower.size()) return false;
  return std::equal(lower.begin(), lower.end(), text.begin(), [rules](char wanted, char32_t code) {
    const bool long_s = rules == ClipRules::kBasic && wanted == 's' && code == kLongS;
    return long_s || code == static_cast<unsigned char>(wanted);
  });
}

/// The length of the token's name or of the English ending at the start of `text`; 0 when there is none.
std::size_t FixedWord(std::u32string_view text, ClipRules rules) {
  constexpr std::array<std::string_view, 2> kNames = {"<|startoftext|>", "<|endoftext|>"};
  constexpr std::array<std::string_view, 7> kEndings = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  if (rules == ClipRules::kBasic && text.front() == '<') {
    for (const std::string_view name : kNames) {
      if (StartsWith(text, name, rules)) return name.size();
    }
  }
  if (text.front() == '\'') {
    for (const std::string_view ending : kEndings) {
      if (StartsWith(text, ending, rules)) return ending.size();
    }
  }
  return 0;
}

/// What belongs to no word. Of CLIPTokenizer that is U+0345, too: it has the case variant iota, a letter, so
/// that with case ignored neither "letters" nor "no letters" matches it.
bool IsGap(char32_t code, ClipRules rules) {
  constexpr char32_t kCombiningIota = 0x345;
  return IsWhiteSpace(code) || (rules == ClipRules::kBasic && code == kCombiningIota);
}

}  // namespace

std::u32string CleanClipText(std::u32string_view text, ClipRules rules) {
  if (rules == ClipRules::kFast) return LowerCase(text::NormalizeNfc(text), text::SigmaRule::kPlain);
  constexpr char32_t kReplacement = 0xFFFD;
  std::u32string kept;
  kept.reserve(text.size());
  for (const char32_t code : text) {
    if (code == '\t' || code == '\n' || code == '\r') {
      kept.push_back(' ');
    } else if (code == kReplacement || ClassOf(code) == CharClass::kOther) {
      continue;
    } else if (IsCjk(code)) {
      kept.append({U' ', code, U' '});
    } else {
      kept.push_back(code);
    }
  }
  return LowerCase(text::NormalizeNfc(kept), text::SigmaRule::kContextual);
}

std::u32string_view ClipWords::Next() {
  const auto run = [this](auto belongs) {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), belongs);
    return static_cast<std::size_t>(end - rest_.begin());
  };
  rest_.remove_prefix(run([this](char32_t code) { return IsGap(code, rules_); }));
  if (rest_.empty()) return {};
  std::size_t length = FixedWord(rest_, rules_);
  if (length == 0) {
    switch (ClassOf(rest_.front())) {
      case CharClass::kLetter:
        length = run([](char32_t code) { return ClassOf(code) == CharClass::kLetter; });
        break;
      case CharClass::kNumber:
        length = 1;
        break;
      default:
        length = run([this](char32_t code) {
          const CharClass found = ClassOf(code);
          return found != CharClass::kLetter && found != CharClass::kNumber && !IsGap(code, rules_);
        });
        break;
    }
  }
  const std::u32string_view word = rest_.substr(0, length);
  rest_.remove_prefix(length);
  return word;
}

}  // namespace mezzo::generation::internal
