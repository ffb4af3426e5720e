#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle::internal {

/// Conditions under construction. The text is made of a small number of pieces, values are parameters.
class Where {
 public:
  explicit Where(storage::SqlDialect dialect) : dialect_(dialect) {}

  /// "$n" for the value.
  std::string Parameter(storage::SqlValue value) {
    params_.push_back(std::move(value));
    return "$" + std::to_string(params_.size());
  }
  void And(const std::string& condition) { text_ += (text_.empty() ? " WHERE " : " AND ") + condition; }

  /// "=", "<>", "<", ...; "=" for what is no sign.
  static std::string Sign(SearchComparison comparison);
  std::string IsLike(const std::string& column, bool any_case, const std::string& pattern);
  std::string IsAmong(const std::string& column, const std::vector<std::string>& values);
  std::string IsAmong(const std::string& column, const std::vector<std::int64_t>& values);
  /// A text with a text, or with several (kIn, kNotIn). Not kLacks, kAbsent, kPresent.
  std::string Compared(const std::string& column, SearchComparison comparison,
                       const std::vector<std::string>& values);

  [[nodiscard]] storage::SqlDialect dialect() const { return dialect_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::vector<storage::SqlValue> TakeParams() { return std::move(params_); }

 private:
  const storage::SqlDialect dialect_;
  std::string text_;
  std::vector<storage::SqlValue> params_;
};

/// A text to compare with. kInvalidArgument "registry_pattern": longer than 256 bytes, which would take its
/// time; or `like` and a backslash at the end, which PostgreSQL refuses.
Result<void> CheckPattern(bool like, std::string_view pattern);

/// " LIMIT n" of a few sizes, at least `limit` + 1: as a number in the text, so that a plan made once knows
/// how little is asked for. The rest is left.
std::string LimitText(std::size_t limit);

}  // namespace mezzo::lifecycle::internal
