#include "mezzo/api/platform/inference_jobs.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/v2http/json_request.h"
#include "mezzo/api/v2http/json_response.h"
#include "mezzo/base/mutex.h"
#include "mezzo/storage/blob_io.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kUnknownCost = 1e-3;  // Device seconds, of a model that never ran.

/// A stored request, decoded.
struct InferenceJob {
  std::string model;
  std::string version;
  v2http::DecodedRequest decoded;
};

Result<InferenceJob> Decode(const TenantId& tenant, const std::string& request) {
  const Json json = Json::parse(request, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("model") || !json.contains("input")) {
    return InvalidArgument("job_request", "the stored request of an inference job has no model or no input");
  }
  InferenceJob job;
  job.model = json["model"].get<std::string>();
  job.version = json.value("version", "");
  if (job.model.empty())
    return InvalidArgument("job_request", "'model' is missing: an inference job names one");
  const SharedBytes body = SharedBytes::FromString(json["input"].dump());
  MEZZO_TRY(job.decoded, v2http::DecodeRequest(body, body.size(), job.model, job.version,
                                               {.regions = nullptr, .tenant = tenant}, {}));
  // The result is kept as JSON.
  job.decoded.plan.binary_by_default = false;
  for (auto& output : job.decoded.plan.outputs) output.binary = false;
  return job;
}

/// Rows of a batch that the call fills, as far as its shapes tell.
std::uint32_t RowsOf(const inference::InferenceCall& call) {
  if (call.inputs.empty() || call.inputs[0].tensor.shape.rank() == 0) return 1;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(call.inputs[0].tensor.shape[0], 1, UINT32_MAX));
}

/// Runs a call on a loop and blocks this thread, which is no loop's, until it has ended.
Result<inference::InferenceAnswer> Infer(runtime::Loop& loop, inference::Service& service,
                                         runtime::Context ctx, tenancy::CallerRef caller,
                                         inference::InferenceCall call) {
  Mutex mu;
  CondVar done;
  std::optional<Result<inference::InferenceAnswer>> answer;
  loop.Post([&] {
    runtime::Start(service.Infer(std::move(ctx), std::move(caller), std::move(call)),
                   [&](Result<inference::InferenceAnswer> result) {
                     MutexLock lock(mu);
                     answer.emplace(std::move(result));
                     done.NotifyOne();
                   });
  });
  MutexLock lock(mu);
  while (!answer.has_value()) done.Wait(mu);
  return std::move(*answer);
}

}  // namespace

double InferenceJobs::CostOf(const std::string& model, const std::string& version) const {
  const auto statistics = ports_.service.Statistics(model, version);
  if (!statistics.ok()) return kUnknownCost;
  std::uint64_t rows = 0;
  std::uint64_t ns = 0;
  for (const auto& one : *statistics) {
    rows += one.inference_count;
    ns += one.compute_infer.ns;
  }
  return rows == 0 ? kUnknownCost : static_cast<double>(ns) * 1e-9 / static_cast<double>(rows);
}

Result<jobs::JobEstimate> InferenceJobs::Check(const TenantId& tenant, const std::string& request) {
  MEZZO_TRY(const InferenceJob job, Decode(tenant, request));
  MEZZO_TRY_VOID(ports_.service.catalog().ConfigOf(job.model, job.version));
  return jobs::JobEstimate{.model = job.model, .cost = CostOf(job.model, job.version)};
}

Result<std::string> InferenceJobs::Run(jobs::JobRun& run) {
  MEZZO_TRY(const tenancy::TenantRef tenant, ports_.directory.Find(run.job().tenant));
  MEZZO_TRY(InferenceJob job, Decode(tenant->id, run.job().request));
  const std::uint32_t rows = RowsOf(job.decoded.call);
  auto caller = std::make_shared<const tenancy::Caller>(
      tenancy::Caller{.tenant = tenant, .project = run.job().project, .key = run.job().key});
  job.decoded.call.admission = inference::Admission::kNone;  // When it was queued.
  MEZZO_TRY_VOID(run.Report(0, "inference"));
  MEZZO_TRY(const inference::InferenceAnswer answer,
            Infer(ports_.loop, ports_.service, run.ctx(), std::move(caller), std::move(job.decoded.call)));
  if (answer.batch_rows > 0) {
    run.AddDeviceTime(answer.times.run * std::min(rows, answer.batch_rows) / answer.batch_rows);
  }
  run.Made(answer.model.str(), answer.version, {});
  const models::ModelConfig* config = answer.served_by == nullptr ? nullptr : answer.served_by->config.get();
  MEZZO_TRY(v2http::EncodedResponse encoded, v2http::EncodeResponse(answer, job.decoded.plan, config));
  if (encoded.json.size() <= options_.max_result) return std::move(encoded.json);
  return KeepResult(run.job(), encoded.json);
}

Result<std::string> InferenceJobs::KeepResult(const jobs::LeasedJob& job, const std::string& result) const {
  constexpr const char* kType = "application/json";
  MEZZO_TRY(const storage::BlobKey key,
            storage::BlobKey::Make(job.tenant, job.fence.id.str(),
                                   static_cast<std::uint32_t>(job.fence.attempt), "result.json"));
  MEZZO_TRY_VOID(storage::WriteBlob(ports_.artifacts, key, AsBytes(result), {.content_type = kType},
                                    ports_.clock.Now() + options_.store_timeout));
  return Json({{"artifact", key.text()}, {"content_type", kType}, {"bytes", result.size()}}).dump();
}

}  // namespace mezzo::api::platform
