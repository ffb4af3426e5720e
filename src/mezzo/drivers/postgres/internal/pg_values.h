#pragma once

#include <span>
#include <string>
#include <vector>

#include <libpq-fe.h>

#include "mezzo/storage/sql_db.h"

namespace mezzo::drivers::internal {

/// Parameters in PostgreSQL's binary format, as PQsendQueryPrepared() takes them. The values encoded must
/// live as long as this does.
class PgParams {
 public:
  explicit PgParams(std::span<const storage::SqlValue> values);

  [[nodiscard]] int count() const { return static_cast<int>(types_.size()); }
  /// 0 for a NULL: the server infers the type from its place.
  [[nodiscard]] const std::vector<Oid>& types() const { return types_; }
  [[nodiscard]] const char* const* values() const { return values_.data(); }
  [[nodiscard]] const int* lengths() const { return lengths_.data(); }
  [[nodiscard]] const int* formats() const { return formats_.data(); }

 private:
  std::vector<Oid> types_;
  std::vector<std::string> encoded_;  // What is not sent as it is; never grows beyond its first capacity.
  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
};

/// The rows of a result in text format: integers, numerics without a fraction and booleans become integers,
/// other numbers real, bytea blobs, and all else text.
storage::SqlRows PgRows(const PGresult* result);

}  // namespace mezzo::drivers::internal
