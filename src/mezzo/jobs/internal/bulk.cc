#include "mezzo/jobs/internal/bulk.h"

#include <utility>

#include "mezzo/base/check.h"

namespace mezzo::jobs::internal {
namespace {

using storage::SqlRows;
using storage::SqlStatement;
using storage::SqlValue;

void ReplaceAll(std::string& text, std::string_view word, std::string_view by) {
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + by.size()))
    text.replace(at, word.size(), by);
}

std::size_t RowsOf(const BulkColumn& column) {
  return std::visit([](const auto& values) { return values.size(); }, column);
}

/// The rows of all statements as those of one.
SqlRows Join(const std::vector<SqlRows>& parts) {
  std::size_t columns = 0;
  std::int64_t affected = 0;
  std::vector<SqlValue> values;
  for (const SqlRows& part : parts) {
    affected += part.affected();
    if (part.empty()) continue;
    columns = part.columns();
    for (std::size_t row = 0; row < part.size(); ++row) {
      for (std::size_t column = 0; column < columns; ++column) values.push_back(part.At(row, column));
    }
  }
  return {columns, std::move(values), affected};
}

}  // namespace

BulkStatement::BulkStatement(std::string_view text, std::size_t shared, std::initializer_list<Column> columns)
    : columns_(columns.size()), postgres_(text), sqlite_(text) {
  std::string arrays;
  std::string names;
  std::size_t number = shared;
  for (const Column& column : columns) {
    const std::string parameter = "$" + std::to_string(++number);
    const std::string word = "{" + std::string(column.name) + "}";
    MEZZO_CHECK(text.find(word) != std::string_view::npos);
    ReplaceAll(postgres_, word, "d." + std::string(column.name));
    ReplaceAll(sqlite_, word, parameter);
    const std::string_view comma = arrays.empty() ? "" : ", ";
    arrays += std::string(comma) + parameter + (column.is_text ? "::text[]" : "::bigint[]");
    names += std::string(comma) + std::string(column.name);
  }
  ReplaceAll(postgres_, "{rows}", "FROM unnest(" + arrays + ") AS d(" + names + ")");
  ReplaceAll(sqlite_, "{rows}", "");
  MEZZO_CHECK(postgres_.find('{') == std::string::npos);
}

Result<SqlRows> BulkStatement::Run(storage::SqlSession& session, storage::SqlDialect dialect,
                                   std::vector<SqlValue> shared, std::vector<BulkColumn> columns) const {
  MEZZO_CHECK(columns.size() == columns_ && !columns.empty());
  const std::size_t rows = RowsOf(columns[0]);
  for (const BulkColumn& column : columns) MEZZO_CHECK(RowsOf(column) == rows);
  if (rows == 0) return SqlRows();

  if (dialect == storage::SqlDialect::kPostgres) {
    std::vector<SqlValue> params = std::move(shared);
    for (BulkColumn& column : columns) {
      std::visit([&params](auto& values) { params.emplace_back(std::move(values)); }, column);
    }
    return session.Run(postgres_, std::move(params));
  }
  std::vector<SqlStatement> statements(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    statements[row].sql = sqlite_;
    statements[row].params = shared;
    for (BulkColumn& column : columns) {
      std::visit([&](auto& values) { statements[row].params.emplace_back(std::move(values[row])); }, column);
    }
  }
  MEZZO_TRY(const std::vector<SqlRows> parts, session.RunAll(statements));
  return Join(parts);
}

}  // namespace mezzo::jobs::internal
