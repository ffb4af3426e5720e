#include "mezzo/api/grpc/internal/control_service.h"

#include <string>
#include <utility>
#include <vector>

#include "mezzo/api/grpc/internal/config_message.h"
#include "mezzo/api/grpc/internal/infer_call.h"
#include "mezzo/api/grpc/internal/infer_stream.h"
#include "mezzo/api/grpc/internal/unary_answer.h"
#include "mezzo/inference/service.h"
#include "mezzo/observe/health.h"

namespace mezzo::api::rpc {
namespace {

using tenancy::Caller;
using tenancy::Scope;

constexpr std::string_view kExtensions[] = {
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
};

void SetTensor(const models::TensorConfig& config, ::inference::ModelMetadataResponse::TensorMetadata* out) {
  out->set_name(config.name);
  out->set_datatype(std::string(tensor::DTypeName(config.dtype)));
  for (const std::int64_t dim : config.shape.dims()) out->add_shape(dim);
}

void SetDuration(const inference::StatisticDuration& from, ::inference::StatisticDuration* to) {
  to->set_count(from.count);
  to->set_ns(from.ns);
}

void SetStatistics(const inference::ModelStatistics& from, ::inference::ModelStatistics* to) {
  to->set_name(from.name);
  to->set_version(from.version);
  to->set_last_inference(from.last_inference_ms);
  to->set_inference_count(from.inference_count);
  to->set_execution_count(from.execution_count);
  ::inference::InferStatistics* stats = to->mutable_inference_stats();
  SetDuration(from.success, stats->mutable_success());
  SetDuration(from.fail, stats->mutable_fail());
  SetDuration(from.queue, stats->mutable_queue());
  SetDuration(from.compute_input, stats->mutable_compute_input());
  SetDuration(from.compute_infer, stats->mutable_compute_infer());
  SetDuration(from.compute_output, stats->mutable_compute_output());
  SetDuration(from.cache_hit, stats->mutable_cache_hit());
  SetDuration(from.cache_miss, stats->mutable_cache_miss());
  for (const inference::BatchStatistic& batch : from.batches) {
    ::inference::InferBatchStatistics* out = to->add_batch_stats();
    out->set_batch_size(batch.batch_size);
    SetDuration(batch.compute_input, out->mutable_compute_input());
    SetDuration(batch.compute_infer, out->mutable_compute_infer());
    SetDuration(batch.compute_output, out->mutable_compute_output());
  }
  if (from.memory_bytes == 0) return;
  ::inference::MemoryUsage* memory = to->add_memory_usage();
  memory->set_type("CPU");
  memory->set_byte_size(from.memory_bytes);
}

}  // namespace

InferenceRpcService::Unary* InferenceRpcService::ModelInfer(Call* call, const Bytes* in, Bytes* out) {
  return StartInferCall(front_, call, in, out);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* InferenceRpcService::ModelStreamInfer(
    Call* call) {
  return StartInferStream(front_, call);
}

// Probes are open to everybody, and answered while the server drains.

InferenceRpcService::Unary* InferenceRpcService::ServerLive(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kServerLive};
  return AnswerProbe<::inference::ServerLiveResponse>(
      unary, [&](auto* response) { response->set_live(front_.services.health.live()); });
}

InferenceRpcService::Unary* InferenceRpcService::ServerReady(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kServerReady};
  return AnswerProbe<::inference::ServerReadyResponse>(unary, [&](auto* response) {
    response->set_ready(front_.services.health.ready() && !front_.draining());
  });
}

InferenceRpcService::Unary* InferenceRpcService::ModelReady(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kModelReady};
  return AnswerUnary<::inference::ModelReadyRequest, ::inference::ModelReadyResponse>(
      unary, [&](const auto& request, const Caller&, auto* response) -> Result<void> {
        response->set_ready(front_.services.service.catalog().IsReady(request.name(), request.version()));
        return {};
      });
}

InferenceRpcService::Unary* InferenceRpcService::ServerMetadata(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kServerMetadata};
  return AnswerUnary<::inference::ServerMetadataRequest, ::inference::ServerMetadataResponse>(
      unary, [&](const auto&, const Caller&, auto* response) -> Result<void> {
        response->set_name(front_.options.name);
        response->set_version(front_.options.version);
        for (const std::string& extension : front_.options.extensions) response->add_extensions(extension);
        if (!front_.options.extensions.empty()) return {};
        for (const std::string_view extension : kExtensions) {
          if (extension == "system_shared_memory" && !front_.services.shared_memory.enabled()) continue;
          response->add_extensions(std::string(extension));
        }
        return {};
      });
}

InferenceRpcService::Unary* InferenceRpcService::ModelMetadata(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kModelMetadata};
  return AnswerUnary<::inference::ModelMetadataRequest, ::inference::ModelMetadataResponse>(
      unary, [&](const auto& request, const Caller&, auto* response) -> Result<void> {
        models::Catalog& catalog = front_.services.service.catalog();
        MEZZO_TRY(const auto config, catalog.ConfigOf(request.name(), request.version()));
        MEZZO_TRY(const auto versions, catalog.VersionsOf(request.name()));
        response->set_name(config->name);
        response->set_platform(config->platform);
        for (const std::int64_t version : versions) {
          std::string text = std::to_string(version);
          if (request.version().empty() || request.version() == text) response->add_versions(std::move(text));
        }
        for (const auto& input : config->inputs) SetTensor(input, response->add_inputs());
        for (const auto& output : config->outputs) SetTensor(output, response->add_outputs());
        return {};
      });
}

InferenceRpcService::Unary* InferenceRpcService::ModelConfig(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kModelConfig};
  return AnswerUnary<::inference::ModelConfigRequest, ::inference::ModelConfigResponse>(
      unary, [&](const auto& request, const Caller&, auto* response) -> Result<void> {
        MEZZO_TRY(const auto config,
                  front_.services.service.catalog().ConfigOf(request.name(), request.version()));
        FillConfig(*config, response->mutable_config());
        return {};
      });
}

InferenceRpcService::Unary* InferenceRpcService::ModelStatistics(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kModelStatistics};
  return AnswerUnary<::inference::ModelStatisticsRequest, ::inference::ModelStatisticsResponse>(
      unary, [&](const auto& request, const Caller&, auto* response) -> Result<void> {
        MEZZO_TRY(const auto all, front_.services.service.Statistics(request.name(), request.version()));
        for (const inference::ModelStatistics& one : all) SetStatistics(one, response->add_model_stats());
        return {};
      });
}

}  // namespace mezzo::api::rpc
