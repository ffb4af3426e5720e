#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/releases/analysis.h"
#include "mezzo/releases/release_machine.h"

namespace mezzo::releases {

/// Summaries by the arm's name.
using ArmSummaries = std::map<std::string, OutcomeSummary, std::less<>>;

/// The analysis of a release: one of its canary, or one of each arm of an experiment against the first, which
/// then share the levels. Not thread-safe.
class ReleaseAnalysis {
 public:
  /// `state` is what State() gave, or empty.
  static Result<ReleaseAnalysis> Of(const Release& release, std::string_view state);
  [[nodiscard]] std::string State() const;

  /// Tells it what a transition of the machine means to it; `release` is the transition's.
  void Follow(const Release& release, bool step_began, bool acknowledged);
  /// The strictest verdict of all, with all evidence. Fails as Analysis::Look() does.
  Result<Verdict> Look(const Release& release, const ArmSummaries& totals, WallTime now);

 private:
  std::vector<Analysis> analyses_;
};

}  // namespace mezzo::releases
