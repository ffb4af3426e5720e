#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs::internal {

/// A column of a bulk statement's input: one value a row.
using BulkColumn = std::variant<std::vector<std::int64_t>, std::vector<std::string>>;

/// One statement applied to many rows of input: on PostgreSQL a single statement over unnest(), on SQLite,
/// where a statement costs microseconds, the same for one row after the other.
///
/// In the text, `{name}` is a column of the input, `{rows}` the source of the rows, and `$1`... the
/// parameters that all rows share. A real number travels as text (CAST({cost} AS DOUBLE PRECISION)), an
/// absent value as '' or 0 (NULLIF({url}, '')).
///
///     INSERT INTO t (id, n) SELECT {id}, {n} {rows}
///     UPDATE t SET n = {n} {rows} WHERE t.id = {id} RETURNING t.id
///
/// Immutable; made once, for a text that lives for ever.
class BulkStatement {
 public:
  struct Column {
    std::string_view name;
    bool is_text = true;
  };
  /// `shared` parameters, and columns in the order in which Run() gets them.
  BulkStatement(std::string_view text, std::size_t shared, std::initializer_list<Column> columns);

  /// All columns have the same size. The rows that RETURNING gave, in no order; affected() is their sum.
  Result<storage::SqlRows> Run(storage::SqlSession& session, storage::SqlDialect dialect,
                               std::vector<storage::SqlValue> shared, std::vector<BulkColumn> columns) const;

 private:
  const std::size_t columns_;
  std::string postgres_;
  std::string sqlite_;
};

}  // namespace mezzo::jobs::internal
