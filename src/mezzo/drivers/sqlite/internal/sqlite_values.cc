#include "mezzo/drivers/sqlite/internal/sqlite_values.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mezzo/base/utf8.h"

namespace mezzo::drivers::internal {
namespace {

using storage::SqlBlob;
using storage::SqlValue;

class Binder {
 public:
  Binder(sqlite3_stmt* statement, int position) : statement_(statement), position_(position) {}

  int operator()(std::monostate) const { return sqlite3_bind_null(statement_, position_); }
  int operator()(std::int64_t value) const { return sqlite3_bind_int64(statement_, position_, value); }
  int operator()(double value) const { return sqlite3_bind_double(statement_, position_, value); }
  int operator()(const std::string& text) const { return BindText(text, SQLITE_STATIC); }
  int operator()(const SqlBlob& blob) const {
    return sqlite3_bind_blob64(statement_, position_, blob.bytes.data(), blob.bytes.size(), SQLITE_STATIC);
  }
  int operator()(const std::vector<std::int64_t>& values) const {
    std::string json = "[";
    for (const std::int64_t value : values) {
      if (json.size() > 1) json += ',';
      json += std::to_string(value);
    }
    return BindText(json + "]", SQLITE_TRANSIENT);
  }
  int operator()(const std::vector<std::string>& texts) const {
    std::string json = "[";
    for (const std::string& text : texts) {
      if (json.size() > 1) json += ',';
      json += '"';
      AppendJsonEscaped(json, text);
      json += '"';
    }
    return BindText(json + "]", SQLITE_TRANSIENT);
  }

 private:
  [[nodiscard]] int BindText(std::string_view text, sqlite3_destructor_type copy) const {
    return sqlite3_bind_text64(statement_, position_, text.data(), text.size(), copy, SQLITE_UTF8);
  }

  sqlite3_stmt* const statement_;
  const int position_;
};

}  // namespace

int BindSqliteValue(sqlite3_stmt* statement, int position, const SqlValue& value) {
  return std::visit(Binder(statement, position), value);
}

SqlValue ReadSqliteColumn(sqlite3_stmt* statement, int column) {
  // The pointer first: asking for it may convert and so change the size.
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      return std::int64_t{sqlite3_column_int64(statement, column)};
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, column);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      return std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement, column)));
    }
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, column));
      const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
      return SqlBlob{size == 0 ? std::string() : std::string(bytes, size)};  // Null when empty.
    }
    default:
      return std::monostate();
  }
}

}  // namespace mezzo::drivers::internal
