#include "mezzo/lifecycle/cron.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"

namespace mezzo::lifecycle {
namespace {

/// The 29th of February on one day of the week comes within 40 years, over a century without a leap year too.
constexpr int kLongestDays = 366 * 41;

Error Bad(std::string_view text, const std::string& why) {
  return InvalidArgument("pipeline_schedule", "the schedule '" + Printable(text, 100) + "' " + why);
}

struct FieldRule {
  const char* name;
  unsigned min;
  unsigned max;
};

/// One of the parts between commas.
template <typename Bits>
Result<void> AddPart(std::string_view text, std::string_view part, const FieldRule& rule, Bits& bits) {
  const auto wrong = [&](const std::string& why) {
    return Bad(text, "has a bad " + std::string(rule.name) + " '" + Printable(part, 40) + "': " + why);
  };
  const std::string range = "it must be from " + std::to_string(rule.min) + " to " + std::to_string(rule.max);
  std::string_view body = part;
  std::uint64_t step = 1;
  bool stepped = false;
  if (const auto slash = part.find('/'); slash != std::string_view::npos) {
    const auto parsed = ParseUint(part.substr(slash + 1));
    if (!parsed || *parsed == 0 || *parsed > rule.max)
      return wrong("a step is a number from 1 to " + std::to_string(rule.max));
    step = *parsed;
    stepped = true;
    body = part.substr(0, slash);
  }
  std::uint64_t from = rule.min;
  std::uint64_t to = rule.max;
  if (body != "*") {
    const auto dash = body.find('-');
    const auto first = ParseUint(body.substr(0, dash));
    if (!first || *first < rule.min || *first > rule.max) return wrong(range);
    from = *first;
    to = *first;
    if (dash != std::string_view::npos) {
      const auto last = ParseUint(body.substr(dash + 1));
      if (!last || *last < rule.min || *last > rule.max) return wrong(range);
      if (*last < from) return wrong("the range ends before it begins");
      to = *last;
    } else if (stepped) {
      return wrong("a step needs a range or '*'");
    }
  }
  for (std::uint64_t value = from; value <= to; value += step) bits.set(value % bits.size());
  return {};
}

template <typename Bits>
Result<void> AddField(std::string_view text, std::string_view field, const FieldRule& rule, Bits& bits) {
  for (const std::string_view part : Split(field, ',')) MEZZO_TRY_VOID(AddPart(text, part, rule, bits));
  return {};
}

}  // namespace

Result<Cron> Cron::Parse(std::string_view text) {
  constexpr std::size_t kMaxText = 200;
  if (text.size() > kMaxText) return Bad(text, "has more than 200 bytes");
  std::vector<std::string_view> fields;
  for (const std::string_view field : Split(text, ' ')) {
    if (!field.empty()) fields.push_back(field);
  }
  if (fields.size() != 5)
    return Bad(text, "has " + std::to_string(fields.size()) +
                         " fields; it must have 5: minute, hour, day of the month, month, day of the week");
  Cron cron;
  MEZZO_TRY_VOID(AddField(text, fields[0], {"minute", 0, 59}, cron.minutes_));
  MEZZO_TRY_VOID(AddField(text, fields[1], {"hour", 0, 23}, cron.hours_));
  MEZZO_TRY_VOID(AddField(text, fields[2], {"day of the month", 1, 31}, cron.days_));
  MEZZO_TRY_VOID(AddField(text, fields[3], {"month", 1, 12}, cron.months_));
  MEZZO_TRY_VOID(AddField(text, fields[4], {"day of the week", 0, 7}, cron.weekdays_));  // 7 is 0.
  cron.any_day_ = fields[2].front() == '*';
  cron.any_weekday_ = fields[4].front() == '*';
  if (!cron.Find(WallTime())) return Bad(text, "never comes");
  return cron;
}

bool Cron::FitsDay(unsigned month, unsigned day, unsigned weekday) const {
  if (!months_.test(month)) return false;
  const bool of_month = days_.test(day);
  const bool of_week = weekdays_.test(weekday);
  return any_day_ || any_weekday_ ? of_month && of_week : of_month || of_week;
}

std::optional<WallTime> Cron::Find(WallTime time) const {
  using std::chrono::days;
  using std::chrono::hours;
  using std::chrono::minutes;
  const auto first = std::chrono::floor<minutes>(time) + minutes(1);
  auto day = std::chrono::floor<days>(first);
  auto in_day = std::chrono::duration_cast<minutes>(first - day).count();
  for (int i = 0; i < kLongestDays; ++i, day += days(1), in_day = 0) {
    const std::chrono::year_month_day date(day);
    const std::chrono::weekday weekday(day);
    if (!FitsDay(static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                 weekday.c_encoding()))
      continue;
    for (auto minute = in_day; minute < 24 * 60; ++minute) {
      if (!hours_.test(static_cast<std::size_t>(minute / 60))) {
        minute += 59 - minute % 60;
        continue;
      }
      if (minutes_.test(static_cast<std::size_t>(minute % 60))) return WallTime(day + minutes(minute));
    }
  }
  return std::nullopt;
}

WallTime Cron::Next(WallTime time) const {
  const auto next = Find(time);
  MEZZO_CHECK(next.has_value());  // Parse() has found one.
  return *next;
}

}  // namespace mezzo::lifecycle
