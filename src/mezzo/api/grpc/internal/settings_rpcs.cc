#include <string>
#include <utility>
#include <vector>

#include "mezzo/api/grpc/internal/control_service.h"
#include "mezzo/api/grpc/internal/unary_answer.h"
#include "mezzo/api/settings.h"
#include "mezzo/api/shared_memory.h"
#include "mezzo/inference/service.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::api::rpc {
namespace {

using tenancy::Caller;
using tenancy::Scope;

Error NoCudaSharedMemory() {
  return Unimplemented("cuda_shared_memory_unsupported", "CUDA shared memory is not supported");
}

template <typename Map>
void AddSetting(Map* settings, const char* name, std::string value) {
  (*settings)[name].add_value(std::move(value));
}

}  // namespace

InferenceRpcService::Unary* InferenceRpcService::SystemSharedMemoryStatus(Call* call, const Bytes* in,
                                                                          Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kSystemSharedMemoryStatus};
  return AnswerUnary<::inference::SystemSharedMemoryStatusRequest,
                     ::inference::SystemSharedMemoryStatusResponse>(
      unary, [&](const auto& request, const Caller& caller, auto* response) -> Result<void> {
        MEZZO_TRY(const auto regions,
                  front_.services.shared_memory.Status(caller.tenant->id, request.name()));
        for (const auto& region : regions) {
          auto& out = (*response->mutable_regions())[region.name];
          out.set_name(region.name);
          out.set_key(region.key);
          out.set_offset(region.offset);
          out.set_byte_size(region.byte_size);
        }
        return {};
      });
}

InferenceRpcService::Unary* InferenceRpcService::SystemSharedMemoryRegister(Call* call, const Bytes* in,
                                                                            Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kSystemSharedMemoryRegister};
  return AnswerUnary<::inference::SystemSharedMemoryRegisterRequest,
                     ::inference::SystemSharedMemoryRegisterResponse>(
      unary, [&](const auto& request, const Caller& caller, auto*) -> Result<void> {
        return front_.services.shared_memory.Register(caller.tenant->id, request.name(), request.key(),
                                                      request.offset(), request.byte_size());
      });
}

InferenceRpcService::Unary* InferenceRpcService::SystemSharedMemoryUnregister(Call* call, const Bytes* in,
                                                                              Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kSystemSharedMemoryUnregister};
  return AnswerUnary<::inference::SystemSharedMemoryUnregisterRequest,
                     ::inference::SystemSharedMemoryUnregisterResponse>(
      unary, [&](const auto& request, const Caller& caller, auto*) -> Result<void> {
        return front_.services.shared_memory.Unregister(caller.tenant->id, request.name());
      });
}

// No region can be registered, so there are none: clients that clean up before they start find nothing wrong.

InferenceRpcService::Unary* InferenceRpcService::CudaSharedMemoryStatus(Call* call, const Bytes* in,
                                                                        Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kCudaSharedMemoryStatus};
  return AnswerUnary<::inference::CudaSharedMemoryStatusRequest, ::inference::CudaSharedMemoryStatusResponse>(
      unary, [](const auto& request, const Caller&, auto*) -> Result<void> {
        if (request.name().empty()) return {};
        return NoCudaSharedMemory();
      });
}

InferenceRpcService::Unary* InferenceRpcService::CudaSharedMemoryRegister(Call* call, const Bytes* in,
                                                                          Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kCudaSharedMemoryRegister};
  return AnswerUnary<::inference::CudaSharedMemoryRegisterRequest,
                     ::inference::CudaSharedMemoryRegisterResponse>(
      unary, [](const auto&, const Caller&, auto*) -> Result<void> { return NoCudaSharedMemory(); });
}

InferenceRpcService::Unary* InferenceRpcService::CudaSharedMemoryUnregister(Call* call, const Bytes* in,
                                                                            Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kCudaSharedMemoryUnregister};
  return AnswerUnary<::inference::CudaSharedMemoryUnregisterRequest,
                     ::inference::CudaSharedMemoryUnregisterResponse>(
      unary, [](const auto&, const Caller&, auto*) -> Result<void> { return {}; });
}

InferenceRpcService::Unary* InferenceRpcService::TraceSetting(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kTraceSetting};
  return AnswerUnary<::inference::TraceSettingRequest, ::inference::TraceSettingResponse>(
      unary, [&](const auto& request, const Caller& caller, auto* response) -> Result<void> {
        if (!request.settings().empty()) MEZZO_TRY_VOID(tenancy::Demand(caller, Scope::kOperate));
        const std::string& model = request.model_name();
        if (!model.empty()) {
          MEZZO_TRY([[maybe_unused]] const auto config,
                    front_.services.service.catalog().ConfigOf(model, {}));
        }
        std::vector<TraceChange> changes;
        for (const auto& [name, setting] : request.settings()) {
          changes.push_back({.name = name,
                             .values = {setting.value().begin(), setting.value().end()},
                             .clear = setting.value().empty()});
        }
        MEZZO_TRY(const api::TraceSetting now, front_.services.trace_settings.Update(model, changes));
        auto* settings = response->mutable_settings();
        AddSetting(settings, "trace_file", "");
        AddSetting(settings, "trace_level", now.timestamps ? "TIMESTAMPS" : "OFF");
        AddSetting(settings, "trace_rate", std::to_string(now.rate));
        AddSetting(settings, "trace_count", std::to_string(now.count));
        AddSetting(settings, "log_frequency", std::to_string(now.log_frequency));
        return {};
      });
}

InferenceRpcService::Unary* InferenceRpcService::LogSettings(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kLogSettings};
  return AnswerUnary<::inference::LogSettingsRequest, ::inference::LogSettingsResponse>(
      unary, [&](const auto& request, const Caller& caller, auto* response) -> Result<void> {
        if (!request.settings().empty()) MEZZO_TRY_VOID(tenancy::Demand(caller, Scope::kOperate));
        using Value = ::inference::LogSettingsRequest::SettingValue;
        std::vector<LogChange> changes;
        for (const auto& [name, setting] : request.settings()) {
          LogChange change{.name = name, .value = setting.string_param()};
          if (setting.parameter_choice_case() == Value::kBoolParam) change.value = setting.bool_param();
          if (setting.parameter_choice_case() == Value::kUint32Param) {
            change.value = static_cast<std::uint64_t>(setting.uint32_param());
          }
          changes.push_back(std::move(change));
        }
        MEZZO_TRY(const LogSetting now, front_.services.log_settings.Update(changes));
        auto& settings = *response->mutable_settings();
        settings["log_file"].set_string_param("");
        settings["log_info"].set_bool_param(now.info);
        settings["log_warning"].set_bool_param(now.warning);
        settings["log_error"].set_bool_param(now.error);
        settings["log_verbose_level"].set_uint32_param(now.verbose_level);
        settings["log_format"].set_string_param(now.format);
        return {};
      });
}

}  // namespace mezzo::api::rpc
