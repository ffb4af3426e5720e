#include "mezzo/generation/pipeline_painter.h"

#include <utility>

#include "mezzo/generation/image_jobs.h"
#include "mezzo/generation/internal/image_wait.h"

namespace mezzo::generation {
namespace {

ImageRequest RequestOf(const ShotOrder& order) {
  ImageRequest request;
  request.prompt = order.prompt;
  if (!order.negative_prompt.empty()) request.negative_prompt = order.negative_prompt;
  request.seed = order.seed;
  request.steps = order.steps;
  request.steps_factor = order.steps_factor;
  request.guidance = order.guidance;
  return request;
}

}  // namespace

Result<double> PipelinePainter::Check(const ShotOrder& order) {
  const ModelName model(order.model);
  const ImageRequest request = RequestOf(order);
  MEZZO_TRY_VOID(ports_.service.Check(model, order.version, request));
  return Seconds(ports_.service.PredictCost(model, order.version, request));
}

Result<PaintedShot> PipelinePainter::Paint(const runtime::Context& ctx, const ShotOrder& order,
                                           const std::function<void(double)>& progress) {
  MEZZO_TRY(const tenancy::TenantRef tenant, ports_.directory.Find(order.tenant));
  MEZZO_TRY(const sched::Class cls, ClassOfTier(order.tier, *tenant));
  internal::AwaitedImages awaited = internal::AwaitImages(
      ctx,
      {.service = ports_.service,
       .loop = ports_.loop,
       .caller = {.tenant = tenant, .cls = cls, .project = order.project, .key = order.key},
       .model = ModelName(order.model),
       .version = order.version,
       .progress = progress,
       .preview = {}},
      RequestOf(order));
  MEZZO_TRY(const ImageResult result, std::move(awaited.result));
  PaintedShot shot;
  MEZZO_TRY(shot.picture, ToPicture(result.images.at(0).sample));
  shot.device_time = awaited.device_time;
  shot.version = result.version;
  return shot;
}

}  // namespace mezzo::generation
