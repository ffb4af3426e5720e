#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace mezzo::text::internal {

/// Cleans a text as BERT's uncased tokenizer does and hands out its words one by one: controls dropped,
/// accents stripped, lower case, split at white space, punctuation and CJK characters. Bytes that are not
/// UTF-8 are dropped.
///
/// Time is linear in the text, memory constant. Not thread-safe.
class WordSplitter {
 public:
  static constexpr std::size_t kMaxChars = 100;

  /// `text` must outlive the splitter.
  explicit WordSplitter(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  /// Goes to the next word; false at the end of the text.
  bool Next();
  /// The word, until the next call of Next(). Only when not too_long().
  [[nodiscard]] std::string_view word() const { return {word_.data(), size_}; }
  /// The word has more than kMaxChars characters, of which the first are kept.
  [[nodiscard]] bool too_long() const { return chars_ > kMaxChars; }

 private:
  /// Takes one character that is not ASCII; true when a word is complete.
  bool TakeWide();
  void TakeHangul(char32_t code);
  void Push(char32_t code);
  void PushCombining(char32_t code, std::uint8_t combining);

  const char* at_;
  const char* const end_;
  std::size_t size_ = 0;
  std::size_t chars_ = 0;
  std::size_t barrier_ = 0;  // Combining characters before this byte of the word stay where they are.
  std::array<char, kMaxChars * 4> word_;
};

}  // namespace mezzo::text::internal
