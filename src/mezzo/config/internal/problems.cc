#include "mezzo/config/internal/problems.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mezzo/base/strings.h"

namespace mezzo::config::internal {

void Problems::Add(std::string_view reason, const std::string& place, const std::string& message) {
  ++count_;
  if (count_ > kMaxShown) return;
  if (count_ == 1) reason_ = reason;
  if (count_ > 1) lines_ += '\n';
  if (!place.empty()) lines_ += place + ": ";
  lines_ += message;
}

void Problems::Add(const Error& error) { Add(error.reason(), "", error.message()); }

Result<void> Problems::ToResult() const {
  if (count_ == 0) return {};
  std::string message = lines_;
  if (count_ > kMaxShown) message += fmt::format("\n... and {} more", count_ - kMaxShown);
  return InvalidArgument(reason_, std::move(message));
}

std::string Suggestion(std::string_view name, std::span<const std::string> candidates) {
  // Names are short; the edit distance of a megabyte of nonsense is not worth its time.
  constexpr std::size_t kMaxNameBytes = 128;
  constexpr std::size_t kMaxListed = 12;
  if (name.size() <= kMaxNameBytes) {
    if (const auto nearest = NearestName(name, candidates)) return "; did you mean '" + *nearest + "'?";
  }
  if (candidates.empty() || candidates.size() > kMaxListed) return "";
  return fmt::format("; known are {}", fmt::join(candidates, ", "));
}

}  // namespace mezzo::config::internal
