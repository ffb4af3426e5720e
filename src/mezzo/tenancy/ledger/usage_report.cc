#include "mezzo/tenancy/ledger/usage_report.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"

namespace mezzo::tenancy {
namespace {

constexpr std::size_t kModelPart = 3;
static_assert(kKeyNames[kModelPart] == "model");

constexpr std::string_view kFormulaStarts = "=+-@\t\r";

std::string CsvText(std::string text) {
  if (!text.empty() && kFormulaStarts.find(text.front()) != std::string_view::npos) text.insert(0, 1, '\'');
  if (text.find_first_of("\",\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

/// A fixed number of digits, nothing else; false when there are not that many.
bool TakeNumber(std::string_view& text, std::size_t digits, unsigned& out) {
  if (text.size() < digits) return false;
  const std::string_view part = text.substr(0, digits);
  if (!std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; })) return false;
  out = static_cast<unsigned>(ParseUint(part).value_or(0));
  text.remove_prefix(digits);
  return true;
}

bool TakeChar(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

Result<UsageReport> MakeReport(UsageReader& reader, PriceStore& prices, UsageQuery query,
                               TimePoint deadline) {
  UsageReport report;
  report.group = query.group;
  query.group.insert(kModelPart);
  MEZZO_TRY(const std::vector<UsageRow> rows, reader.Read(query, deadline));
  MEZZO_TRY(const PriceBook book, prices.Load(deadline));
  report.currency = book.currency();
  std::map<std::pair<std::int64_t, UsageKey>, UsageReport::Row> sums;
  for (const UsageRow& row : rows) {
    UsageKey key = row.key;
    if (!report.group.contains(kModelPart)) key.model.clear();
    const std::int64_t cost = book.Cost(row.key.model, row.usage, row.start_us);
    UsageReport::Row& sum = sums[{row.start_us, key}];
    sum.sum.start_us = row.start_us;
    sum.sum.key = std::move(key);
    sum.sum.usage += row.usage;
    sum.cost_micros += cost;
    report.total.sum.usage += row.usage;
    report.total.cost_micros += cost;
  }
  report.rows.reserve(sums.size());
  for (auto& [at, row] : sums) report.rows.push_back(std::move(row));
  return report;
}

std::string ReportCsv(const UsageReport& report) {
  std::string csv = "start";
  for (const std::size_t part : report.group) csv += "," + std::string(kKeyNames.at(part));
  csv +=
      ",requests,failed,device_ms,images,video_seconds,bytes_in,bytes_out,cache_hits,saved_ms,cost,"
      "currency\r\n";
  for (const UsageReport::Row& row : report.rows) {
    const Usage& usage = row.sum.usage;
    csv += TimeText(row.sum.start_us);
    for (const std::size_t part : report.group) csv += "," + CsvText(row.sum.key.*kKeyMembers.at(part));
    csv += fmt::format(",{},{},{:.3f},{},{:.3f},{},{},{},{:.3f},{:.6f},{}\r\n", usage.requests, usage.failed,
                       static_cast<double>(usage.device_ns) / 1e6, usage.images,
                       static_cast<double>(usage.video_ms) / 1e3, usage.bytes_in, usage.bytes_out,
                       usage.cache_hits, static_cast<double>(usage.saved_ns) / 1e6,
                       static_cast<double>(row.cost_micros) / 1e6, report.currency);
  }
  return csv;
}

std::string TimeText(std::int64_t us) {
  using namespace std::chrono;
  const sys_seconds time = floor<seconds>(sys_time<microseconds>(microseconds(us)));
  const sys_days day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

Result<std::int64_t> ParseTime(std::string_view text) {
  const Error bad = InvalidArgument(
      "time_invalid", "'" + Printable(text, 64) + "' is no time: 2026-01-31 or 2026-01-31T18:00:00Z");
  std::string_view rest = text;
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  if (!TakeNumber(rest, 4, year) || !TakeChar(rest, '-') || !TakeNumber(rest, 2, month) ||
      !TakeChar(rest, '-') || !TakeNumber(rest, 2, day)) {
    return bad;
  }
  if (TakeChar(rest, 'T')) {
    if (!TakeNumber(rest, 2, hour)) return bad;
    if (TakeChar(rest, ':') && !TakeNumber(rest, 2, minute)) return bad;
    if (TakeChar(rest, ':') && !TakeNumber(rest, 2, second)) return bad;
  }
  (void)TakeChar(rest, 'Z');
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (!rest.empty() || !date.ok() || year < 1970 || hour > 23 || minute > 59 || second > 59) return bad;
  const auto days = std::chrono::sys_days(date).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(days).count() +
         (std::int64_t{hour} * 3600 + minute * 60 + second) * 1'000'000;
}

}  // namespace mezzo::tenancy
