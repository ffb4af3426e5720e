#include "mezzo/api/json_text.h"

#include <simdjson.h>

#include <array>
#include <charconv>
#include <cmath>

#include "mezzo/net/http_types.h"

namespace mezzo::api {
namespace {

constexpr std::size_t kNumberRoom = 40;

bool NeedsEscape(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; }

template <typename T>
void AppendInteger(T value, std::string* out) {
  std::array<char, kNumberRoom> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out->append(text.data(), end);
}

template <typename T>
void AppendFloat(T value, std::string* out) {
  if (!std::isfinite(value)) [[unlikely]] {
    out->append(std::isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
    return;
  }
  std::array<char, kNumberRoom> text;
  char* end = std::to_chars(text.data(), text.data() + text.size() - 2, value).ptr;
  bool whole = true;
  for (const char* p = text.data(); p != end; ++p) whole = whole && *p != '.' && *p != 'e';
  if (whole) {
    *end++ = '.';
    *end++ = '0';
  }
  out->append(text.data(), end);
}

}  // namespace

bool IsUtf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

void AppendJsonUtf8(std::string_view text, std::string* out) {
  *out += '"';
  std::size_t plain = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!NeedsEscape(text[i])) [[likely]]
      continue;
    out->append(text.substr(plain, i - plain));
    out->append(net::JsonEscape(text.substr(i, 1)));
    plain = i + 1;
  }
  out->append(text.substr(plain));
  *out += '"';
}

void AppendJsonString(std::string_view text, std::string* out) {
  if (IsUtf8(text)) {
    AppendJsonUtf8(text, out);
    return;
  }
  *out += '"';
  out->append(net::JsonEscape(text));
  *out += '"';
}

void AppendJsonInteger(std::int64_t value, std::string* out) { AppendInteger(value, out); }
void AppendJsonInteger(std::uint64_t value, std::string* out) { AppendInteger(value, out); }
void AppendJsonFloat(float value, std::string* out) { AppendFloat(value, out); }
void AppendJsonFloat(double value, std::string* out) { AppendFloat(value, out); }

}  // namespace mezzo::api
