#include "mezzo/text/unicode.h"

#include <algorithm>
#include <compare>
#include <iterator>
#include <utility>
#include <vector>

namespace mezzo::text {
namespace {

struct CharPair {
  char32_t code;
  char32_t target;
};
struct CharTriple {
  char32_t first;
  char32_t second;
  char32_t third;
};

#include "mezzo/text/internal/unicode_table.inc"

constexpr std::uint32_t kClassBits = 7;
constexpr std::uint32_t kCased = 8;
constexpr std::uint32_t kCaseIgnorable = 16;

/// The value of the run that `code` lies in.
template <std::size_t kSize>
std::uint32_t RunValue(const std::uint32_t (&runs)[kSize], char32_t code) {
  const auto* const next = std::upper_bound(std::begin(runs), std::end(runs), code << 8U | 0xFFU);
  return *std::prev(next) & 0xFFU;
}

std::uint32_t PropertiesOf(char32_t code) { return RunValue(kProperties, code); }

char32_t SimpleLower(char32_t code) {
  if (code < 0x80) return code >= 'A' && code <= 'Z' ? code - 'A' + 'a' : code;
  const auto* const found =
      std::lower_bound(std::begin(kLowerCases), std::end(kLowerCases), code,
                       [](const CharPair& pair, char32_t value) { return pair.code < value; });
  return found != std::end(kLowerCases) && found->code == code ? found->target : code;
}

/// Final_Sigma (The Unicode Standard, table 3-17): a cased letter before it and none behind, characters that
/// case ignores left out.
bool IsFinalSigma(std::u32string_view text, std::size_t at) {
  const auto ignored = [](char32_t code) { return (PropertiesOf(code) & kCaseIgnorable) != 0; };
  const auto cased = [](char32_t code) { return (PropertiesOf(code) & kCased) != 0; };
  std::size_t before = at;
  while (before > 0 && ignored(text[before - 1])) --before;
  if (before == 0 || !cased(text[before - 1])) return false;
  std::size_t behind = at + 1;
  while (behind < text.size() && ignored(text[behind])) ++behind;
  return behind == text.size() || !cased(text[behind]);
}

// Hangul syllables are composed and decomposed by arithmetic (The Unicode Standard, section 3.12).
constexpr char32_t kHangulFirst = 0xAC00;
constexpr char32_t kHangulCount = 11172;
constexpr char32_t kLeadFirst = 0x1100;
constexpr char32_t kLeadCount = 19;
constexpr char32_t kVowelFirst = 0x1161;
constexpr char32_t kVowelCount = 21;
constexpr char32_t kTailBase = 0x11A7;  // One before the first tail: index 0 means no tail.
constexpr char32_t kTailCount = 28;

void AppendDecomposed(char32_t code, std::u32string* out) {
  constexpr char32_t kFirstDecomposable = 0xC0;
  if (code < kFirstDecomposable) {
    out->push_back(code);
    return;
  }
  if (code >= kHangulFirst && code < kHangulFirst + kHangulCount) {
    const char32_t index = code - kHangulFirst;
    out->push_back(kLeadFirst + index / (kVowelCount * kTailCount));
    out->push_back(kVowelFirst + index / kTailCount % kVowelCount);
    if (index % kTailCount != 0) out->push_back(kTailBase + index % kTailCount);
    return;
  }
  const auto* const found =
      std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), code,
                       [](const CharTriple& row, char32_t value) { return row.first < value; });
  if (found == std::end(kDecompositions) || found->first != code) {
    out->push_back(code);
    return;
  }
  AppendDecomposed(found->second, out);  // Three steps at most.
  if (found->third != 0) out->push_back(found->third);
}

/// What the two compose to, or 0.
char32_t Compose(char32_t first, char32_t second) {
  if (first >= kLeadFirst && first < kLeadFirst + kLeadCount && second >= kVowelFirst &&
      second < kVowelFirst + kVowelCount) {
    return kHangulFirst + ((first - kLeadFirst) * kVowelCount + (second - kVowelFirst)) * kTailCount;
  }
  if (first >= kHangulFirst && first < kHangulFirst + kHangulCount && second > kTailBase &&
      second < kTailBase + kTailCount) {
    return (first - kHangulFirst) % kTailCount == 0 ? first + (second - kTailBase) : 0;
  }
  const auto* const found =
      std::lower_bound(std::begin(kCompositions), std::end(kCompositions), std::pair(first, second),
                       [](const CharTriple& row, const std::pair<char32_t, char32_t>& value) {
                         return std::pair(row.first, row.second) < value;
                       });
  const bool known = found != std::end(kCompositions) && found->first == first && found->second == second;
  return known ? found->third : 0;
}

/// A combining character and its place in its run, by class first: sorting keeps equal ones in order.
struct OrderedChar {
  std::uint8_t combining;
  std::size_t place;
  char32_t code;
  auto operator<=>(const OrderedChar&) const = default;
};

/// Decomposed, each run of combining characters sorted by class.
std::u32string CanonicalOrder(std::u32string_view text) {
  std::u32string decomposed;
  decomposed.reserve(text.size());
  for (const char32_t code : text) AppendDecomposed(code, &decomposed);
  std::vector<OrderedChar> run;
  for (std::size_t at = 0; at < decomposed.size();) {
    run.clear();
    for (std::size_t i = at; i < decomposed.size(); ++i) {
      const std::uint8_t combining = CombiningClass(decomposed[i]);
      if (combining == 0) break;
      run.push_back({combining, i, decomposed[i]});
    }
    std::sort(run.begin(), run.end());
    for (std::size_t i = 0; i < run.size(); ++i) decomposed[at + i] = run[i].code;
    at += run.size() + 1;
  }
  return decomposed;
}

}  // namespace

DecodedChar DecodeChar(std::string_view text) {
  const auto at = [text](std::size_t i) -> std::uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto continues = [&](std::size_t i) { return (at(i) & 0xC0U) == 0x80U; };
  const std::uint32_t lead = at(0);
  if (lead < 0x80) return {lead, 1};
  if (lead >= 0xC2 && lead <= 0xDF && continues(1)) return {(lead & 0x1FU) << 6U | (at(1) & 0x3FU), 2};
  if (lead >= 0xE0 && lead <= 0xEF && continues(1) && continues(2)) {
    const std::uint32_t code = (lead & 0x0FU) << 12U | (at(1) & 0x3FU) << 6U | (at(2) & 0x3FU);
    // Overlong forms and surrogates are not UTF-8 (RFC 3629).
    if (code < 0x800 || (code >= 0xD800 && code < 0xE000)) return {};
    return {code, 3};
  }
  if (lead >= 0xF0 && lead <= 0xF4 && continues(1) && continues(2) && continues(3)) {
    const std::uint32_t code =
        (lead & 0x07U) << 18U | (at(1) & 0x3FU) << 12U | (at(2) & 0x3FU) << 6U | (at(3) & 0x3FU);
    if (code < 0x10000 || code >= 0x110000) return {};
    return {code, 4};
  }
  return {};
}

EncodedChar EncodeChar(char32_t code) {
  const auto byte = [](char32_t value) { return static_cast<char>(static_cast<unsigned char>(value)); };
  if (code < 0x80) return {{byte(code)}, 1};
  const char last = byte(0x80U | (code & 0x3FU));
  if (code < 0x800) return {{byte(0xC0U | code >> 6U), last}, 2};
  const char third = byte(0x80U | (code >> 6U & 0x3FU));
  if (code < 0x10000) return {{byte(0xE0U | code >> 12U), third, last}, 3};
  return {{byte(0xF0U | code >> 18U), byte(0x80U | (code >> 12U & 0x3FU)), third, last}, 4};
}

CharClass ClassOf(char32_t code) { return static_cast<CharClass>(PropertiesOf(code) & kClassBits); }

bool IsWhiteSpace(char32_t code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  return code == 0x85 || ClassOf(code) == CharClass::kSeparator;
}

std::uint8_t CombiningClass(char32_t code) {
  constexpr char32_t kFirstCombining = 0x300;
  return code < kFirstCombining ? 0 : static_cast<std::uint8_t>(RunValue(kCombiningClasses, code));
}

std::u32string LowerCase(std::u32string_view text, SigmaRule rule) {
  constexpr char32_t kCapitalSigma = 0x3A3;
  constexpr char32_t kFinalSigma = 0x3C2;
  constexpr char32_t kCapitalDottedI = 0x130;
  constexpr char32_t kDotAbove = 0x307;
  std::u32string lower;
  lower.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == kCapitalSigma && rule == SigmaRule::kContextual && IsFinalSigma(text, i)) {
      lower.push_back(kFinalSigma);
    } else {
      lower.push_back(SimpleLower(text[i]));
      if (text[i] == kCapitalDottedI) lower.push_back(kDotAbove);
    }
  }
  return lower;
}

std::u32string NormalizeNfc(std::u32string_view text) {
  std::u32string composed;
  const std::u32string ordered = CanonicalOrder(text);
  composed.reserve(ordered.size());
  constexpr std::size_t kNone = std::u32string::npos;
  std::size_t starter = kNone;  // Where in `composed` the last character of class 0 stands.
  std::uint8_t last_class = 0;  // Of the last character behind the starter.
  for (const char32_t code : ordered) {
    const std::uint8_t combining = CombiningClass(code);
    if (starter != kNone) {
      // Blocked when something between has the same class or a higher one (UAX 15, D115).
      const bool adjacent = starter + 1 == composed.size();
      if (adjacent || (last_class != 0 && last_class < combining)) {
        if (const char32_t whole = Compose(composed[starter], code); whole != 0) {
          composed[starter] = whole;
          continue;
        }
      }
    }
    if (combining == 0) starter = composed.size();
    last_class = combining;
    composed.push_back(code);
  }
  return composed;
}

}  // namespace mezzo::text
