#include "mezzo/lifecycle/internal/where.h"

#include "mezzo/base/strings.h"

namespace mezzo::lifecycle::internal {
namespace {

/// SQL's LIKE as SQLite's GLOB, which heeds letters' case.
std::string GlobOf(std::string_view like) {
  std::string glob;
  for (std::size_t i = 0; i < like.size(); ++i) {
    char c = like[i];
    if (c == '%') {
      glob += '*';
      continue;
    }
    if (c == '_') {
      glob += '?';
      continue;
    }
    if (c == '\\' && i + 1 < like.size()) c = like[++i];
    if (c == '*' || c == '?' || c == '[') {
      glob += '[';
      glob += c;
      glob += ']';
    } else {
      glob += c;
    }
  }
  return glob;
}

}  // namespace

std::string Where::Sign(SearchComparison comparison) {
  using C = SearchComparison;
  switch (comparison) {
    case C::kDiffers:
      return "<>";
    case C::kLess:
      return "<";
    case C::kLessOrEqual:
      return "<=";
    case C::kGreater:
      return ">";
    case C::kGreaterOrEqual:
      return ">=";
    default:
      return "=";
  }
}

std::string Where::IsLike(const std::string& column, bool any_case, const std::string& pattern) {
  if (any_case) return "LOWER(" + column + ") LIKE LOWER(" + Parameter(pattern) + ") ESCAPE '\\'";
  if (dialect_ == storage::SqlDialect::kSqlite) return column + " GLOB " + Parameter(GlobOf(pattern));
  return column + " LIKE " + Parameter(pattern) + " ESCAPE '\\'";
}

std::string Where::IsAmong(const std::string& column, const std::vector<std::string>& values) {
  const std::string all = Parameter(values);
  return column + (dialect_ == storage::SqlDialect::kPostgres
                       ? " = ANY(" + all + "::text[])"
                       : " IN (SELECT value FROM json_each(" + all + "))");
}

std::string Where::IsAmong(const std::string& column, const std::vector<std::int64_t>& values) {
  const std::string all = Parameter(values);
  return column + (dialect_ == storage::SqlDialect::kPostgres
                       ? " = ANY(" + all + "::bigint[])"
                       : " IN (SELECT value FROM json_each(" + all + "))");
}

std::string Where::Compared(const std::string& column, SearchComparison comparison,
                            const std::vector<std::string>& values) {
  using C = SearchComparison;
  switch (comparison) {
    case C::kLike:
    case C::kILike:
      return IsLike(column, comparison == C::kILike, values.front());
    case C::kIn:
      return IsAmong(column, values);
    case C::kNotIn:
      return "NOT (" + IsAmong(column, values) + ")";
    default:
      return column + " " + Sign(comparison) + " " + Parameter(values.front());
  }
}

Result<void> CheckPattern(bool like, std::string_view pattern) {
  constexpr std::size_t kLongest = 256;
  bool escaped = false;
  for (const char c : pattern) escaped = c == '\\' && !escaped;
  if (pattern.size() <= kLongest && !(like && escaped)) return {};
  return InvalidArgument("registry_pattern", "the pattern '" + Printable(pattern) +
                                                 "' is longer than 256 bytes or ends in a backslash");
}

std::string LimitText(std::size_t limit) {
  for (const std::size_t size : {11U, 101U}) {
    if (limit < size) return " LIMIT " + std::to_string(size);
  }
  return " LIMIT " + std::to_string(limit < 1001 ? 1001 : limit + 1);
}

}  // namespace mezzo::lifecycle::internal
