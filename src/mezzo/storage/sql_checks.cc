#include "mezzo/storage/sql_checks.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "mezzo/base/strings.h"
#include "mezzo/base/utf8.h"

namespace mezzo::storage {
namespace {

constexpr std::size_t kMaxChannelBytes = 63;  // PostgreSQL cuts longer identifiers (NAMEDATALEN - 1).
constexpr std::size_t kMaxPayloadBytes = 4000;

bool IsSqlText(std::string_view text) { return text.find('\0') == std::string_view::npos && IsUtf8(text); }

bool IsGood(const SqlValue& value) {
  if (const auto* real = std::get_if<double>(&value)) return !std::isnan(*real);
  if (const auto* text = std::get_if<std::string>(&value)) return IsSqlText(*text);
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    return std::all_of(texts->begin(), texts->end(), [](const std::string& text) { return IsSqlText(text); });
  }
  return true;
}

}  // namespace

Result<void> CheckSqlParams(std::span<const SqlValue> params) {
  for (std::size_t i = 0; i < params.size(); ++i) {
    if (!IsGood(params[i])) {
      return InvalidArgument("sql_bad_value",
                             "parameter $" + std::to_string(i + 1) + " is NaN, not UTF-8, or holds a NUL");
    }
  }
  return {};
}

bool IsSqlChannel(std::string_view name) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto word = [&](char c) { return (c >= 'a' && c <= 'z') || digit(c) || c == '_'; };
  return !name.empty() && name.size() <= kMaxChannelBytes && !digit(name.front()) &&
         std::all_of(name.begin(), name.end(), word);
}

Result<void> CheckSqlNotification(const SqlNotification& notification) {
  if (!IsSqlChannel(notification.channel)) {
    return InvalidArgument("sql_bad_notification",
                           "'" + Printable(notification.channel) + "' can't be the name of a channel");
  }
  if (notification.payload.size() > kMaxPayloadBytes || !IsSqlText(notification.payload)) {
    return InvalidArgument("sql_bad_notification", "a notification on '" + std::string(notification.channel) +
                                                       "' needs a text of at most " +
                                                       std::to_string(kMaxPayloadBytes) + " bytes");
  }
  return {};
}

}  // namespace mezzo::storage
