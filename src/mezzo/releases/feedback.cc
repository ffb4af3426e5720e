#include "mezzo/releases/feedback.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mezzo/base/strings.h"

namespace mezzo::releases {
namespace {

constexpr std::size_t kMaxShortText = 256;

Error Invalid(std::string message) { return InvalidArgument("feedback_invalid", std::move(message)); }

Result<void> CheckTexts(const Feedback& feedback) {
  if (feedback.request_id.empty() || feedback.request_id.size() > kMaxShortText) {
    return Invalid("request_id must have 1 to 256 bytes");
  }
  if (feedback.label.size() > kMaxShortText) return Invalid("label must have at most 256 bytes");
  if (feedback.correction.size() > kMaxFeedbackText) {
    return Invalid("correction must have at most 4096 bytes");
  }
  return {};
}

/// Those that a release's split can have drawn.
bool HasArm(const ReleaseSpec& spec, std::string_view arm) {
  if (arm == "canary") return true;
  if (spec.strategy == Strategy::kAb) {
    return std::any_of(spec.arms.begin(), spec.arms.end(),
                       [&](const auto& each) { return each.name == arm; });
  }
  return arm == "stable" || arm == "baseline";
}

}  // namespace

Result<FeedbackPlace> PlaceFeedback(const Release& release, const Feedback& feedback) {
  MEZZO_TRY_VOID(CheckTexts(feedback));
  const std::vector<std::string_view> parts = Split(feedback.route, ';');
  const auto revision = parts.size() == 2 ? ParseUint(parts[1]) : std::nullopt;
  if (!revision || parts[0].empty()) {
    return Invalid(fmt::format("route must be what the answer's X-Mezzo-Route said (\"canary;17\"), not '{}'",
                               Printable(feedback.route, 64)));
  }
  const auto answered = static_cast<std::int64_t>(std::min<std::uint64_t>(*revision, INT64_MAX));
  if (release.first_route_revision == 0 || answered < release.first_route_revision ||
      !HasArm(release.spec, parts[0])) {
    return FailedPrecondition("feedback_other_route",
                              fmt::format("the answer by route '{}' was not drawn by release '{}'",
                                          Printable(feedback.route, 64), release.id));
  }
  const std::vector<CustomMetric>& metrics = release.spec.policy.custom;
  const auto metric = std::find_if(metrics.begin(), metrics.end(),
                                   [&](const CustomMetric& each) { return each.name == feedback.metric; });
  if (metric == metrics.end()) {
    return Invalid(
        fmt::format("release '{}' has no metric '{}'", release.id, Printable(feedback.metric, 64)));
  }
  if (!std::isfinite(feedback.value)) return Invalid("value must be a finite number");
  if (metric->range && (feedback.value < metric->range->low || feedback.value > metric->range->high)) {
    return Invalid(fmt::format("value {} of '{}' lies outside of {} to {}", feedback.value, metric->name,
                               metric->range->low, metric->range->high));
  }
  return FeedbackPlace{.arm = std::string(parts[0]),
                       .metric = static_cast<std::size_t>(metric - metrics.begin())};
}

Result<bool> TakeFeedback(ReleaseStore& store, OutcomeBoard& board, const Feedback& feedback,
                          const Clock& clock, TimePoint deadline) {
  MEZZO_TRY(const Release release, store.OpenOf(feedback.model, deadline));
  MEZZO_TRY(const FeedbackPlace place, PlaceFeedback(release, feedback));
  MEZZO_TRY(const bool fresh, store.AddFeedback({.release = release.id,
                                                 .request_id = feedback.request_id,
                                                 .metric = feedback.metric,
                                                 .arm = place.arm,
                                                 .tenant = feedback.tenant,
                                                 .value = feedback.value,
                                                 .label = feedback.label,
                                                 .correction = feedback.correction},
                                                deadline));
  if (!fresh) return false;
  const auto recorder =
      board.Arm({.model = release.spec.model, .series = release.id, .arm = place.arm}, clock.WallNow());
  if (recorder != nullptr) recorder->RecordCustom(place.metric, feedback.value);
  return true;
}

}  // namespace mezzo::releases
