#include "mezzo/generation/internal/stage_item.h"

#include "mezzo/inference/version_runtime.h"

namespace mezzo::generation::internal {

Result<void> StageItem::Prepare(const models::ModelVersion& part) {
  MEZZO_TRY(request_plan_, inference::PlanRequest(part, call_));
  SetPlan(request_plan_);
  model = inference::VersionRuntime::Of(part).model();
  result.reset();
  return {};
}

void StageItem::Finish(const Error* error, const sched::RunReport& run_report) {
  report = run_report;
  if (error == nullptr && !result->ok()) error = &result->error();
  owner_.StageEnded(*this, error);
}

}  // namespace mezzo::generation::internal
