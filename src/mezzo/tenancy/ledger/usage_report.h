#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/tenancy/ledger/price_book.h"
#include "mezzo/tenancy/ledger/usage_store.h"

namespace mezzo::tenancy {

/// Usage with what it costs.
struct UsageReport {
  struct Row {
    UsageRow sum;
    std::int64_t cost_micros = 0;
  };
  std::vector<Row> rows;  ///< In the order of time and key.
  Row total;
  std::string currency;         ///< Empty: there are no prices, and all costs are 0.
  std::set<std::size_t> group;  ///< What rows are kept apart by: positions of kKeyNames.
};

/// Reads and prices. Prices depend on the model, so what is not grouped by it is read so and added up here.
/// Errors: UsageReader's and PriceStore's.
Result<UsageReport> MakeReport(UsageReader& reader, PriceStore& prices, UsageQuery query, TimePoint deadline);

/// RFC 4180, with a header line; lines end in CR LF. A text that a spreadsheet would take for a formula (it
/// begins with one of = + - @, a tab or a carriage return) has a single quote in front.
std::string ReportCsv(const UsageReport& report);

/// "2026-11-22T21:00:00Z".
std::string TimeText(std::int64_t us);
/// "2026-11-22", "2026-11-22T21", "2026-11-22T21:05", "2026-11-22T21:05:30", each with an optional Z: UTC.
/// kInvalidArgument "time_invalid".
Result<std::int64_t> ParseTime(std::string_view text);

}  // namespace mezzo::tenancy
