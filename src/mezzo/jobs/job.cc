#include "mezzo/jobs/job.h"

#include <array>
#include <utility>

namespace mezzo::jobs {
namespace {

constexpr std::array<std::string_view, 6> kStates = {"scheduled", "queued", "running",
                                                     "succeeded", "failed", "cancelled"};
constexpr std::array<std::string_view, 3> kTiers = {"paid", "urgent", "free"};

}  // namespace

Result<Tier> ParseTier(std::string_view text) {
  for (std::size_t i = 0; i < kTiers.size(); ++i) {
    if (kTiers.at(i) == text) return static_cast<Tier>(i + 1);
  }
  return InvalidArgument("tier_unknown", "tier '" + std::string(text) + "' is not one of paid, urgent, free");
}

std::string_view TierName(Tier tier) { return kTiers.at(static_cast<std::size_t>(tier) - 1); }

Result<JobState> ParseState(std::string_view text) {
  for (std::size_t i = 0; i < kStates.size(); ++i) {
    if (kStates.at(i) == text) return static_cast<JobState>(i);
  }
  return InvalidArgument("job_state_unknown",
                         "job state '" + std::string(text) +
                             "' is not one of scheduled, queued, running, succeeded, failed, cancelled");
}

std::string_view StateName(JobState state) { return kStates.at(static_cast<std::size_t>(state)); }

}  // namespace mezzo::jobs
