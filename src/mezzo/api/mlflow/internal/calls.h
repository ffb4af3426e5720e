#pragma once

#include <nlohmann/json.hpp>

#include "mezzo/api/mlflow/params.h"
#include "mezzo/api/protocol.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api::mlflow::internal {

using Json = nlohmann::ordered_json;

enum RouteId : int {
  kCreateModel,
  kRenameModel,
  kUpdateModel,
  kDeleteModel,
  kGetModel,
  kSearchModels,
  kLatestVersions,
  kSetModelTag,
  kDeleteModelTag,
  kSetAlias,
  kDeleteAlias,
  kGetAlias,
  kLastOfModels = kGetAlias,
  kCreateVersion,
  kUpdateVersion,
  kDeleteVersion,
  kGetVersion,
  kSearchVersions,
  kDownloadUri,
  kTransitionStage,
  kSetVersionTag,
  kDeleteVersionTag,
  kLastOfVersions = kDeleteVersionTag,
  kCreateExperiment,
  kGetExperiment,
  kExperimentByName,
  kSearchExperiments,
  kUpdateExperiment,
  kDeleteExperiment,
  kRestoreExperiment,
  kSetExperimentTag,
  kDeleteExperimentTag,
  kLastOfExperiments = kDeleteExperimentTag,
  kCreateRun,
  kGetRun,
  kUpdateRun,
  kDeleteRun,
  kRestoreRun,
  kSearchRuns,
  kMetricHistory,
  kLastOfRuns = kMetricHistory,
  kLogBatch,
  kLogMetric,
  kLogParameter,
  kSetRunTag,
  kDeleteRunTag,
  kLogInputs,
  kLogOutputs,
  kLastOfNotes = kLogOutputs,
  kCreateLoggedModel,
  kSearchLoggedModels,
  kGetLoggedModel,
  kFinalizeLoggedModel,
  kDeleteLoggedModel,
  kSetLoggedModelTags,
  kDeleteLoggedModelTag,
  kLogLoggedModelParams,
  kLastOfLoggedModels = kLogLoggedModelParams,
  kListArtifacts,
  kGetArtifact,
  kPutArtifact,
  kDeleteArtifact,
  kBeginParts,
  kCompleteParts,
  kAbortParts,
  kPutPart,
  kServerInfo,
};

inline net::HttpResponse Ok(const Json& json) {
  return net::HttpResponse::Json(200, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}
inline net::HttpResponse Nothing() { return net::HttpResponse::Json(200, "{}"); }

inline const TenantId& TenantOf(const RoutedCall& call) { return call.caller->tenant->id; }

/// `max_results`, cut to `most`; `usual` when it is not there. kInvalidArgument "mlflow_member" when it is 0
/// or more than `allowed`.
Result<std::size_t> PageOf(const Params& params, std::size_t usual, std::size_t most, std::int64_t allowed);

}  // namespace mezzo::api::mlflow::internal
