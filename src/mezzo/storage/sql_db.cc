#include "mezzo/storage/sql_db.h"

#include <utility>

#include "mezzo/base/check.h"

namespace mezzo::storage {

SqlRows::SqlRows(std::size_t columns, std::vector<SqlValue> values, std::int64_t affected)
    : columns_(columns), values_(std::move(values)), affected_(affected) {
  MEZZO_CHECK(columns_ == 0 ? values_.empty() : values_.size() % columns_ == 0);
}

const SqlValue& SqlRows::At(std::size_t row, std::size_t column) const {
  MEZZO_CHECK(row < size() && column < columns_);
  return values_[row * columns_ + column];
}

bool SqlRows::IsNull(std::size_t row, std::size_t column) const {
  return std::holds_alternative<std::monostate>(At(row, column));
}

std::int64_t SqlRows::Int(std::size_t row, std::size_t column) const {
  const auto* value = std::get_if<std::int64_t>(&At(row, column));
  MEZZO_CHECK(value != nullptr);
  return *value;
}

double SqlRows::Real(std::size_t row, std::size_t column) const {
  const SqlValue& value = At(row, column);
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  const auto* real = std::get_if<double>(&value);
  MEZZO_CHECK(real != nullptr);
  return *real;
}

const std::string& SqlRows::Text(std::size_t row, std::size_t column) const {
  const auto* value = std::get_if<std::string>(&At(row, column));
  MEZZO_CHECK(value != nullptr);
  return *value;
}

const std::string& SqlRows::Blob(std::size_t row, std::size_t column) const {
  const auto* value = std::get_if<SqlBlob>(&At(row, column));
  MEZZO_CHECK(value != nullptr);
  return value->bytes;
}

Result<std::vector<SqlRows>> SqlDb::TransactAll(std::span<const SqlStatement> statements,
                                                std::span<const SqlNotification> notifications,
                                                TimePoint deadline) {
  std::vector<SqlRows> rows;
  const Work work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows, session.RunAll(statements));
    for (const SqlNotification& notification : notifications) MEZZO_TRY_VOID(session.Notify(notification));
    return {};
  };
  MEZZO_TRY_VOID(Transact(work, deadline));
  return rows;
}

}  // namespace mezzo::storage
