#pragma once

#include <optional>
#include <utility>

#include "mezzo/base/result.h"

namespace mezzo::storage {

/// The first error of a session, for drivers: after it nothing more can be done in the transaction, and the
/// transaction fails whatever its work returns. Not thread-safe.
class SqlFailure {
 public:
  /// Fails with kInternal "sql_failed" after an error.
  [[nodiscard]] Result<void> Check() const {
    if (!first_) return {};
    return Internal("sql_failed", "the transaction has failed before: " + first_->message());
  }
  /// Hands `result` through and remembers its error.
  template <typename T>
  Result<T> Note(Result<T> result) {
    if (!result.ok() && !first_) first_ = result.error();
    return result;
  }
  /// What a transaction ends with before its commit when its work returned `result`.
  [[nodiscard]] Result<void> Outcome(Result<void> result) const {
    if (result.ok() && first_) return *first_;
    return result;
  }
  [[nodiscard]] const std::optional<Error>& first() const { return first_; }

 private:
  std::optional<Error> first_;
};

}  // namespace mezzo::storage
