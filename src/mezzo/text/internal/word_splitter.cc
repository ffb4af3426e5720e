#include "mezzo/text/internal/word_splitter.h"

#include <cstdint>
#include <cstring>

#include "mezzo/text/internal/char_table.h"
#include "mezzo/text/unicode.h"

namespace mezzo::text::internal {
namespace {

constexpr char32_t kHangulFirst = 0xAC00;
constexpr char32_t kHangulCount = 11172;

// What becomes of an ASCII byte: the byte that is kept (letters and digits, all above '/'), or one of these.
constexpr char kDropAscii = 0;
constexpr char kSpaceAscii = 1;
constexpr char kPunctuationAscii = 2;

constexpr std::array<char, 128> MakeAscii() {
  std::array<char, 128> table{};
  for (int c = 0; c < 128; ++c) {
    char fate = kPunctuationAscii;
    if (c < ' ' || c == 0x7F) fate = kDropAscii;
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') fate = kSpaceAscii;
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')) fate = static_cast<char>(c);
    if (c >= 'A' && c <= 'Z') fate = static_cast<char>(c - 'A' + 'a');
    table[static_cast<std::size_t>(c)] = fate;
  }
  return table;
}
constexpr std::array<char, 128> kAscii = MakeAscii();

}  // namespace

bool WordSplitter::Next() {
  size_ = 0;
  chars_ = 0;
  barrier_ = 0;
  while (at_ != end_) {
    const auto c = static_cast<unsigned char>(*at_);
    if (c >= 0x80) {
      if (TakeWide()) return true;
      continue;
    }
    const char fate = kAscii[c];
    if (fate >= '0') [[likely]] {
      ++at_;
      if (chars_ < kMaxChars) word_[size_++] = fate;
      ++chars_;
    } else if (fate == kSpaceAscii) {
      ++at_;
      if (chars_ != 0) return true;
    } else if (fate == kPunctuationAscii) {
      if (chars_ == 0) {
        ++at_;
        Push(c);
      }
      return true;
    } else {
      ++at_;
    }
  }
  return chars_ != 0;
}

bool WordSplitter::TakeWide() {
  const DecodedChar decoded = DecodeChar({at_, static_cast<std::size_t>(end_ - at_)});
  if (decoded.length == 0) {
    ++at_;
    return false;
  }
  if (decoded.code >= kHangulFirst && decoded.code < kHangulFirst + kHangulCount) {
    at_ += decoded.length;
    TakeHangul(decoded.code);
    return false;
  }
  const CharFate fate = FateOf(decoded.code);
  const char32_t code = fate.single != 0 ? fate.single : decoded.code;
  const bool own_word = fate.action == CharAction::kPunctuation || fate.action == CharAction::kCjk;
  if (own_word && chars_ != 0) return true;  // The word before it; this character is looked at again.
  at_ += decoded.length;
  if (own_word) {
    Push(code);
    return true;
  }
  switch (fate.action) {
    case CharAction::kSpace:
      return chars_ != 0;
    case CharAction::kBarrier:
      barrier_ = size_;
      break;
    case CharAction::kCombining:
      PushCombining(code, CombiningClass(code));
      break;
    case CharAction::kKeep:
      if (fate.mapping.empty()) Push(code);
      for (const char32_t part : fate.mapping) PushCombining(part, CombiningClass(part));
      break;
    default:
      break;
  }
  return false;
}

/// Hangul syllables decompose by arithmetic (The Unicode Standard, section 3.12).
void WordSplitter::TakeHangul(char32_t code) {
  constexpr char32_t kLeads = 0x1100;
  constexpr char32_t kVowels = 0x1161;
  constexpr char32_t kTails = 0x11A7;
  constexpr char32_t kTailCount = 28;
  constexpr char32_t kVowelCount = 21;
  const char32_t index = code - kHangulFirst;
  Push(kLeads + index / (kVowelCount * kTailCount));
  Push(kVowels + index / kTailCount % kVowelCount);
  if (index % kTailCount != 0) Push(kTails + index % kTailCount);
}

void WordSplitter::Push(char32_t code) {
  if (chars_ < kMaxChars) {
    const EncodedChar encoded = EncodeChar(code);
    std::memcpy(word_.data() + size_, encoded.bytes.data(), encoded.bytes.size());
    size_ += encoded.length;
  }
  ++chars_;
}

void WordSplitter::PushCombining(char32_t code, std::uint8_t combining) {
  if (combining == 0 || chars_ >= kMaxChars) {
    Push(code);
    return;
  }
  // Canonical order: behind all of the run whose class is not higher.
  std::size_t to = size_;
  while (to > barrier_) {
    std::size_t before = to - 1;
    while ((static_cast<unsigned char>(word_[before]) & 0xC0U) == 0x80U) --before;
    const std::uint8_t other = CombiningClass(DecodeChar({word_.data() + before, to - before}).code);
    if (other == 0 || other <= combining) break;
    to = before;
  }
  const EncodedChar encoded = EncodeChar(code);
  std::memmove(word_.data() + to + encoded.length, word_.data() + to, size_ - to);
  std::memcpy(word_.data() + to, encoded.bytes.data(), encoded.length);
  size_ += encoded.length;
  ++chars_;
}

}  // namespace mezzo::text::internal
