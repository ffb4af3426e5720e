#include "mezzo/media/line_breaking.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "mezzo/base/utf8.h"

namespace mezzo::media {
namespace {

struct Character {
  std::string_view bytes;
  char32_t code = 0;
};

Character TakeCharacter(std::string_view& text) {
  const std::size_t length = std::max<std::size_t>(1, Utf8Length(text));
  const auto byte = [&text](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[i]));
  };
  char32_t code = byte(0);
  if (length > 1) {
    code &= 0x7FU >> length;
    for (std::size_t i = 1; i < length; ++i) code = (code << 6U) | (byte(i) & 0x3FU);
  }
  const Character out{text.substr(0, length), code};
  text.remove_prefix(length);
  return out;
}

struct CodeRange {
  char32_t first;
  char32_t last;
};

template <std::size_t kCount>
bool IsIn(char32_t code, const CodeRange (&ranges)[kCount]) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [code](const CodeRange& range) { return code >= range.first && code <= range.last; });
}

// UAX 11, classes W and F, in blocks.
constexpr CodeRange kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},  {0xAC00, 0xD7A3},
                               {0xF900, 0xFAFF},   {0xFE30, 0xFE4F},   {0xFF01, 0xFF60},  {0xFFE0, 0xFFE6},
                               {0x1F300, 0x1F64F}, {0x1F900, 0x1FAFF}, {0x20000, 0x3FFFD}};
constexpr CodeRange kWidthless[] = {
    {0x0300, 0x036F}, {0x200B, 0x200F}, {0x2060, 0x2064}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}};

constexpr std::u32string_view kNotFirst = U"。，、．：；！？）】》〉」』〕｝…—·～％°”’!?,.:;)]}%";
constexpr std::u32string_view kSentenceEnds = U"。！？…!?.";
constexpr std::u32string_view kNotLast = U"（【《〈「『〔｛“‘([{$¥￥";

std::size_t Columns(char32_t code) {
  if (IsIn(code, kWidthless)) return 0;
  return IsIn(code, kWide) ? 2 : 1;
}

/// What stays together on a line.
struct Unit {
  std::string text;
  std::size_t columns = 0;
  bool space_before = false;
  bool line_before = false;  ///< The text breaks here in any case.
  enum class End : std::uint8_t { kOther, kPhrase, kSentence };
  End end = End::kOther;  ///< What its last character closes.
};

Unit::End EndOf(char32_t code) {
  if (kSentenceEnds.find(code) != std::u32string_view::npos) return Unit::End::kSentence;
  return kNotFirst.find(code) != std::u32string_view::npos ? Unit::End::kPhrase : Unit::End::kOther;
}

bool IsControl(char32_t code) { return code < 0x20 || code == 0x7F || code == 0x2028 || code == 0x2029; }

class UnitReader {
 public:
  explicit UnitReader(std::size_t max_columns) : max_columns_(max_columns) {}

  std::vector<Unit> Read(std::string_view text) {
    while (!text.empty()) Add(TakeCharacter(text));
    return std::move(units_);
  }

 private:
  void Add(const Character& c) {
    if (c.code == '\n') {
      line_ = true;
    } else if (c.code == ' ' || c.code == '\t' || c.code == 0x3000 || c.code == 0xA0) {
      space_ = true;
    } else if (!IsControl(c.code)) {
      AddVisible(c);
    }
  }

  void AddVisible(const Character& c) {
    const std::size_t columns = Columns(c.code);
    const bool wide = columns == 2;
    bool joins = !units_.empty() && !space_ && !line_;
    if (joins) {
      const bool glued = kNotFirst.find(c.code) != std::u32string_view::npos || last_opens_ || columns == 0;
      joins = (glued || (!wide && !last_wide_)) && units_.back().columns + columns <= max_columns_;
    }
    if (!joins) units_.push_back({.space_before = space_, .line_before = line_ && !units_.empty()});
    units_.back().text += c.bytes;
    units_.back().columns += columns;
    space_ = false;
    line_ = false;
    if (columns == 0) return;
    units_.back().end = EndOf(c.code);
    last_wide_ = wide;
    last_opens_ = kNotLast.find(c.code) != std::u32string_view::npos;
  }

  const std::size_t max_columns_;
  std::vector<Unit> units_;
  bool space_ = false;
  bool line_ = false;
  bool last_wide_ = false;
  bool last_opens_ = false;
};

// What a break costs besides the unevenness it makes, as a part of the ideal width, squared: nothing after a
// sentence, little after a phrase or at a space, much between two Chinese characters, which may belong to one
// word.
constexpr double kPhraseBreak = 0.08;
constexpr double kSpaceBreak = 0.15;
constexpr double kInnerBreak = 0.45;

/// The places to break at, found by dynamic programming over the units (as Knuth and Plass 1981, with the
/// number of lines fixed to the least).
class LineBreaker {
 public:
  LineBreaker(const std::vector<Unit>& units, std::size_t max_columns)
      : units_(units), max_columns_(max_columns) {
    std::size_t total = 0;
    for (const Unit& unit : units) total += Width(unit);
    std::vector<Place> places(units.size() + 1);
    places[0].lines = 0;
    // The fewest lines first: they say what an even line is.
    for (std::size_t end = 1; end <= units.size(); ++end) Improve(places, end, 0);
    const double ideal =
        static_cast<double>(total) / static_cast<double>(std::max<std::size_t>(1, places.back().lines));
    std::vector<Place> even(units.size() + 1);
    even[0].lines = 0;
    for (std::size_t end = 1; end <= units.size(); ++end) Improve(even, end, ideal);
    for (std::size_t end = units.size(); end > 0; end = even[end].start)
      lines_.push_back(Text(even[end].start, end));
    std::reverse(lines_.begin(), lines_.end());
  }

  [[nodiscard]] std::vector<std::string> Take() { return std::move(lines_); }

 private:
  /// The best way to lay out the units before this place.
  struct Place {
    std::size_t lines = SIZE_MAX;
    double cost = 0;
    std::size_t start = 0;  ///< Where the last line begins.
  };

  static std::size_t Width(const Unit& unit) { return unit.columns + (unit.space_before ? 1 : 0); }

  /// Considers every last line that ends at `end`. With `ideal` 0 only the number of lines counts.
  void Improve(std::vector<Place>& places, std::size_t end, double ideal) const {
    std::size_t width = 0;
    for (std::size_t start = end; start-- > 0;) {
      width += Width(units_[start]);
      const std::size_t used = width - (units_[start].space_before ? 1 : 0);
      if (used > max_columns_ && start + 1 < end) return;
      const Place& before = places[start];
      const double off = ideal == 0 ? 0 : static_cast<double>(used) - ideal;
      const Place way{before.lines + 1, before.cost + off * off + BreakCost(start, ideal), start};
      Place& best = places[end];
      if (way.lines < best.lines || (way.lines == best.lines && way.cost < best.cost)) best = way;
      if (units_[start].line_before) return;
    }
  }

  /// Of a line that begins with unit `start`.
  [[nodiscard]] double BreakCost(std::size_t start, double ideal) const {
    if (start == 0 || units_[start].line_before) return 0;
    double part = units_[start].space_before ? kSpaceBreak : kInnerBreak;
    if (units_[start - 1].end == Unit::End::kPhrase) part = kPhraseBreak;
    if (units_[start - 1].end == Unit::End::kSentence) part = 0;
    return part * part * ideal * ideal;
  }

  [[nodiscard]] std::string Text(std::size_t start, std::size_t end) const {
    std::string out;
    for (std::size_t i = start; i < end; ++i) {
      if (i > start && units_[i].space_before) out += ' ';
      out += units_[i].text;
    }
    return out;
  }

  const std::vector<Unit>& units_;
  const std::size_t max_columns_;
  std::vector<std::string> lines_;
};

}  // namespace

std::size_t DisplayColumns(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) columns += Columns(TakeCharacter(text).code);
  return columns;
}

std::vector<std::string> BreakLines(std::string_view text, std::size_t max_columns) {
  const std::vector<Unit> units = UnitReader(max_columns).Read(text);
  return LineBreaker(units, max_columns).Take();
}

}  // namespace mezzo::media
