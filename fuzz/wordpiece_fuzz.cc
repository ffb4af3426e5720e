// Tokenizes arbitrary bytes, and reads them as a vocabulary. The first byte says which: even is text, odd a
// vocabulary.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/text/internal/word_splitter.h"
#include "mezzo/text/unicode.h"
#include "mezzo/text/wordpiece.h"

namespace {

using mezzo::text::Encoding;
using mezzo::text::WordPiece;

/// Every single letter and a few longer pieces, so that most words have a way through the trie.
const WordPiece& Tokenizer() {
  static const WordPiece made = [] {
    std::string vocabulary =
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n##ing\n##in\nun\n##aff\n##able\n\u4e2d\n\u1100\n##\u1161\n";
    for (char c = 'a'; c <= 'z'; ++c) vocabulary += std::string(1, c) + "\n##" + c + "\n";
    return WordPiece::Parse(vocabulary).value();
  }();
  return made;
}

void CheckText(std::string_view text) {
  const Encoding whole = Tokenizer().Encode(text, text.size() * 4 + 2);
  MEZZO_CHECK(
      !whole.truncated);  // A byte never makes more than four tokens: a Hangul syllable of three makes three.
  for (const auto id : whole.ids) MEZZO_CHECK(id >= 0 && static_cast<std::size_t>(id) < Tokenizer().size());

  constexpr std::size_t kShort = 8;
  const Encoding cut = Tokenizer().Encode(text, kShort);
  MEZZO_CHECK(cut.truncated == (whole.ids.size() > kShort));
  MEZZO_CHECK(std::equal(cut.ids.begin(), cut.ids.end() - 1, whole.ids.begin()));

  mezzo::text::internal::WordSplitter splitter(text);
  while (splitter.Next()) {
    if (splitter.too_long()) continue;
    for (std::string_view word = splitter.word(); !word.empty();) {
      const std::size_t length = mezzo::text::DecodeChar(word).length;
      MEZZO_CHECK(length != 0);  // Words are UTF-8 whatever the text was.
      word.remove_prefix(length);
    }
  }
}

void CheckVocabulary(std::string_view vocabulary) {
  const auto made = WordPiece::Parse(vocabulary);
  if (!made.ok()) {
    MEZZO_CHECK(!made.error().message().empty());
    return;
  }
  for (const auto id : made->Encode(vocabulary, 64).ids) {
    MEZZO_CHECK(id >= 0 && static_cast<std::size_t>(id) < made->size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    CheckText(rest);
  } else {
    CheckVocabulary(rest);
  }
  return 0;
}
