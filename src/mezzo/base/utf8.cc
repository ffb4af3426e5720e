#include "mezzo/base/utf8.h"

#include <array>

namespace mezzo {
namespace {

bool IsContinuation(std::string_view text, std::size_t i) {
  return i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U;
}

/// The escape of one ASCII character in a JSON string, or nothing when it stands for itself.
std::string_view JsonEscape(unsigned char c, std::array<char, 6>& buffer) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  if (c >= 0x20 && c != 0x7F) return {};
  constexpr std::string_view kHex = "0123456789abcdef";
  buffer = {'\\', 'u', '0', '0', kHex[c >> 4U], kHex[c & 15U]};
  return {buffer.data(), buffer.size()};
}

}  // namespace

std::size_t Utf8Length(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const unsigned char second = text.size() > 1 ? static_cast<unsigned char>(text[1]) : 0;
  if (lead >= 0xC2 && lead <= 0xDF) return IsContinuation(text, 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    // Overlong forms and surrogates are not UTF-8 (RFC 3629).
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
    return IsContinuation(text, 1) && IsContinuation(text, 2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
    return IsContinuation(text, 1) && IsContinuation(text, 2) && IsContinuation(text, 3) ? 4 : 0;
  }
  return 0;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool AppendJsonEscaped(std::string& out, std::string_view text, std::size_t limit) {
  std::array<char, 6> buffer{};
  std::size_t used = 0;
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    std::string_view piece = length == 0 ? std::string_view("\\ufffd") : text.substr(0, length);
    if (length == 1) {
      if (const auto escape = JsonEscape(static_cast<unsigned char>(text[0]), buffer); !escape.empty())
        piece = escape;
    }
    if (used + piece.size() > limit) return false;
    out.append(piece);
    used += piece.size();
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return true;
}

std::string ToUtf8(std::string_view text, std::size_t limit) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    const std::string_view piece = length == 0 ? std::string_view("?") : text.substr(0, length);
    if (out.size() + piece.size() > limit) break;
    out.append(piece);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace mezzo
