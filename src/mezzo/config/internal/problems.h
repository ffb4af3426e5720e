#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"

namespace mezzo::config::internal {

/// Everything wrong with a configuration, to be reported at once. Not thread-safe.
class Problems {
 public:
  static constexpr std::size_t kMaxShown = 20;

  /// `place` ("mezzo.yaml:12:3") may be empty.
  void Add(std::string_view reason, const std::string& place, const std::string& message);
  void Add(const Error& error);

  [[nodiscard]] std::size_t count() const { return count_; }
  /// One line for each of the first kMaxShown, then how many more; with the reason of the first.
  [[nodiscard]] Result<void> ToResult() const;

 private:
  std::size_t count_ = 0;
  std::string reason_;
  std::string lines_;
};

/// "; did you mean 'max_rows'?", or a short list of what there is, or nothing.
std::string Suggestion(std::string_view name, std::span<const std::string> candidates);

}  // namespace mezzo::config::internal
