#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"

namespace mezzo::api {

enum class JsonKind : std::uint8_t { kObject, kArray, kString, kNumber, kBool, kNull, kNone };

/// A JSON number as it stands: exact when it is an integer of up to 64 bits, and always as a double.
struct JsonNumber {
  bool integer = false;  ///< No fraction, no exponent, |value| fits in 64 bits.
  bool negative = false;
  std::uint64_t magnitude = 0;  ///< When `integer`.
  double value = 0;
};

/// Reads one JSON text (RFC 8259) front to back without building a tree: time is linear, memory constant.
///
/// As Triton's reader does, NaN, Inf and Infinity (with or without a minus) are taken for numbers. Everything
/// that is read or skipped is checked: grammar, UTF-8, surrogates, depth. Functions return false on the first
/// failure and for ever after; error() then says what and where. Asking for the wrong kind is such a failure.
///
/// Views returned point into the text, or into the reader for strings with escapes; both stay valid while the
/// text and the reader live. Not thread-safe.
class JsonReader {
 public:
  JsonReader(std::string_view text, std::size_t max_depth);
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  /// What comes next; kNone at the end of the text, and for what can't start a value.
  [[nodiscard]] JsonKind Peek();

  /// while (reader.NextMember(&key)) { read or skip exactly one value }. NextMember is false at the end of
  /// the object and on failure: see failed().
  bool EnterObject();
  bool NextMember(std::string_view* key);
  /// The same for arrays: while (reader.NextElement()) { ... }.
  bool EnterArray();
  bool NextElement();

  bool ReadString(std::string_view* out);
  bool ReadNumber(JsonNumber* out);
  /// Any number as the nearest double; fails for those beyond its range.
  bool ReadDouble(double* out);
  /// Where an element of an array starts: takes it and those after it while they are plain numbers in the
  /// range of the type, at most `room`, and returns how many. Then NextElement() goes on; after 0 the element
  /// is still there.
  std::size_t ReadFloats(float* out, std::size_t room);
  std::size_t ReadDoubles(double* out, std::size_t room);
  bool ReadBool(bool* out);
  bool ReadNull();
  /// Checks and passes over any value.
  bool Skip();
  /// True when only white space is left.
  bool Finish();

  /// A place to come back to, taken where a value starts.
  struct Mark {
    const char* at = nullptr;
    std::size_t depth = 0;
  };
  [[nodiscard]] Mark Here();
  void GoTo(const Mark& mark);

  /// Bytes not yet read; an upper bound for the values still to come.
  [[nodiscard]] std::size_t remaining() const { return static_cast<std::size_t>(end_ - at_); }
  [[nodiscard]] bool failed() const { return problem_ != Problem::kNone; }
  /// kInvalidArgument "json_malformed" or "json_too_deep". Only after a failure.
  [[nodiscard]] Error error() const;
  /// "an object", "a string", "null": for messages.
  [[nodiscard]] static std::string_view KindName(JsonKind kind);

 private:
  enum class Problem : std::uint8_t { kNone, kMalformed, kTooDeep };
  struct Lexed;

  bool Fail(const char* expected);
  void SkipSpace();
  bool CheckUtf8();
  bool ScanString(std::string_view* raw, bool* escaped);
  bool Unescape(std::string_view raw, std::string* out);
  bool LexNumber(Lexed* out);
  template <typename T>
  std::size_t ReadRun(T* out, std::size_t room);
  bool LexSpecial(bool negative, double* out);
  bool ConvertDouble(const Lexed& lexed, double* out);
  bool Literal(std::string_view word);
  bool Enter(char open, const char* expected);

  const char* const begin_;
  const char* at_;
  const char* const end_;
  const std::size_t max_depth_;
  std::size_t depth_ = 0;
  bool fresh_ = false;  // The innermost container has been entered and nothing in it asked for.
  bool utf8_checked_ = false;
  Problem problem_ = Problem::kNone;
  const char* expected_ = "";
  std::vector<std::unique_ptr<std::string>> unescaped_;  // By pointer: views into them must stay.
};

}  // namespace mezzo::api
