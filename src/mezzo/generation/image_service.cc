#include "mezzo/generation/image_service.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "mezzo/generation/internal/image_plan.h"
#include "mezzo/generation/internal/image_run.h"
#include "mezzo/inference/version_runtime.h"

namespace mezzo::generation {
namespace {

/// Counts a request for as long as it lives.
class RequestTicket {
 public:
  explicit RequestTicket(std::atomic<std::size_t>& count) : count_(count), mine_(count.fetch_add(1) + 1) {}
  ~RequestTicket() { count_.fetch_sub(1); }
  RequestTicket(const RequestTicket&) = delete;
  RequestTicket& operator=(const RequestTicket&) = delete;
  [[nodiscard]] std::size_t mine() const { return mine_; }

 private:
  std::atomic<std::size_t>& count_;
  const std::size_t mine_;
};

/// Of a step of a network that never ran here, by the size of its picture: a guess that orders requests
/// among each other, until the latency model knows better.
Duration GuessStep(const internal::ImagePlan& plan) {
  constexpr double kNanosecondsPerPixel = 2000;
  return Duration(static_cast<std::int64_t>(kNanosecondsPerPixel * plan.size.width * plan.size.height));
}

}  // namespace

runtime::Task<Result<ImageResult>> ImageService::Generate(runtime::Context ctx, Caller caller,
                                                          ModelName model, std::string version,
                                                          ImageRequest request, ImageObserver* observer) {
  MEZZO_CO_TRY_VOID(CheckRequest(request, options_.limits));
  const bool with_encoder = request.picture.has_value();
  MEZZO_CO_TRY(PipelineRef pipeline,
               co_await store_.Open(ctx, std::move(model), std::move(version), with_encoder));
  co_return co_await GenerateBy(ctx, std::move(caller), std::move(pipeline), std::move(request), observer);
}

runtime::Task<Result<ImageResult>> ImageService::GenerateBy(runtime::Context ctx, Caller caller,
                                                            PipelineRef pipeline, ImageRequest request,
                                                            ImageObserver* observer) {
  const RequestTicket ticket(requests_);
  if (ticket.mine() > options_.max_requests) {
    co_return Unavailable("too_many_images", "this host makes the pictures of " +
                                                 std::to_string(options_.max_requests) +
                                                 " requests, which is its limit")
        .WithRetryAfter(std::chrono::seconds(1));
  }
  const internal::ImageRun::Ports ports{
      .executor = ports_.executor, .clock = ports_.clock, .observer = observer};
  internal::ImageRun::Flow flow{
      .tenant = sched::TenantIndex{caller.tenant->index}, .cls = caller.cls, .deadline = ctx.deadline()};
  if (ports_.ledger != nullptr && caller.charged) {
    flow.account = &ports_.ledger->AccountFor({.tenant = caller.tenant->id.str(),
                                               .project = caller.project.str(),
                                               .key_id = caller.key.str(),
                                               .model = pipeline->name.str(),
                                               .version = pipeline->version,
                                               .kind = "job"});
  }
  auto prepare = [&] {
    return internal::ImageRun::Make(ports, flow, std::move(pipeline), std::move(request), options_.limits);
  };
  MEZZO_CO_TRY(const std::unique_ptr<internal::ImageRun> run,
               co_await runtime::Offload(ports_.pool, prepare));
  {
    const runtime::CancelRegistration cancel(ctx.cancel_state(), [&run] { run->Cancel(); });
    co_await run->Run();
  }
  if (observer != nullptr) observer->OnEnd(run->device_time());
  co_return run->TakeResult();
}

Result<void> ImageService::Check(const ModelName& model, const std::string& version,
                                 const ImageRequest& request) {
  MEZZO_TRY_VOID(CheckRequest(request, options_.limits));
  MEZZO_TRY_VOID(store_.Exists(model, version));
  const auto config = store_.Known(model);
  if (config == nullptr) return {};
  MEZZO_TRY_VOID(internal::MakePlan(request, *config, options_.limits));
  return {};
}

Duration ImageService::PredictCost(const ModelName& model, const std::string& version,
                                   const ImageRequest& request) {
  const auto config = store_.Known(model);
  const auto plan =
      internal::MakePlan(request, config == nullptr ? PipelineConfig() : *config, options_.limits);
  if (!plan.ok()) return Duration::zero();
  const std::uint32_t rows = plan->two_rows ? 2 : 1;
  const auto pictures = static_cast<std::int64_t>(request.images);
  const auto steps = static_cast<std::int64_t>(plan->sampler.steps);
  const auto unet = ports_.catalog.Acquire(model.str() + "/unet", version);
  const auto decoder = ports_.catalog.Acquire(model.str() + "/vae_decoder", version);
  if (!unet.ok() || !decoder.ok()) return GuessStep(*plan) * rows * (steps + 1) * pictures;
  const auto run_of = [&](const models::ModelVersion& part, std::uint32_t part_rows) {
    return ports_.executor.PredictRun(inference::VersionRuntime::Of(part).model(), part_rows);
  };
  return (run_of(**unet, rows) * steps + run_of(**decoder, 1)) * pictures;
}

}  // namespace mezzo::generation
