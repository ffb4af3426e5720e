#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "mezzo/base/result.h"

namespace mezzo::api::platform {

/// The members of a JSON object that a request has as its body; none that is not known. All failures are
/// kInvalidArgument "request_member", naming the member and what it must be.
class Members {
 public:
  /// Nothing in it nests. An empty text is an object without members.
  static Result<Members> Parse(std::string_view text, std::span<const std::string_view> known);

  [[nodiscard]] bool Has(const std::string& name) const { return Find(name) != nullptr; }
  /// Nothing when the member is absent or null.
  [[nodiscard]] Result<std::optional<std::string>> Text(const std::string& name, std::size_t max_size) const;
  [[nodiscard]] Result<std::optional<double>> Number(const std::string& name, double above,
                                                     double most) const;
  [[nodiscard]] Result<std::optional<bool>> Flag(const std::string& name) const;
  [[nodiscard]] Result<std::optional<std::vector<std::string>>> Texts(const std::string& name,
                                                                      std::size_t max_count) const;
  [[nodiscard]] static Error Bad(std::string message) {
    return InvalidArgument("request_member", std::move(message));
  }

 private:
  explicit Members(nlohmann::json object) : object_(std::move(object)) {}
  [[nodiscard]] const nlohmann::json* Find(const std::string& name) const;

  nlohmann::json object_;
};

}  // namespace mezzo::api::platform
