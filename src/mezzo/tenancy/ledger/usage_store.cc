#include "mezzo/tenancy/ledger/usage_store.h"

#include <algorithm>
#include <chrono>

namespace mezzo::tenancy {
namespace {

using storage::SqlRows;
using storage::SqlSession;
using storage::SqlStatement;
using storage::SqlValue;

constexpr std::array<std::string_view, kKeyParts> kKeyColumns = {"tenant", "project", "key_id",
                                                                 "model",  "version", "kind"};
constexpr std::array<std::string_view, kUsageFields> kUsageColumns = {"requests",  "failed",     "device_ns",
                                                                      "images",    "video_ms",   "bytes_in",
                                                                      "bytes_out", "cache_hits", "saved_ns"};

std::string UpsertInto(const std::string& table) {
  std::string columns = "start_us";
  std::string values = "$1";
  std::string key;
  std::string sums;
  int number = 2;
  for (const std::string_view column : kKeyColumns) {
    columns += ", " + std::string(column);
    values += ", $" + std::to_string(number++);
    key += ", " + std::string(column);
  }
  for (const std::string_view column : kUsageColumns) {
    const std::string name(column);
    columns += ", " + name;
    values += ", $" + std::to_string(number++);
    sums += (sums.empty() ? "" : ", ") + name + " = " + table + "." + name + " + excluded." + name;
  }
  return "INSERT INTO " + table + " (" + columns + ") VALUES (" + values + ") ON CONFLICT (start_us" + key +
         ") DO UPDATE SET " + sums;
}

using Sums = std::map<std::pair<std::int64_t, UsageKey>, Usage>;

std::vector<SqlValue> RowParams(std::int64_t start_us, const UsageKey& key, const Usage& usage) {
  std::vector<SqlValue> params = {start_us};
  for (const auto member : kKeyMembers) params.emplace_back(key.*member);
  for (const auto member : kUsageMembers) params.emplace_back(usage.*member);
  return params;
}

/// Locks the writer's row until the end of the transaction: one whose outcome is unknown may still be under
/// way.
Result<std::int64_t> LastPosted(SqlSession& session, const std::string& epoch, std::int64_t now_us) {
  MEZZO_TRY_VOID(
      session.Run("INSERT INTO usage_writers (epoch, sequence, updated_us) VALUES ($1, 0, $2) ON CONFLICT "
                  "(epoch) DO NOTHING",
                  {epoch, now_us}));
  MEZZO_TRY(const SqlRows rows,
            session.Run("UPDATE usage_writers SET updated_us = $2 WHERE epoch = $1 RETURNING sequence",
                        {epoch, now_us}));
  return rows.Int(0, 0);
}

}  // namespace

Result<void> UsageStore::Post(const std::string& epoch, std::span<const UsageRecord* const> records,
                              WallTime now, TimePoint deadline) {
  static const std::string hourly = UpsertInto("usage_hourly");
  static const std::string daily = UpsertInto("usage_daily");
  const std::int64_t now_us = std::chrono::floor<std::chrono::microseconds>(now.time_since_epoch()).count();
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(std::int64_t last, LastPosted(session, epoch, now_us));
    Sums hours;  // In order, so that two hosts lock rows in the same one.
    Sums days;
    for (const UsageRecord* record : records) {
      if (record->sequence <= last) continue;
      last = record->sequence;
      for (const UsageRecord::Row& row : record->rows) {
        hours[{StartOf(record->hour_us, kHourUs), row.key}] += row.usage;
        days[{StartOf(record->hour_us, kDayUs), row.key}] += row.usage;
      }
    }
    if (hours.empty()) return {};
    std::vector<SqlStatement> statements;
    statements.reserve(hours.size() + days.size() + 1);
    for (const auto& [at, usage] : hours)
      statements.push_back({.sql = hourly, .params = RowParams(at.first, at.second, usage)});
    for (const auto& [at, usage] : days)
      statements.push_back({.sql = daily, .params = RowParams(at.first, at.second, usage)});
    statements.push_back(
        {.sql = "UPDATE usage_writers SET sequence = $2 WHERE epoch = $1", .params = {epoch, last}});
    MEZZO_TRY_VOID(session.RunAll(statements));
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<void> UsageStore::Prune(std::int64_t before_us, std::int64_t epochs_before_us, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.Run("DELETE FROM usage_hourly WHERE start_us < $1", {before_us}));
    MEZZO_TRY_VOID(session.Run("DELETE FROM usage_writers WHERE updated_us < $1", {epochs_before_us}));
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<std::vector<UsageRow>> UsageReader::Read(const UsageQuery& query, TimePoint deadline) {
  // The text depends on the table and the set of groups alone: 128 in all.
  std::string columns = "start_us";
  for (const std::size_t part : query.group) columns += ", " + std::string(kKeyColumns.at(part));
  std::string sql = "SELECT " + columns;
  for (const std::string_view column : kUsageColumns)
    sql += ", CAST(SUM(" + std::string(column) + ") AS BIGINT)";
  sql += query.by_hour ? " FROM usage_hourly" : " FROM usage_daily";
  sql += " WHERE start_us >= $1 AND start_us < $2";
  std::vector<SqlValue> params = {query.from_us, query.to_us};
  for (std::size_t part = 0; part < kKeyParts; ++part) {
    const auto only = query.only.find(part);
    const std::string flag = "$" + std::to_string(params.size() + 1);
    const std::string value = "$" + std::to_string(params.size() + 2);
    sql += " AND (CAST(" + flag + " AS BIGINT) = 0 OR " + std::string(kKeyColumns.at(part)) + " = " + value +
           ")";
    params.emplace_back(std::int64_t{only == query.only.end() ? 0 : 1});
    params.emplace_back(only == query.only.end() ? std::string() : only->second);
  }
  sql += " GROUP BY " + columns + " ORDER BY " + columns + " LIMIT $" + std::to_string(params.size() + 1);
  params.emplace_back(static_cast<std::int64_t>(query.max_rows + 1));

  std::vector<UsageRow> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.clear();
    MEZZO_TRY(const SqlRows rows, session.Run(sql, params));
    if (rows.size() > query.max_rows) {
      return InvalidArgument("usage_too_much", "the report has more than " + std::to_string(query.max_rows) +
                                                   " rows: ask for less time or fewer groups");
    }
    for (std::size_t r = 0; r < rows.size(); ++r) {
      UsageRow row{.start_us = rows.Int(r, 0)};
      std::size_t column = 1;
      for (const std::size_t part : query.group) row.key.*kKeyMembers.at(part) = rows.Text(r, column++);
      for (const auto member : kUsageMembers) row.usage.*member = rows.Int(r, column++);
      found.push_back(std::move(row));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

}  // namespace mezzo::tenancy
