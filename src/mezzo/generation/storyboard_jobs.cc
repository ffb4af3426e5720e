#include "mezzo/generation/storyboard_jobs.h"

#include "mezzo/generation/internal/storyboard_request.h"
#include "mezzo/generation/internal/storyboard_run.h"

namespace mezzo::generation {

Result<jobs::JobEstimate> StoryboardJobs::Check(const TenantId& tenant, const std::string& request) {
  MEZZO_TRY(const internal::StoryboardRequest parsed, internal::ParseStoryboardRequest(request));
  jobs::JobEstimate estimate{.model = parsed.model};
  if (parsed.redo.has_value()) return estimate;
  MEZZO_TRY(const media::Storyboard storyboard, media::ParseStoryboard(parsed.storyboard, options_.limits));
  MEZZO_TRY_VOID(internal::CheckReferences(tenant, storyboard));
  for (std::size_t i = 0; i < storyboard.shots.size(); ++i) {
    if (!storyboard.shots[i].picture.empty()) continue;
    if (parsed.model.empty()) {
      return InvalidArgument("storyboard_request", "'model' is missing: shots[" + std::to_string(i) +
                                                       "] has no picture, so that a model must paint it");
    }
    ShotOrder order = internal::OrderOf(storyboard, i, parsed.model, parsed.version, parsed.painting);
    order.tenant = tenant;
    MEZZO_TRY(const double cost, ports_.painter.Check(order));
    estimate.cost += cost;
  }
  return estimate;
}

Result<std::string> StoryboardJobs::Run(jobs::JobRun& run) {
  return internal::StoryboardRun(options_, ports_, run).Execute();
}

}  // namespace mezzo::generation
