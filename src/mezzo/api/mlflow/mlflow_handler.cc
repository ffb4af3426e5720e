#include "mezzo/api/mlflow/mlflow_handler.h"

#include <algorithm>
#include <utility>

#include "mezzo/api/mlflow/internal/calls.h"
#include "mezzo/api/mlflow/mlflow_error.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::mlflow {
namespace {

using namespace internal;  // NOLINT(google-build-using-namespace): the routes' ids.
using net::Method;
using tenancy::Scope;

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kMaxBody = ByteCount{1} << 20;
/// A batch of a thousand measurements and their texts.
constexpr ByteCount kMaxBatch = ByteCount{4} << 20;

std::vector<Route> Routes(ByteCount max_artifact, ByteCount max_part) {
  std::vector<Route> routes;
  const auto read = [&](Method method, std::string_view pattern, RouteId id) {
    routes.push_back({method, pattern, Scope::kRead, method == Method::kGet ? kIgnoredBody : kMaxBody, id});
  };
  const auto change = [&](Method method, std::string_view pattern, RouteId id, ByteCount body = kMaxBody) {
    routes.push_back({method, pattern, Scope::kOperate, body, id});
  };
  change(Method::kPost, "/api/2.0/mlflow/registered-models/create", kCreateModel);
  change(Method::kPost, "/api/2.0/mlflow/registered-models/rename", kRenameModel);
  change(Method::kPatch, "/api/2.0/mlflow/registered-models/update", kUpdateModel);
  change(Method::kDelete, "/api/2.0/mlflow/registered-models/delete", kDeleteModel);
  read(Method::kGet, "/api/2.0/mlflow/registered-models/get", kGetModel);
  read(Method::kGet, "/api/2.0/mlflow/registered-models/search", kSearchModels);
  read(Method::kGet, "/api/2.0/mlflow/registered-models/get-latest-versions", kLatestVersions);
  read(Method::kPost, "/api/2.0/mlflow/registered-models/get-latest-versions", kLatestVersions);
  change(Method::kPost, "/api/2.0/mlflow/registered-models/set-tag", kSetModelTag);
  change(Method::kDelete, "/api/2.0/mlflow/registered-models/delete-tag", kDeleteModelTag);
  change(Method::kPost, "/api/2.0/mlflow/registered-models/alias", kSetAlias);
  change(Method::kDelete, "/api/2.0/mlflow/registered-models/alias", kDeleteAlias);
  read(Method::kGet, "/api/2.0/mlflow/registered-models/alias", kGetAlias);
  change(Method::kPost, "/api/2.0/mlflow/model-versions/create", kCreateVersion);
  change(Method::kPatch, "/api/2.0/mlflow/model-versions/update", kUpdateVersion);
  change(Method::kDelete, "/api/2.0/mlflow/model-versions/delete", kDeleteVersion);
  read(Method::kGet, "/api/2.0/mlflow/model-versions/get", kGetVersion);
  read(Method::kGet, "/api/2.0/mlflow/model-versions/search", kSearchVersions);
  read(Method::kGet, "/api/2.0/mlflow/model-versions/get-download-uri", kDownloadUri);
  change(Method::kPost, "/api/2.0/mlflow/model-versions/transition-stage", kTransitionStage);
  change(Method::kPost, "/api/2.0/mlflow/model-versions/set-tag", kSetVersionTag);
  change(Method::kDelete, "/api/2.0/mlflow/model-versions/delete-tag", kDeleteVersionTag);
  change(Method::kPost, "/api/2.0/mlflow/experiments/create", kCreateExperiment);
  read(Method::kGet, "/api/2.0/mlflow/experiments/get", kGetExperiment);
  read(Method::kGet, "/api/2.0/mlflow/experiments/get-by-name", kExperimentByName);
  read(Method::kGet, "/api/2.0/mlflow/experiments/search", kSearchExperiments);
  read(Method::kPost, "/api/2.0/mlflow/experiments/search", kSearchExperiments);
  change(Method::kPost, "/api/2.0/mlflow/experiments/update", kUpdateExperiment);
  change(Method::kPost, "/api/2.0/mlflow/experiments/delete", kDeleteExperiment);
  change(Method::kPost, "/api/2.0/mlflow/experiments/restore", kRestoreExperiment);
  change(Method::kPost, "/api/2.0/mlflow/experiments/set-experiment-tag", kSetExperimentTag);
  change(Method::kPost, "/api/2.0/mlflow/experiments/delete-experiment-tag", kDeleteExperimentTag);
  change(Method::kPost, "/api/2.0/mlflow/runs/create", kCreateRun);
  read(Method::kGet, "/api/2.0/mlflow/runs/get", kGetRun);
  change(Method::kPost, "/api/2.0/mlflow/runs/update", kUpdateRun);
  change(Method::kPost, "/api/2.0/mlflow/runs/delete", kDeleteRun);
  change(Method::kPost, "/api/2.0/mlflow/runs/restore", kRestoreRun);
  read(Method::kPost, "/api/2.0/mlflow/runs/search", kSearchRuns);
  read(Method::kGet, "/api/2.0/mlflow/metrics/get-history", kMetricHistory);
  change(Method::kPost, "/api/2.0/mlflow/runs/log-batch", kLogBatch, kMaxBatch);
  change(Method::kPost, "/api/2.0/mlflow/runs/log-metric", kLogMetric);
  change(Method::kPost, "/api/2.0/mlflow/runs/log-parameter", kLogParameter);
  change(Method::kPost, "/api/2.0/mlflow/runs/set-tag", kSetRunTag);
  change(Method::kPost, "/api/2.0/mlflow/runs/delete-tag", kDeleteRunTag);
  change(Method::kPost, "/api/2.0/mlflow/runs/log-inputs", kLogInputs);
  change(Method::kPost, "/api/2.0/mlflow/runs/outputs", kLogOutputs);
  change(Method::kPost, "/api/2.0/mlflow/logged-models", kCreateLoggedModel);
  read(Method::kPost, "/api/2.0/mlflow/logged-models/search", kSearchLoggedModels);
  read(Method::kGet, "/api/2.0/mlflow/logged-models/*", kGetLoggedModel);
  change(Method::kPatch, "/api/2.0/mlflow/logged-models/*", kFinalizeLoggedModel);
  change(Method::kDelete, "/api/2.0/mlflow/logged-models/*", kDeleteLoggedModel);
  change(Method::kPatch, "/api/2.0/mlflow/logged-models/*/tags", kSetLoggedModelTags);
  change(Method::kDelete, "/api/2.0/mlflow/logged-models/*/tags/*", kDeleteLoggedModelTag);
  change(Method::kPost, "/api/2.0/mlflow/logged-models/*/params", kLogLoggedModelParams);
  read(Method::kGet, "/api/2.0/mlflow-artifacts/artifacts", kListArtifacts);
  read(Method::kGet, "/api/2.0/mlflow-artifacts/artifacts/**", kGetArtifact);
  change(Method::kPut, "/api/2.0/mlflow-artifacts/artifacts/**", kPutArtifact, max_artifact);
  change(Method::kDelete, "/api/2.0/mlflow-artifacts/artifacts/**", kDeleteArtifact);
  change(Method::kPost, "/api/2.0/mlflow-artifacts/mpu/create/**", kBeginParts);
  change(Method::kPost, "/api/2.0/mlflow-artifacts/mpu/complete/**", kCompleteParts, kMaxBatch);
  change(Method::kPost, "/api/2.0/mlflow-artifacts/mpu/abort/**", kAbortParts);
  change(Method::kPut, "/api/2.0/mlflow-artifacts/mpu/parts/*/#", kPutPart, max_part);
  read(Method::kGet, "/api/3.0/mlflow/server-info", kServerInfo);
  return routes;
}

/// Clients ask which ways of moving large files there are.
net::HttpResponse ServerInfo() {
  return Ok({{"store_type", "mezzo"},
             {"workspaces_enabled", false},
             {"trace_archival_enabled", false},
             {"multipart_uploads_enabled", true},
             {"multipart_downloads_enabled", false}});
}

}  // namespace

namespace internal {

Result<std::size_t> PageOf(const Params& params, std::size_t usual, std::size_t most, std::int64_t allowed) {
  MEZZO_TRY(const auto asked, params.Number("max_results"));
  if (!asked) return usual;
  if (*asked < 1 || *asked > allowed) {
    return InvalidArgument("mlflow_member", "'max_results' must be 1 to " + std::to_string(allowed) +
                                                ", got " + std::to_string(*asked));
  }
  return std::min(static_cast<std::size_t>(*asked), most);
}

}  // namespace internal

MlflowHandler::MlflowHandler(Options options, Ports ports)
    : options_(options), ports_(ports), routes_(Routes(options.max_artifact, options.max_part)) {}

net::HttpResponse MlflowHandler::Refuse(const Error& error) const { return MlflowErrorResponse(error); }

net::HttpResponse MlflowHandler::RefuseRoute(const net::HttpRequest& head, const RouteMatch& match) const {
  const Error error = NotFound("mlflow_endpoint_unknown", "there is no " + std::string(head.method_text()) +
                                                              " " + Printable(head.path()) +
                                                              " here: docs/guides/mlflow.md says what is");
  if (!match.path_known) return MlflowErrorResponse(error);
  constexpr int kMethodNotAllowed = 405;
  net::HttpResponse response = MlflowErrorResponse(kMethodNotAllowed, error);
  // No logged model is called "search": what is served of one is not served there.
  const bool search = head.path() == "/api/2.0/mlflow/logged-models/search";
  response.headers.emplace_back("Allow", search ? "POST" : AllowedMethods(routes(), head.path()));
  return response;
}

net::BodyPlan MlflowHandler::Plan(const net::HttpRequest& head, const RouteMatch& match) const {
  net::BodyPlan plan = Protocol::Plan(head, match);
  const auto header = head.Header("Content-Length");
  const auto length = header ? ParseUint(*header) : std::nullopt;
  if (length && *length > match.route->max_body) {
    const bool file = match.route->id == kPutArtifact;
    plan.refusal = std::make_unique<net::HttpResponse>(MlflowErrorResponse(ResourceExhausted(
        "mlflow_body_too_large", "the body has " + std::to_string(*length) + " bytes; the limit is " +
                                     std::to_string(match.route->max_body) +
                                     (file ? ": larger files come in parts" : ""))));
  }
  return plan;
}

runtime::Task<net::HttpResponse> MlflowHandler::Handle(runtime::Context ctx, RoutedCall call) {
  auto answer = co_await Act(std::move(ctx), std::move(call));
  if (!answer.ok()) co_return MlflowErrorResponse(answer.error());
  co_return *std::move(answer);
}

runtime::Task<MlflowHandler::Answer> MlflowHandler::Act(runtime::Context ctx, RoutedCall call) const {
  if (call.route == kServerInfo) co_return ServerInfo();
  if (call.route == kGetArtifact) co_return co_await SendArtifact(std::move(ctx), std::move(call));
  auto work = [this, &call] { return Dispatch(call); };
  const bool moves = call.route == kPutArtifact || call.route == kCreateVersion || call.route == kPutPart ||
                     call.route == kCompleteParts || call.route == kAbortParts;
  co_return co_await runtime::Offload(moves ? ports_.store : ports_.pool, std::move(work));
}

MlflowHandler::Answer MlflowHandler::Dispatch(const RoutedCall& call) const {
  if (call.route == kPutArtifact) return PutArtifact(call);  // Its body is no JSON.
  if (call.route == kPutPart) return PutPart(call);
  if (call.route == kDeleteArtifact) return DeleteArtifact(call);
  MEZZO_TRY(const Params params, Params::Of(*call.request));
  if (call.route <= kLastOfModels) return ModelCall(call, params);
  if (call.route <= kLastOfVersions) return VersionCall(call, params);
  if (call.route <= kLastOfExperiments) return ExperimentCall(call, params);
  if (call.route <= kLastOfRuns) return RunCall(call, params);
  if (call.route <= kLastOfNotes) return NoteCall(call, params);
  if (call.route <= kLastOfLoggedModels) return LoggedModelCall(call, params);
  if (call.route == kListArtifacts) return ListArtifacts(call, params);
  return PartsCall(call, params);
}

}  // namespace mezzo::api::mlflow
