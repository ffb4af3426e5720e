#include "mezzo/lifecycle/registry.h"

#include <algorithm>
#include <array>

namespace mezzo::lifecycle {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"uploading", "testing", "ready", "rejected", "archived"};

}  // namespace

std::string_view VersionStateName(VersionState state) { return kNames.at(static_cast<std::size_t>(state)); }

std::optional<VersionState> ParseVersionState(std::string_view name) {
  const auto* const at = std::find(kNames.begin(), kNames.end(), name);
  if (at == kNames.end()) return std::nullopt;
  return static_cast<VersionState>(at - kNames.begin());
}

bool IsLegalStep(VersionState from, VersionState to) {
  using S = VersionState;
  switch (from) {
    case S::kUploading:
      return to == S::kTesting || to == S::kReady;
    case S::kTesting:
      return to == S::kReady || to == S::kRejected || to == S::kTesting;  // The last: why it still is.
    case S::kRejected:
      return to == S::kTesting;
    case S::kReady:
      return to == S::kArchived;
    case S::kArchived:
      return to == S::kReady;
  }
  return false;
}

}  // namespace mezzo::lifecycle
