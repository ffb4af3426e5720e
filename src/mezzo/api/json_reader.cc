#include "mezzo/api/json_reader.h"

#include <simdjson.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

namespace mezzo::api {
namespace {

bool IsDigit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

constexpr std::array<bool, 256> MakeStops() {
  std::array<bool, 256> stops{};
  for (int c = 0; c < 0x20; ++c) stops[static_cast<std::size_t>(c)] = true;
  for (int c = 0x80; c < 0x100; ++c) stops[static_cast<std::size_t>(c)] = true;
  stops['"'] = true;
  stops['\\'] = true;
  return stops;
}
constexpr std::array<bool, 256> kStops = MakeStops();  // Where a run of plain string bytes ends.

/// True when one of the eight bytes ends a run. May say so wrongly, never the reverse.
bool HasStop(std::uint64_t eight) {
  constexpr std::uint64_t kOnes = 0x0101010101010101U;
  constexpr std::uint64_t kHighs = 0x8080808080808080U;
  const std::uint64_t control = eight - kOnes * 0x20;
  const std::uint64_t quote = (eight ^ (kOnes * '"')) - kOnes;
  const std::uint64_t slash = (eight ^ (kOnes * '\\')) - kOnes;
  return ((control | quote | slash | eight) & kHighs) != 0;
}

constexpr std::array<std::uint64_t, 9> kTens = {1,       10,        100,        1000,       10'000,
                                                100'000, 1'000'000, 10'000'000, 100'000'000};

/// The number that eight digit values (first in the lowest byte) spell.
std::uint64_t JoinEight(std::uint64_t eight) {
  eight = eight * 10 + (eight >> 8);
  const std::uint64_t low = (eight & 0x000000FF000000FFU) * 0x000F424000000064U;
  const std::uint64_t high = ((eight >> 16) & 0x000000FF000000FFU) * 0x0000271000000001U;
  return (low + high) >> 32 & 0xFFFFFFFFU;
}

/// Takes digits from `p` on into `mantissa`, which may wrap: whoever needs to know counts. Runs of up to
/// eight cost the same whatever their length, without a branch that could be guessed wrong for each digit.
const char* TakeDigits(const char* p, const char* end, std::uint64_t* mantissa) {
  while (end - p >= 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, p, sizeof(eight));
    eight ^= 0x3030303030303030U;  // Digits are now 0 to 9, all else is more.
    const std::uint64_t others = (eight + 0x7676767676767676U | eight) & 0x8080808080808080U;
    if (others == 0) {
      *mantissa = *mantissa * kTens[8] + JoinEight(eight);
      p += 8;
      continue;
    }
    const int count = std::countr_zero(others) / 8;
    if (count == 0) return p;
    *mantissa = *mantissa * kTens[static_cast<std::size_t>(count)] + JoinEight(eight << (64 - 8 * count));
    return p + count;
  }
  while (p < end && IsDigit(*p)) *mantissa = *mantissa * 10 + static_cast<std::uint64_t>(*p++ - '0');
  return p;
}

constexpr int kMaxExactPower = 27;  // 5^27 < 2^63: the largest power of ten that 64 bits of mantissa hold.

constexpr int kMaxDoublePower = 22;  // The same for 53 bits.

template <typename T, std::size_t N>
constexpr std::array<T, N> MakePowers() {
  std::array<T, N> powers{};
  T power = 1;
  for (T& p : powers) {
    p = power;
    power *= 10;
  }
  return powers;
}
constexpr auto kWidePowers = MakePowers<long double, kMaxExactPower + 1>();
constexpr auto kPowers = MakePowers<double, kMaxDoublePower + 1>();

void AppendUtf8(std::uint32_t point, std::string* out) {
  const auto put = [out](std::uint32_t byte) { *out += static_cast<char>(byte); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

/// Four hexadecimal digits at the start of `text`, or nothing.
bool ReadHex4(std::string_view text, std::uint32_t* out) {
  if (text.size() < 4) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + 4, *out, 16);
  return error == std::errc() && end == text.data() + 4;
}

}  // namespace

/// The parts of a number: mantissa × 10^exponent, or, when digits were dropped, the text itself.
struct JsonReader::Lexed {
  const char* begin = nullptr;
  const char* end = nullptr;
  std::uint64_t mantissa = 0;
  std::int64_t exponent = 0;
  std::int64_t digits = 0;  // Significant ones.
  bool negative = false;
  bool integer = true;
  bool dropped = false;  // More digits than the mantissa holds.
};

JsonReader::JsonReader(std::string_view text, std::size_t max_depth)
    : begin_(text.data()), at_(text.data()), end_(text.data() + text.size()), max_depth_(max_depth) {}

bool JsonReader::Fail(const char* expected) {
  if (problem_ == Problem::kNone) {
    problem_ = Problem::kMalformed;
    expected_ = expected;
  }
  return false;
}

Error JsonReader::error() const {
  const std::string at = std::to_string(at_ - begin_);
  if (problem_ == Problem::kTooDeep) {
    return InvalidArgument("json_too_deep", "JSON nesting depth exceeds maximum allowed limit (" +
                                                std::to_string(max_depth_) + ") at byte " + at);
  }
  return InvalidArgument("json_malformed", "failed to parse the request JSON buffer: expected " +
                                               std::string(expected_) + " at byte " + at +
                                               (at_ >= end_ ? ", where the text ends" : ""));
}

std::string_view JsonReader::KindName(JsonKind kind) {
  switch (kind) {
    case JsonKind::kObject:
      return "an object";
    case JsonKind::kArray:
      return "an array";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kNumber:
      return "a number";
    case JsonKind::kBool:
      return "a boolean";
    case JsonKind::kNull:
      return "null";
    case JsonKind::kNone:
      break;
  }
  return "nothing";
}

void JsonReader::SkipSpace() {
  while (at_ < end_ && static_cast<unsigned char>(*at_) <= ' ') {
    if (*at_ != ' ' && *at_ != '\n' && *at_ != '\r' && *at_ != '\t') return;
    ++at_;
  }
}

JsonKind JsonReader::Peek() {
  SkipSpace();
  if (at_ >= end_ || failed()) return JsonKind::kNone;
  switch (*at_) {
    case '{':
      return JsonKind::kObject;
    case '[':
      return JsonKind::kArray;
    case '"':
      return JsonKind::kString;
    case 't':
    case 'f':
      return JsonKind::kBool;
    case 'n':
      return JsonKind::kNull;
    case '-':
    case 'N':
    case 'I':
      return JsonKind::kNumber;
    default:
      return IsDigit(*at_) ? JsonKind::kNumber : JsonKind::kNone;
  }
}

bool JsonReader::Enter(char open, const char* expected) {
  if (failed()) return false;
  SkipSpace();
  if (at_ >= end_ || *at_ != open) return Fail(expected);
  if (depth_ >= max_depth_) {
    problem_ = Problem::kTooDeep;
    return false;
  }
  ++at_;
  ++depth_;
  fresh_ = true;
  return true;
}

bool JsonReader::EnterObject() { return Enter('{', "an object"); }
bool JsonReader::EnterArray() { return Enter('[', "an array"); }

bool JsonReader::NextMember(std::string_view* key) {
  if (failed()) return false;
  SkipSpace();
  if (at_ < end_ && *at_ == '}') {
    ++at_;
    --depth_;
    fresh_ = false;
    return false;
  }
  if (!fresh_) {
    if (at_ >= end_ || *at_ != ',') return Fail("',' or '}'");
    ++at_;
    SkipSpace();
  }
  fresh_ = false;
  if (at_ >= end_ || *at_ != '"') return Fail("the name of a member");
  if (!ReadString(key)) return false;
  SkipSpace();
  if (at_ >= end_ || *at_ != ':') return Fail("':'");
  ++at_;
  return true;
}

bool JsonReader::NextElement() {
  if (failed()) return false;
  SkipSpace();
  if (at_ < end_ && *at_ == ']') {
    ++at_;
    --depth_;
    fresh_ = false;
    return false;
  }
  if (!fresh_) {
    if (at_ >= end_ || *at_ != ',') return Fail("',' or ']'");
    ++at_;
  }
  fresh_ = false;
  return true;
}

bool JsonReader::CheckUtf8() {
  if (utf8_checked_) return true;
  utf8_checked_ = true;
  if (simdjson::validate_utf8(begin_, static_cast<std::size_t>(end_ - begin_))) return true;
  return Fail("valid UTF-8 in the text that follows");
}

bool JsonReader::ScanString(std::string_view* raw, bool* escaped) {
  *escaped = false;
  const char* const start = ++at_;
  while (true) {
    std::uint64_t eight = 0;
    while (end_ - at_ >= 8) {
      std::memcpy(&eight, at_, sizeof(eight));
      if (HasStop(eight)) break;
      at_ += 8;
    }
    while (at_ < end_ && !kStops[static_cast<unsigned char>(*at_)]) ++at_;
    if (at_ >= end_) return Fail("'\"' at the end of a string");
    const auto c = static_cast<unsigned char>(*at_);
    if (c == '"') break;
    if (c == '\\') {
      *escaped = true;
      if (end_ - at_ < 2) return Fail("a character after '\\'");
      at_ += 2;
    } else if (c >= 0x80) {
      if (!CheckUtf8()) return false;
      ++at_;
    } else {
      return Fail("control characters in a string to be escaped");
    }
  }
  *raw = std::string_view(start, static_cast<std::size_t>(at_ - start));
  ++at_;
  return true;
}

bool JsonReader::Unescape(std::string_view raw, std::string* out) {
  if (out != nullptr) out->reserve(raw.size());
  std::string discarded;
  std::string* const to = out != nullptr ? out : &discarded;
  while (!raw.empty()) {
    const std::size_t plain = raw.find('\\');
    if (out != nullptr) to->append(raw.substr(0, plain));
    if (plain == std::string_view::npos) break;
    const char kind = raw[plain + 1];  // ScanString proved that it is there.
    raw.remove_prefix(plain + 2);
    discarded.clear();
    switch (kind) {
      case '"':
      case '\\':
      case '/':
        *to += kind;
        break;
      case 'b':
        *to += '\b';
        break;
      case 'f':
        *to += '\f';
        break;
      case 'n':
        *to += '\n';
        break;
      case 'r':
        *to += '\r';
        break;
      case 't':
        *to += '\t';
        break;
      case 'u': {
        std::uint32_t point = 0;
        if (!ReadHex4(raw, &point)) return Fail("four hexadecimal digits after '\\u' in the string before");
        raw.remove_prefix(4);
        if (point >= 0xD800 && point < 0xE000) {
          std::uint32_t low = 0;
          if (point >= 0xDC00 || raw.substr(0, 2) != "\\u" || !ReadHex4(raw.substr(2), &low) ||
              low < 0xDC00 || low >= 0xE000) {
            return Fail("a pair of surrogates in the string before");
          }
          raw.remove_prefix(6);
          point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        }
        AppendUtf8(point, to);
        break;
      }
      default:
        return Fail("one of \"\\/bfnrtu after '\\' in the string before");
    }
  }
  return true;
}

bool JsonReader::ReadString(std::string_view* out) {
  if (failed()) return false;
  SkipSpace();
  if (at_ >= end_ || *at_ != '"') return Fail("a string");
  bool escaped = false;
  if (!ScanString(out, &escaped)) return false;
  if (!escaped) return true;
  auto text = std::make_unique<std::string>();
  if (!Unescape(*out, text.get())) return false;
  *out = *text;
  unescaped_.push_back(std::move(text));
  return true;
}

[[gnu::always_inline]] inline bool JsonReader::LexNumber(Lexed* out) {
  const char* p = at_;
  out->begin = p;
  out->negative = p < end_ && *p == '-';
  p += out->negative ? 1 : 0;
  const char* const first = p;
  std::uint64_t mantissa = 0;
  // Most numbers begin with a single digit: going on from there without a look at the next eight is faster.
  if (p < end_ && IsDigit(*p)) mantissa = static_cast<std::uint64_t>(*p++ - '0');
  if (p < end_ && IsDigit(*p)) p = TakeDigits(p, end_, &mantissa);
  std::int64_t count = p - first;
  if (count == 0) return Fail("a value");
  if (*first == '0' && count > 1) return Fail("no digits after a leading zero");
  if (p < end_ && *p == '.') {
    const char* const start = ++p;
    p = TakeDigits(p, end_, &mantissa);
    if (p == start) {
      at_ = p;
      return Fail("digits after '.'");
    }
    out->exponent = start - p;
    count += p - start;
    out->integer = false;
  }
  if (p < end_ && (*p | 0x20) == 'e') {
    ++p;
    const bool minus = p < end_ && *p == '-';
    if (p < end_ && (*p == '-' || *p == '+')) ++p;
    std::int64_t exponent = 0;
    const char* const start = p;
    for (; p < end_ && IsDigit(*p); ++p) {
      if (exponent < 1'000'000) exponent = exponent * 10 + (*p - '0');
    }
    if (p == start) {
      at_ = p;
      return Fail("digits of an exponent");
    }
    out->exponent += minus ? -exponent : exponent;
    out->integer = false;
  }
  // Leading zeros ("0.000123") are no digits of the mantissa.
  if (count > 19) {
    for (const char* q = first; q < p && (*q == '0' || *q == '.'); ++q) count -= *q == '0' ? 1 : 0;
  }
  out->digits = count;
  out->dropped = count > 19;
  out->mantissa = mantissa;
  out->end = p;
  at_ = p;
  return true;
}

bool JsonReader::LexSpecial(bool negative, double* out) {
  const std::string_view rest(at_, remaining());
  const auto is = [&rest](std::string_view word) { return rest.substr(0, word.size()) == word; };
  if (is("NaN")) {
    at_ += 3;
    *out = std::numeric_limits<double>::quiet_NaN();
    return true;
  }
  if (!is("Inf")) return Fail("a value");
  at_ += is("Infinity") ? 8 : 3;
  *out = negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  return true;
}

[[gnu::always_inline]] inline bool JsonReader::ConvertDouble(const Lexed& lexed, double* out) {
  constexpr std::uint64_t kExact = std::uint64_t{1} << 53;
  const std::int64_t exponent = lexed.exponent;
  if (!lexed.dropped && exponent >= -kMaxExactPower && exponent <= kMaxExactPower) {
    const auto power = static_cast<std::size_t>(exponent < 0 ? -exponent : exponent);
    if (lexed.mantissa <= kExact && power <= kMaxDoublePower) {
      // Both are exact doubles, so one operation rounds once (Clinger's fast path). Signed conversion is the
      // cheap one.
      const auto mantissa = static_cast<double>(static_cast<std::int64_t>(lexed.mantissa));
      const double magnitude = exponent < 0 ? mantissa / kPowers[power] : mantissa * kPowers[power];
      *out = std::copysign(magnitude, lexed.negative ? -1.0 : 1.0);
      return true;
    }
    if constexpr (std::numeric_limits<long double>::digits == 64) {
      // The same with 64 bits of mantissa, which takes what printed floats and doubles look like (17 digits).
      // The second rounding to 53 bits is wrong only if the first one landed exactly between two doubles.
      const auto mantissa = static_cast<long double>(lexed.mantissa);
      const long double wide = exponent < 0 ? mantissa / kWidePowers[power] : mantissa * kWidePowers[power];
      std::uint64_t bits = 0;
      std::memcpy(&bits, &wide, sizeof(bits));
      if ((bits & 0x7FF) != 0x400) {
        const auto magnitude = static_cast<double>(wide);
        *out = lexed.negative ? -magnitude : magnitude;
        return true;
      }
    }
  }
  const auto [end, error] = std::from_chars(lexed.begin, lexed.end, *out);
  if (error == std::errc() && end == lexed.end) return true;
  // Out of range: tiny numbers are zero, huge ones have no value.
  if (lexed.exponent + lexed.digits < 0 || (!lexed.dropped && lexed.mantissa == 0)) {
    *out = lexed.negative ? -0.0 : 0.0;
    return true;
  }
  at_ = lexed.begin;
  return Fail("a number within the range of a double");
}

bool JsonReader::ReadDouble(double* out) {
  if (failed()) return false;
  SkipSpace();
  if (at_ < end_ && (*at_ == 'N' || *at_ == 'I')) return LexSpecial(false, out);
  if (end_ - at_ >= 2 && *at_ == '-' && (at_[1] == 'N' || at_[1] == 'I')) {
    ++at_;
    return LexSpecial(true, out);
  }
  Lexed lexed;
  return LexNumber(&lexed) && ConvertDouble(lexed, out);
}

template <typename T>
std::size_t JsonReader::ReadRun(T* out, std::size_t room) {
  const auto plain = [this] {
    return end_ - at_ >= 2 && (IsDigit(*at_) || (*at_ == '-' && IsDigit(at_[1])));
  };
  std::size_t count = 0;
  SkipSpace();
  const char* behind = at_;  // The element that was taken last.
  while (count < room && plain()) {
    Lexed lexed;
    double value = 0;
    if (!LexNumber(&lexed) || !ConvertDouble(lexed, &value)) return count;
    const auto narrow = static_cast<T>(value);
    if (std::isinf(narrow)) [[unlikely]]
      break;
    out[count++] = narrow;
    behind = at_;
    SkipSpace();
    if (at_ >= end_ || *at_ != ',') return count;
    ++at_;
    SkipSpace();
  }
  at_ = behind;
  return count;
}

std::size_t JsonReader::ReadFloats(float* out, std::size_t room) { return ReadRun(out, room); }
std::size_t JsonReader::ReadDoubles(double* out, std::size_t room) { return ReadRun(out, room); }

bool JsonReader::ReadNumber(JsonNumber* out) {
  *out = JsonNumber();
  if (failed()) return false;
  SkipSpace();
  const char* const start = at_;
  const char after = end_ - at_ >= 2 && *at_ == '-' ? at_[1] : at_ < end_ ? *at_ : '\0';
  if (after == 'N' || after == 'I') return ReadDouble(&out->value);
  Lexed lexed;
  if (!LexNumber(&lexed)) return false;
  out->negative = lexed.negative;
  out->integer = lexed.integer;
  if (lexed.integer && lexed.dropped) {
    // 20 digits may still fit: 18446744073709551615.
    const char* const digits = lexed.begin + (lexed.negative ? 1 : 0);
    const auto [end, error] = std::from_chars(digits, lexed.end, lexed.mantissa);
    out->integer = error == std::errc() && end == lexed.end;
  }
  if (out->integer) out->magnitude = lexed.mantissa;
  if (ConvertDouble(lexed, &out->value)) return true;
  at_ = start;
  return false;
}

bool JsonReader::Literal(std::string_view word) {
  if (failed()) return false;
  SkipSpace();
  if (std::string_view(at_, remaining()).substr(0, word.size()) != word) return Fail("a value");
  at_ += word.size();
  return true;
}

bool JsonReader::ReadBool(bool* out) {
  SkipSpace();
  *out = at_ < end_ && *at_ == 't';
  return Literal(*out ? "true" : "false");
}

bool JsonReader::ReadNull() { return Literal("null"); }

bool JsonReader::Skip() {
  switch (Peek()) {
    case JsonKind::kObject: {
      std::string_view key;
      if (!EnterObject()) return false;
      while (NextMember(&key)) {
        if (!Skip()) return false;
      }
      return !failed();
    }
    case JsonKind::kArray: {
      if (!EnterArray()) return false;
      while (NextElement()) {
        if (!Skip()) return false;
      }
      return !failed();
    }
    case JsonKind::kString: {
      std::string_view raw;
      bool escaped = false;
      return ScanString(&raw, &escaped) && (!escaped || Unescape(raw, nullptr));
    }
    case JsonKind::kNumber: {
      JsonNumber number;
      return ReadNumber(&number);
    }
    case JsonKind::kBool: {
      bool value = false;
      return ReadBool(&value);
    }
    case JsonKind::kNull:
      return ReadNull();
    case JsonKind::kNone:
      break;
  }
  return Fail("a value");
}

bool JsonReader::Finish() {
  if (failed()) return false;
  SkipSpace();
  return at_ == end_ || Fail("nothing after the value");
}

JsonReader::Mark JsonReader::Here() {
  SkipSpace();
  return {at_, depth_};
}

void JsonReader::GoTo(const Mark& mark) {
  at_ = mark.at;
  depth_ = mark.depth;
  fresh_ = false;
}

}  // namespace mezzo::api
