#pragma once

#include <optional>
#include <string_view>

namespace mezzo::releases {

/// A request's headers, borrowed: what a protocol has is asked by name, in lower case. Costs two words;
/// copied freely. Must not be used once the request has ended.
class HeaderLookup {
 public:
  using Find = std::optional<std::string_view> (*)(const void* headers, std::string_view name);

  /// No headers.
  HeaderLookup() = default;
  HeaderLookup(const void* headers, Find find) : headers_(headers), find_(find) {}

  [[nodiscard]] std::optional<std::string_view> Of(std::string_view name) const {
    return find_ == nullptr ? std::nullopt : find_(headers_, name);
  }

 private:
  const void* headers_ = nullptr;
  Find find_ = nullptr;
};

}  // namespace mezzo::releases
