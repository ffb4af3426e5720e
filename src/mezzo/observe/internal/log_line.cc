#include "mezzo/observe/internal/log_line.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "mezzo/base/utf8.h"

namespace mezzo::observe::internal {
namespace {

// Kept free for closing quotes, suppressed=N, truncated=true and the line feed.
constexpr std::size_t kTail = 96;
constexpr std::size_t kRoom = Logger::kMaxLine - kTail;

/// C1 controls (U+0080 to U+009F) are two bytes of valid UTF-8 that terminals obey.
bool IsC1(std::string_view character) {
  return character.size() == 2 && character[0] == '\xC2' && static_cast<unsigned char>(character[1]) < 0xA0;
}

/// Text for a terminal: quoted when it has to be, control characters and bad bytes as \xNN. False when cut.
bool AppendConsole(std::string& out, std::string_view text, std::size_t limit, bool quote) {
  const std::size_t end = out.size() + limit;
  if (quote) out += '"';
  bool whole = true;
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(1, Utf8Length(text));
    const std::string_view character = text.substr(0, length);
    const auto byte = static_cast<unsigned char>(character[0]);
    if (out.size() + 8 > end) {
      whole = false;
      break;
    }
    if (Utf8Length(text) == 0 || byte < 0x20 || byte == 0x7F || IsC1(character)) {
      for (const char c : character) {
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
      }
    } else if (byte == '\\' || (quote && byte == '"')) {
      out += '\\';
      out += character;
    } else {
      out += character;
    }
    text.remove_prefix(length);
  }
  if (quote) out += '"';
  return whole;
}

std::size_t RoomLeft(const std::string& out) { return out.size() < kRoom ? kRoom - out.size() : 0; }

bool NeedsQuotes(std::string_view text) {
  const auto plain = [](unsigned char c) {
    return c > 0x20 && c < 0x7F && c != '"' && c != '=' && c != '\\';
  };
  return text.empty() || !std::ranges::all_of(text, plain);
}

void AppendDouble(std::string& out, double value, LogFormat format) {
  if (std::isfinite(value)) {
    fmt::format_to(std::back_inserter(out), "{}", value);
  } else {
    // JSON has no number for these.
    const std::string_view text = std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
    const std::string_view quote = format == LogFormat::kJson ? "\"" : "";
    out.append(quote).append(text).append(quote);
  }
}

bool AppendText(std::string& out, std::string_view text, LogFormat format) {
  if (format == LogFormat::kConsole) return AppendConsole(out, text, RoomLeft(out), NeedsQuotes(text));
  out += '"';
  const bool whole = AppendJsonEscaped(out, text, RoomLeft(out));
  out += '"';
  return whole;
}

bool AppendFieldValue(std::string& out, const LogField::Value& value, LogFormat format) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return AppendText(out, *text, format);
  if (const auto* real = std::get_if<double>(&value)) {
    AppendDouble(out, *real, format);
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    out += *flag ? "true" : "false";
  } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
    fmt::format_to(std::back_inserter(out), "{}", *number);
  } else {
    fmt::format_to(std::back_inserter(out), "{}", std::get<std::uint64_t>(value));
  }
  return true;
}

void AppendKey(std::string& out, std::string_view key, LogFormat format) {
  if (format == LogFormat::kConsole) {
    out.append(" ").append(key).append("=");
    return;
  }
  out.append(",\"").append(key);
  // A second "msg" would make readers disagree on which one counts.
  if (key == "ts" || key == "level" || key == "msg" || key == "suppressed" || key == "truncated") out += '_';
  out += "\":";
}

bool AppendHead(std::string& out, const LogEvent& event, LogFormat format) {
  if (format == LogFormat::kJson) {
    fmt::format_to(std::back_inserter(out), R"({{"ts":"{}","level":"{}","msg":)", FormatRfc3339(event.at),
                   LogLevelName(event.level));
    return AppendText(out, event.message, format);
  }
  fmt::format_to(std::back_inserter(out), "{} {:<5} ", FormatRfc3339(event.at), LogLevelName(event.level));
  return AppendConsole(out, event.message, RoomLeft(out), false);
}

}  // namespace

std::string FormatRfc3339(WallTime time) {
  using std::chrono::days;
  using std::chrono::floor;
  time = std::max(time, WallTime{});
  const auto day = floor<days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(floor<std::chrono::milliseconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

void FormatLogLine(const LogEvent& event, LogFormat format, std::string& out) {
  out.clear();
  bool whole = AppendHead(out, event, format);
  for (const LogField& field : event.fields) {
    const std::size_t before = out.size();
    AppendKey(out, field.key, format);
    const bool field_whole = AppendFieldValue(out, field.value, format);
    // A key or number past the room leaves no sensible part; a text was cut within it.
    if (out.size() > kRoom + 2) out.resize(before);
    if (!field_whole || out.size() == before) {
      whole = false;
      break;
    }
  }
  const bool json = format == LogFormat::kJson;
  if (event.suppressed > 0) {
    fmt::format_to(std::back_inserter(out), "{}{}",
                   json ? ",\"suppressed\":" : " suppressed=", event.suppressed);
  }
  if (!whole) out += json ? ",\"truncated\":true" : " truncated=true";
  if (json) out += '}';
  out += '\n';
}

}  // namespace mezzo::observe::internal
