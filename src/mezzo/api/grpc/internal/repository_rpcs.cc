#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "mezzo/api/grpc/internal/control_service.h"
#include "mezzo/api/grpc/internal/unary_answer.h"
#include "mezzo/api/grpc/internal/wire_parameter.h"
#include "mezzo/inference/service.h"
#include "mezzo/runtime/task.h"

namespace mezzo::api::rpc {
namespace {

using tenancy::Caller;
using tenancy::Scope;
using Parameter = ::inference::ModelRepositoryParameter;
using TaskMaker = std::function<runtime::Task<Result<void>>(runtime::Context)>;

std::string_view StateName(models::VersionState state) {
  switch (state) {
    case models::VersionState::kUnknown:
      return "UNKNOWN";
    case models::VersionState::kOnDisk:
      return "READY";  // It answers requests: the first one loads it.
    case models::VersionState::kLoading:
      return "LOADING";
    case models::VersionState::kReady:
      return "READY";
    case models::VersionState::kUnloading:
      return "UNLOADING";
    case models::VersionState::kUnavailable:
      return "UNAVAILABLE";
  }
  return "UNKNOWN";
}

Result<void> CheckRepositoryName(const std::string& name) {
  if (name.empty()) return {};
  return Unimplemented("repository_name_unsupported",
                       "'repository_name' specification is not supported, got " + Quoted(name));
}

Error WrongType(std::string_view key, std::string_view expected) {
  return InvalidArgument("parameter_type", "invalid value type for " + Quoted(key) + " parameter, expected " +
                                               std::string(expected) + ".");
}

Result<models::LoadOverrides> ReadOverrides(const ::inference::RepositoryModelLoadRequest& request) {
  constexpr std::string_view kFile = "file:";
  models::LoadOverrides overrides;
  for (const auto& [key, value] : request.parameters()) {
    if (key == "config") {
      if (value.parameter_choice_case() != Parameter::kStringParam) return WrongType(key, "string_param");
      overrides.config_json = value.string_param();
    } else if (std::string_view(key).starts_with(kFile)) {
      if (value.parameter_choice_case() != Parameter::kBytesParam) return WrongType(key, "bytes_param");
      overrides.files.emplace(key.substr(kFile.size()), value.bytes_param());
    } else {
      return InvalidArgument("parameter_unknown", "unknown load parameter " + Quoted(key) +
                                                      ", expected 'config' or 'file:<version>/<file name>'");
    }
  }
  if (!overrides.files.empty() && overrides.config_json.empty()) {
    return InvalidArgument("config_missing",
                           "failed to load " + Quoted(request.model_name()) +
                               ", load parameter 'config' must be specified when 'file:' is");
  }
  return overrides;
}

/// Models have no dependents here, so the parameter changes nothing.
Result<void> CheckUnloadParameters(const ::inference::RepositoryModelUnloadRequest& request) {
  for (const auto& [key, value] : request.parameters()) {
    if (key != "unload_dependents") {
      return InvalidArgument("parameter_unknown",
                             "unknown unload parameter " + Quoted(key) + ", expected 'unload_dependents'");
    }
    if (value.parameter_choice_case() != Parameter::kBoolParam) return WrongType(key, "bool_param");
  }
  return {};
}

/// A call that runs a task on a loop. Deletes itself when gRPC is done with it.
class TaskCall final : public grpc::ServerUnaryReactor {
 public:
  TaskCall(Front& front, grpc::CallbackServerContext& call, Method method, RunningPlace place,
           runtime::Context ctx)
      : front_(front), call_(call), method_(method), place_(std::move(place)), ctx_(std::move(ctx)) {}

  void Start(TaskMaker make) {
    front_.NextLoop().Post([this, make = std::move(make)] {
      runtime::Start(make(ctx_), [this](const Result<void>& result) { Complete(result); });
    });
  }

  void OnCancel() override { ctx_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  void Complete(const Result<void>& result) {
    const grpc::Status status =
        result.ok() ? grpc::Status::OK : Refuse(call_, result.error(), ctx_.request_id());
    front_.metrics.CountCall(method_, status.error_code());
    Finish(status);
  }

  Front& front_;
  grpc::CallbackServerContext& call_;
  const Method method_;
  const RunningPlace place_;
  const runtime::Context ctx_;
};

/// Answers a call that may wait, with an empty response: `plan(request)` gives what makes the task.
template <typename Request, typename Plan>
grpc::ServerUnaryReactor* RunTask(const UnaryCall& call, Plan plan) {
  Front& front = call.front;
  std::unique_ptr<TaskCall> started;
  TaskMaker maker;
  auto prepare = [&]() -> Result<void> {
    MEZZO_TRY(RunningPlace place, front.Enter());
    MEZZO_TRY(const tenancy::CallerRef caller, AdmitCall(front, *call.context, call.method));
    MEZZO_TRY(const Request request, ParseMessage<Request>(front, *call.request));
    MEZZO_TRY_VOID(CheckRepositoryName(request.repository_name()));
    MEZZO_TRY(TaskMaker make, plan(request));
    runtime::Context ctx = MakeContext(front, *call.context, *caller);
    started = std::make_unique<TaskCall>(front, *call.context, call.method, std::move(place), std::move(ctx));
    maker = std::move(make);
    return {};
  };
  if (auto prepared = prepare(); !prepared.ok())
    return FinishUnary(front, call.context, call.method, prepared);
  SetMessage(::inference::RepositoryModelLoadResponse(), call.response);  // No bytes, as the unload's.
  TaskCall* running = started.release();                                  // Owned by gRPC until OnDone().
  running->Start(std::move(maker));
  return running;
}

}  // namespace

InferenceRpcService::Unary* InferenceRpcService::RepositoryIndex(Call* call, const Bytes* in, Bytes* out) {
  const UnaryCall unary{front_, call, in, out, Method::kRepositoryIndex};
  return AnswerUnary<::inference::RepositoryIndexRequest, ::inference::RepositoryIndexResponse>(
      unary, [&](const auto& request, const Caller&, auto* response) -> Result<void> {
        MEZZO_TRY_VOID(CheckRepositoryName(request.repository_name()));
        for (const models::IndexEntry& entry : front_.services.service.catalog().Index(request.ready())) {
          auto* out = response->add_models();
          out->set_name(entry.name);
          out->set_version(entry.version);
          out->set_state(std::string(StateName(entry.state)));
          out->set_reason(entry.reason);
        }
        return {};
      });
}

InferenceRpcService::Unary* InferenceRpcService::RepositoryModelLoad(Call* call, const Bytes* in,
                                                                     Bytes* out) {
  using Request = ::inference::RepositoryModelLoadRequest;
  const UnaryCall unary{front_, call, in, out, Method::kRepositoryModelLoad};
  return RunTask<Request>(unary, [this](const Request& request) -> Result<TaskMaker> {
    MEZZO_TRY(models::LoadOverrides overrides, ReadOverrides(request));
    return TaskMaker(
        [this, model = ModelName(request.model_name()),
         kept = std::make_shared<models::LoadOverrides>(std::move(overrides))](runtime::Context ctx) {
          return front_.services.service.catalog().Load(std::move(ctx), model, std::move(*kept));
        });
  });
}

InferenceRpcService::Unary* InferenceRpcService::RepositoryModelUnload(Call* call, const Bytes* in,
                                                                       Bytes* out) {
  using Request = ::inference::RepositoryModelUnloadRequest;
  const UnaryCall unary{front_, call, in, out, Method::kRepositoryModelUnload};
  return RunTask<Request>(unary, [this](const Request& request) -> Result<TaskMaker> {
    MEZZO_TRY_VOID(CheckUnloadParameters(request));
    return TaskMaker([this, model = ModelName(request.model_name())](runtime::Context ctx) {
      return front_.services.service.catalog().Unload(std::move(ctx), model);
    });
  });
}

}  // namespace mezzo::api::rpc
