#include "mezzo/observe/trace_context.h"

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"

namespace mezzo::observe {
namespace {

constexpr std::size_t kTraceParentBytes = 55;
constexpr std::size_t kLongMemberBytes = 128;

std::optional<std::uint8_t> HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  return std::nullopt;  // Upper case is not allowed in traceparent.
}

bool ParseHex(std::string_view text, std::span<std::uint8_t> out) {
  if (text.size() != out.size() * 2) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto high = HexDigit(text[2 * i]);
    const auto low = HexDigit(text[2 * i + 1]);
    if (!high || !low) return false;
    out[i] = static_cast<std::uint8_t>(*high * 16 + *low);
  }
  return true;
}

Error BadTraceParent(std::string_view why, std::string_view header) {
  return InvalidArgument("invalid_traceparent",
                         "traceparent " + std::string(why) + ": '" + Printable(header, 64) + "'");
}

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool IsKeyPart(std::string_view text, std::size_t longest) {
  const auto allowed = [](char c) {
    return IsLowerOrDigit(c) || c == '_' || c == '-' || c == '*' || c == '/';
  };
  return !text.empty() && text.size() <= longest && std::ranges::all_of(text, allowed);
}

bool IsMember(std::string_view member) {
  const std::size_t equals = member.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view key = member.substr(0, equals);
  const std::string_view value = member.substr(equals + 1);
  const std::size_t at = key.find('@');
  const bool key_ok = at == std::string_view::npos
                          ? IsKeyPart(key, 256) && IsLowerOrDigit(key[0])
                          : IsKeyPart(key.substr(0, at), 241) && IsLowerOrDigit(key[0]) &&
                                IsKeyPart(key.substr(at + 1), 14) && IsLowerOrDigit(key[at + 1]);
  const auto visible = [](char c) { return c >= 0x20 && c <= 0x7E && c != ',' && c != '='; };
  return key_ok && !value.empty() && value.size() <= 256 && std::ranges::all_of(value, visible);
}

std::size_t JoinedSize(const std::vector<std::string_view>& members) {
  std::size_t size = members.empty() ? 0 : members.size() - 1;
  for (const std::string_view member : members) size += member.size();
  return size;
}

/// The members in order, without empty ones; nothing when one is malformed, twice there, or there are too
/// many.
std::vector<std::string_view> ParseMembers(std::string_view header) {
  std::vector<std::string_view> members;
  for (const std::string_view part : Split(header, ',')) {
    const std::string_view member = Trim(part);
    if (member.empty()) continue;
    const std::string_view key = member.substr(0, member.find('=') + 1);
    const bool repeated =
        std::ranges::any_of(members, [key](std::string_view other) { return other.starts_with(key); });
    if (!IsMember(member) || repeated || members.size() == kMaxTraceStateMembers) return {};
    members.push_back(member);
  }
  return members;
}

}  // namespace

namespace internal {
std::string HexOf(const std::uint8_t* bytes, std::size_t count) { return HexEncode(std::span(bytes, count)); }
}  // namespace internal

TraceId NewTraceId() {
  TraceId id;
  do RandomBytes(id.bytes.data(), id.bytes.size());
  while (id.empty());
  return id;
}

SpanId NewSpanId() {
  SpanId id;
  do RandomBytes(id.bytes.data(), id.bytes.size());
  while (id.empty());
  return id;
}

Result<TraceContext> ParseTraceParent(std::string_view header) {
  if (header.size() < kTraceParentBytes) return BadTraceParent("is shorter than 55 bytes", header);
  if (header[2] != '-' || header[35] != '-' || header[52] != '-') {
    return BadTraceParent("lacks a dash after version, trace id or parent id", header);
  }
  std::array<std::uint8_t, 1> version{};
  std::array<std::uint8_t, 1> flags{};
  TraceContext context;
  if (!ParseHex(header.substr(0, 2), version))
    return BadTraceParent("has a version that is not lower-case hex", header);
  if (version[0] == 0xFF) return BadTraceParent("has the forbidden version ff", header);
  if (version[0] == 0 && header.size() != kTraceParentBytes) {
    return BadTraceParent("of version 00 is longer than 55 bytes", header);
  }
  if (header.size() > kTraceParentBytes && header[kTraceParentBytes] != '-') {
    return BadTraceParent("lacks a dash after its flags", header);
  }
  if (!ParseHex(header.substr(3, 32), context.trace_id.bytes)) {
    return BadTraceParent("has a trace id that is not lower-case hex", header);
  }
  if (!ParseHex(header.substr(36, 16), context.span_id.bytes)) {
    return BadTraceParent("has a parent id that is not lower-case hex", header);
  }
  if (!ParseHex(header.substr(53, 2), flags))
    return BadTraceParent("has flags that are not lower-case hex", header);
  if (context.trace_id.empty()) return BadTraceParent("has an all-zero trace id", header);
  if (context.span_id.empty()) return BadTraceParent("has an all-zero parent id", header);
  context.sampled = (flags[0] & 1U) != 0;
  return context;
}

std::string FormatTraceParent(const TraceContext& context) {
  std::string text = "00-";
  text.reserve(kTraceParentBytes);
  text.append(context.trace_id.Hex()).append("-").append(context.span_id.Hex());
  return text.append(context.sampled ? "-01" : "-00");
}

std::string LimitTraceState(std::string_view header) {
  // A member is two bytes at least with its comma: no valid header within reach is longer than this, and a
  // hostile one is not worth splitting.
  if (header.size() > kMaxTraceStateMembers * 1024) return {};
  std::vector<std::string_view> members = ParseMembers(header);
  while (JoinedSize(members) > kMaxTraceStateBytes) {
    const auto is_long = [](std::string_view member) { return member.size() > kLongMemberBytes; };
    const auto victim = std::ranges::find_if(members.rbegin(), members.rend(), is_long);
    members.erase(victim == members.rend() ? members.end() - 1 : victim.base() - 1);
  }
  std::string joined;
  for (const std::string_view member : members) {
    if (!joined.empty()) joined += ',';
    joined += member;
  }
  return joined;
}

}  // namespace mezzo::observe
