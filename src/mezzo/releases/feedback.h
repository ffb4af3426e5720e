#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/outcomes.h"
#include "mezzo/releases/release_store.h"

namespace mezzo::releases {

/// What a caller thought of an answer.
///
/// No host remembers which arm a request went to: the answer said so (X-Mezzo-Route: "canary;17"), and
/// whoever judges it says it again. A caller may lie about it, as about the score; whose key it is, is known.
struct Feedback {
  std::string model;
  std::string route;       ///< "arm;revision", as the answer's header had it.
  std::string request_id;  ///< Counts once for each metric of a release.
  std::string metric;      ///< One of the release's custom metrics.
  double value = 0;
  std::string label;       ///< Kept for people; may be empty.
  std::string correction;  ///< What the answer should have been; kept; may be empty.
  std::string tenant;
};

inline constexpr std::size_t kMaxFeedbackText = 4096;  ///< Of `correction`; 256 of the others.

/// Where a feedback belongs: its arm and the metric's index.
struct FeedbackPlace {
  std::string arm;
  std::size_t metric = 0;
};

/// Fails with kInvalidArgument "feedback_invalid" (no such metric, a value out of its range, texts that are
/// too long, a route that is none) or kFailedPrecondition "feedback_other_route" (the answer was not drawn by
/// this release).
Result<FeedbackPlace> PlaceFeedback(const Release& release, const Feedback& feedback);

/// Keeps the feedback and counts it in the analysis of the model's open release; false when this request's
/// was counted before. Fails as PlaceFeedback(), with kNotFound "release_missing" when the model has no open
/// release, and with the database's errors. Blocks.
Result<bool> TakeFeedback(ReleaseStore& store, OutcomeBoard& board, const Feedback& feedback,
                          const Clock& clock, TimePoint deadline);

}  // namespace mezzo::releases
