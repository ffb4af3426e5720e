#include <utility>

#include "mezzo/api/mlflow/filter.h"
#include "mezzo/api/mlflow/internal/calls.h"
#include "mezzo/api/mlflow/mlflow_handler.h"
#include "mezzo/api/mlflow/mlflow_json.h"
#include "mezzo/api/platform/identity_json.h"
#include "mezzo/base/strings.h"

// Experiments, runs and logged models.

namespace mezzo::api::mlflow {
namespace {

using namespace internal;  // NOLINT(google-build-using-namespace): the routes' ids.
using lifecycle::TrackingStore;
using platform::NameOf;

constexpr std::size_t kMostExperiments = 1001;  // As many as a tenant has, and the default one.
constexpr std::size_t kUsualPage = 100;
constexpr std::size_t kMostRuns = 100;  // Of a page: each with all that was noted of it.
constexpr std::int64_t kMostAsked = 50'000;
// What MLflow allows in one batch.
constexpr std::size_t kMostMetrics = 1000;
constexpr std::size_t kMostParams = 100;
constexpr std::size_t kMostTags = 100;
constexpr std::size_t kMostInputs = 1000;

Error Bad(std::string message) { return InvalidArgument("mlflow_member", std::move(message)); }

Result<std::int64_t> ExperimentOf(const Params& params) {
  MEZZO_TRY(const std::string text, params.Text("experiment_id"));
  return ParseExperimentId(text);
}

Result<std::vector<std::int64_t>> ExperimentsOf(const Params& params) {
  MEZZO_TRY(const auto texts, params.Texts("experiment_ids", kMostExperiments));
  std::vector<std::int64_t> ids;
  for (const std::string& text : texts) {
    MEZZO_TRY(const std::int64_t id, ParseExperimentId(text));
    ids.push_back(id);
  }
  return ids;
}

/// Older clients call it run_uuid.
Result<std::string> RunOf(const Params& params) {
  MEZZO_TRY(const auto id, params.MaybeText("run_id"));
  if (id && !id->empty()) return *id;
  MEZZO_TRY(const auto uuid, params.MaybeText("run_uuid"));
  if (uuid && !uuid->empty()) return *uuid;
  return params.Text("run_id");
}

Result<lifecycle::MetricPoint> MetricOf(const Params& params) {
  lifecycle::MetricPoint point;
  MEZZO_TRY(point.key, params.Text("key"));
  MEZZO_TRY(point.value, params.Real("value"));
  MEZZO_TRY(const auto at, params.Number("timestamp"));
  MEZZO_TRY(const auto step, params.Number("step"));
  MEZZO_TRY(point.model_id, params.TextOr("model_id", ""));
  point.at_ms = at.value_or(0);
  point.step = step.value_or(0);
  return point;
}

Result<std::optional<std::string>> StatusOf(const Params& params) {
  MEZZO_TRY(auto status, params.MaybeText("status"));
  if (!status) return status;
  for (const std::string_view known : {"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"}) {
    if (*status == known) return status;
  }
  return Bad("'status' must be RUNNING, SCHEDULED, FINISHED, FAILED or KILLED, got '" +
             Printable(*status, 64) + "'");
}

/// A data set as it is kept. Its schema and profile, which may be long, are left out when it would not fit:
/// name, digest and source say what it is.
std::string InputText(nlohmann::json input) {
  const auto text = [&input] { return input.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); };
  std::string whole = text();
  if (whole.size() <= TrackingStore::Options().max_value) return whole;
  input["dataset"].erase("schema");
  input["dataset"].erase("profile");
  return text();
}

/// Which of what may be deleted.
Result<lifecycle::TrackingView> ViewOf(const Params& params, const std::string& name) {
  MEZZO_TRY(const std::string view, params.TextOr(name, "ACTIVE_ONLY"));
  if (view == "ACTIVE_ONLY") return lifecycle::TrackingView::kActive;
  if (view == "DELETED_ONLY") return lifecycle::TrackingView::kDeleted;
  if (view == "ALL") return lifecycle::TrackingView::kAll;
  return Bad("'" + name + "' must be ACTIVE_ONLY, DELETED_ONLY or ALL, got '" + Printable(view, 64) + "'");
}

template <typename Record>
std::string NextOf(std::vector<Record>& records, std::size_t limit) {
  if (records.size() <= limit) return "";
  records.resize(limit);
  return records.back().id;
}

}  // namespace

MlflowHandler::Answer MlflowHandler::ExperimentCall(const RoutedCall& call, const Params& params) const {
  const TenantId& tenant = TenantOf(call);
  switch (call.route) {
    case kCreateExperiment: {
      MEZZO_TRY(const std::string name, params.Text("name"));
      MEZZO_TRY(const auto tags, params.Tags("tags"));
      MEZZO_TRY(const std::string place, params.TextOr("artifact_location", ""));
      if (!place.empty()) {
        return Bad("'artifact_location' can't be chosen: artifacts lie in this server's store");
      }
      MEZZO_TRY(const auto made, ports_.tracking.CreateExperiment(tenant, name, tags, Limit()));
      return Ok({{"experiment_id", std::to_string(made.id)}});
    }
    case kGetExperiment: {
      MEZZO_TRY(const std::int64_t id, ExperimentOf(params));
      MEZZO_TRY(const auto found, ports_.tracking.GetExperiment(tenant, id, Limit()));
      return Ok({{"experiment", ToJson(found)}});
    }
    case kExperimentByName: {
      MEZZO_TRY(const std::string name, params.Text("experiment_name"));
      MEZZO_TRY(const auto found, ports_.tracking.FindExperiment(tenant, name, Limit()));
      return Ok({{"experiment", ToJson(found)}});
    }
    case kSearchExperiments:
      return SearchExperiments(call, params);
    default:
      break;
  }
  MEZZO_TRY(const std::int64_t id, ExperimentOf(params));
  switch (call.route) {
    case kUpdateExperiment: {
      MEZZO_TRY(const std::string name, params.Text("new_name"));
      MEZZO_TRY_VOID(ports_.tracking.RenameExperiment(tenant, id, name, Limit()));
      return Nothing();
    }
    case kDeleteExperiment:
      MEZZO_TRY_VOID(ports_.tracking.DeleteExperiment(tenant, id, Limit()));
      return Nothing();
    case kRestoreExperiment:
      MEZZO_TRY_VOID(ports_.tracking.RestoreExperiment(tenant, id, Limit()));
      return Nothing();
    case kDeleteExperimentTag: {
      MEZZO_TRY(const std::string key, params.Text("key"));
      MEZZO_TRY_VOID(ports_.tracking.DeleteExperimentTag(tenant, id, key, Limit()));
      return Nothing();
    }
    default: {
      MEZZO_TRY(const std::string key, params.Text("key"));
      MEZZO_TRY(const std::string value, params.TextOr("value", ""));
      MEZZO_TRY_VOID(ports_.tracking.SetExperimentTag(tenant, id, key, value, Limit()));
      return Nothing();
    }
  }
}

MlflowHandler::Answer MlflowHandler::SearchExperiments(const RoutedCall& call, const Params& params) const {
  MEZZO_TRY(const std::string filter, params.TextOr("filter", ""));
  MEZZO_TRY(const auto order, params.Texts("order_by"));
  MEZZO_TRY(const std::string token, params.TextOr("page_token", ""));
  MEZZO_TRY(const std::size_t limit, PageOf(params, options_.max_page, options_.max_page, kMostAsked));
  lifecycle::ExperimentQuery query;
  MEZZO_TRY(query.conditions, ParseTrackingFilter(filter, Searched::kExperiments));
  MEZZO_TRY(query.order, ParseTrackingOrder(order, Searched::kExperiments));
  MEZZO_TRY(query.view, ViewOf(params, "view_type"));
  MEZZO_TRY(const auto page, ports_.tracking.SearchExperiments(TenantOf(call), query, token, limit, Limit()));
  Json json = {{"experiments", Json::array()}};
  for (const auto& experiment : page.records) json["experiments"].push_back(ToJson(experiment));
  if (!page.next.empty()) json["next_page_token"] = page.next;
  return Ok(json);
}

MlflowHandler::Answer MlflowHandler::RunCall(const RoutedCall& call, const Params& params) const {
  const TenantId& tenant = TenantOf(call);
  if (call.route == kSearchRuns) return SearchRuns(call, params);
  if (call.route == kCreateRun) {
    TrackingStore::NewRun run;
    MEZZO_TRY(const std::string experiment, params.TextOr("experiment_id", "0"));
    MEZZO_TRY(run.experiment, ParseExperimentId(experiment));
    MEZZO_TRY(run.name, params.TextOr("run_name", ""));
    MEZZO_TRY(run.user, params.TextOr("user_id", ""));
    MEZZO_TRY(const auto started, params.Number("start_time"));
    run.started_ms = started.value_or(0);
    MEZZO_TRY(run.tags, params.Tags("tags"));
    if (run.name.empty()) {
      const auto tag = run.tags.find("mlflow.runName");
      if (tag != run.tags.end()) run.name = tag->second;
    }
    if (!run.name.empty()) run.tags.insert_or_assign("mlflow.runName", run.name);
    MEZZO_TRY(const auto made, ports_.tracking.CreateRun(tenant, run, Limit()));
    return Ok({{"run", ToJson(made)}});
  }
  MEZZO_TRY(const std::string id, RunOf(params));
  switch (call.route) {
    case kGetRun: {
      MEZZO_TRY(const auto found, ports_.tracking.GetRun(tenant, id, Limit()));
      return Ok({{"run", ToJson(found)}});
    }
    case kUpdateRun: {
      TrackingStore::RunChange change;
      MEZZO_TRY(change.status, StatusOf(params));
      MEZZO_TRY(change.name, params.MaybeText("run_name"));
      MEZZO_TRY(change.ended_ms, params.Number("end_time"));
      MEZZO_TRY(const auto changed, ports_.tracking.ChangeRun(tenant, id, change, Limit()));
      return Ok({{"run_info", ToJson(changed)["info"]}});
    }
    case kDeleteRun:
    case kRestoreRun: {
      TrackingStore::RunChange change;
      change.deleted = call.route == kDeleteRun;
      MEZZO_TRY_VOID(ports_.tracking.ChangeRun(tenant, id, change, Limit()));
      return Nothing();
    }
    default:
      break;
  }
  MEZZO_TRY(const std::string key, params.Text("metric_key"));
  MEZZO_TRY(const auto offset, params.Number("page_token"));
  MEZZO_TRY(const std::size_t limit, PageOf(params, kMostMetrics, kMostMetrics, kMostAsked));
  const auto first = static_cast<std::size_t>(offset.value_or(0));
  MEZZO_TRY(auto points, ports_.tracking.MetricHistory(tenant, id, key, first, limit + 1, Limit()));
  Json json = {{"metrics", Json::array()}};
  if (points.size() > limit) {
    points.resize(limit);
    json["next_page_token"] = std::to_string(first + limit);
  }
  for (const auto& point : points) json["metrics"].push_back(ToJson(point));
  return Ok(json);
}

MlflowHandler::Answer MlflowHandler::SearchRuns(const RoutedCall& call, const Params& params) const {
  lifecycle::RunQuery query;
  MEZZO_TRY(query.experiments, ExperimentsOf(params));
  MEZZO_TRY(const std::string filter, params.TextOr("filter", ""));
  MEZZO_TRY(query.conditions, ParseTrackingFilter(filter, Searched::kRuns));
  MEZZO_TRY(const auto order, params.Texts("order_by"));
  MEZZO_TRY(query.order, ParseTrackingOrder(order, Searched::kRuns));
  MEZZO_TRY(query.view, ViewOf(params, "run_view_type"));
  MEZZO_TRY(const std::size_t limit, PageOf(params, kMostRuns, kMostRuns, kMostAsked));
  MEZZO_TRY(const std::string token, params.TextOr("page_token", ""));
  MEZZO_TRY(const auto page, ports_.tracking.SearchRuns(TenantOf(call), query, token, limit, Limit()));
  Json json = {{"runs", Json::array()}};
  for (const auto& run : page.records) json["runs"].push_back(ToJson(run));
  if (!page.next.empty()) json["next_page_token"] = page.next;
  return Ok(json);
}

MlflowHandler::Answer MlflowHandler::NoteCall(const RoutedCall& call, const Params& params) const {
  const TenantId& tenant = TenantOf(call);
  MEZZO_TRY(const std::string run, RunOf(params));
  TrackingStore::RunNotes notes;
  switch (call.route) {
    case kLogBatch: {
      MEZZO_TRY(const auto metrics, params.Objects("metrics", kMostMetrics));
      for (const Params& metric : metrics) {
        MEZZO_TRY(auto point, MetricOf(metric));
        notes.metrics.push_back(std::move(point));
      }
      MEZZO_TRY_VOID(params.Objects("params", kMostParams));
      MEZZO_TRY(notes.params, params.Tags("params"));
      MEZZO_TRY_VOID(params.Objects("tags", kMostTags));
      MEZZO_TRY(notes.tags, params.Tags("tags"));
      break;
    }
    case kLogMetric: {
      MEZZO_TRY(auto point, MetricOf(params));
      notes.metrics.push_back(std::move(point));
      break;
    }
    case kLogParameter:
    case kSetRunTag: {
      MEZZO_TRY(const std::string key, params.Text("key"));
      MEZZO_TRY(const std::string value, params.TextOr("value", ""));
      (call.route == kLogParameter ? notes.params : notes.tags).emplace(key, value);
      break;
    }
    case kDeleteRunTag: {
      MEZZO_TRY(const std::string key, params.Text("key"));
      MEZZO_TRY_VOID(ports_.tracking.DeleteRunTag(tenant, run, key, Limit()));
      return Nothing();
    }
    case kLogInputs: {
      MEZZO_TRY(const auto inputs, params.Objects("datasets", kMostInputs));
      for (const Params& input : inputs) {
        MEZZO_TRY(const auto data, input.MaybeObject("dataset"));
        if (!data) return Bad("each of 'datasets' must have a 'dataset'");
        MEZZO_TRY(std::string key, data->Text("name"));
        MEZZO_TRY(const std::string digest, data->Text("digest"));
        key.append("@").append(digest);
        notes.inputs.insert_or_assign(std::move(key), InputText(input.json()));
      }
      break;
    }
    default: {
      MEZZO_TRY(const auto models, params.Objects("models", kMostInputs));
      for (const Params& model : models) {
        lifecycle::RunOutput output;
        MEZZO_TRY(output.model_id, model.Text("model_id"));
        MEZZO_TRY(const auto step, model.Number("step"));
        output.step = step.value_or(0);
        notes.outputs.push_back(std::move(output));
      }
      break;
    }
  }
  MEZZO_TRY_VOID(ports_.tracking.Note(tenant, run, notes, Limit()));
  return Nothing();
}

MlflowHandler::Answer MlflowHandler::LoggedModelCall(const RoutedCall& call, const Params& params) const {
  const TenantId& tenant = TenantOf(call);
  if (call.route == kSearchLoggedModels) return SearchLoggedModels(call, params);
  if (call.route == kCreateLoggedModel) {
    TrackingStore::NewLoggedModel model;
    MEZZO_TRY(const std::string experiment, params.TextOr("experiment_id", "0"));
    MEZZO_TRY(model.experiment, ParseExperimentId(experiment));
    MEZZO_TRY(model.name, params.TextOr("name", ""));
    MEZZO_TRY(model.run_id, params.TextOr("source_run_id", ""));
    MEZZO_TRY(model.type, params.TextOr("model_type", ""));
    MEZZO_TRY(model.params, params.Tags("params"));
    MEZZO_TRY(model.tags, params.Tags("tags"));
    MEZZO_TRY(const auto made,
              ports_.tracking.CreateLoggedModel(tenant, model, NameOf(*call.caller), Limit()));
    return Ok({{"model", ToJson(made)}});
  }
  const std::string id(call.captures[0]);
  TrackingStore::LoggedModelChange change;
  switch (call.route) {
    case kGetLoggedModel: {
      MEZZO_TRY(const auto found, ports_.tracking.GetLoggedModel(tenant, id, Limit()));
      return Ok({{"model", ToJson(found)}});
    }
    case kDeleteLoggedModel:
      MEZZO_TRY_VOID(ports_.tracking.DeleteLoggedModel(tenant, id, Limit()));
      return Nothing();
    case kFinalizeLoggedModel: {
      MEZZO_TRY(const std::string status, params.Text("status"));
      if (status != "LOGGED_MODEL_READY" && status != "LOGGED_MODEL_UPLOAD_FAILED" &&
          status != "LOGGED_MODEL_PENDING") {
        return Bad(
            "'status' must be LOGGED_MODEL_PENDING, LOGGED_MODEL_READY or LOGGED_MODEL_UPLOAD_FAILED, "
            "got '" +
            Printable(status, 64) + "'");
      }
      change.status = status;
      break;
    }
    case kSetLoggedModelTags: {
      MEZZO_TRY(change.tags, params.Tags("tags"));
      break;
    }
    case kDeleteLoggedModelTag:
      change.without_tag = call.captures[1];
      break;
    default: {
      MEZZO_TRY(change.params, params.Tags("params"));
      break;
    }
  }
  MEZZO_TRY(const auto changed, ports_.tracking.ChangeLoggedModel(tenant, id, change, Limit()));
  return Ok({{"model", ToJson(changed)}});
}

MlflowHandler::Answer MlflowHandler::SearchLoggedModels(const RoutedCall& call, const Params& params) const {
  MEZZO_TRY(const auto experiments, ExperimentsOf(params));
  MEZZO_TRY(const std::string filter, params.TextOr("filter", ""));
  MEZZO_TRY(const auto conditions, ParseFilter(filter, Searched::kLoggedModels));
  std::string name;
  std::string run;
  for (const auto& condition : conditions) {
    const bool by_name = condition.field == lifecycle::RegistryCondition::Field::kName;
    std::string& wanted = by_name ? name : run;
    if (!wanted.empty() || condition.values.front().empty()) {
      return InvalidArgument("mlflow_filter", "the filter compares " +
                                                  std::string(by_name ? "name" : "source_run_id") +
                                                  " twice, or with an empty text");
    }
    wanted = condition.values.front();
  }
  MEZZO_TRY(const auto order, params.Objects("order_by", kMostTags));
  for (const Params& key : order) {
    MEZZO_TRY(const std::string field, key.TextOr("field_name", ""));
    MEZZO_TRY(const bool up, key.Flag("ascending"));
    if ((field != "creation_time" && field != "creation_timestamp") || up) {
      return InvalidArgument("mlflow_order",
                             "logged models are listed with the newest first: order_by can only be "
                             "creation_time, not ascending");
    }
  }
  MEZZO_TRY(const std::size_t limit, PageOf(params, kUsualPage, kUsualPage, kMostAsked));
  MEZZO_TRY(const std::string after, params.TextOr("page_token", ""));
  MEZZO_TRY(auto models, ports_.tracking.ListLoggedModels(TenantOf(call), experiments, name, run, after,
                                                          limit + 1, Limit()));
  const std::string next = NextOf(models, limit);
  Json json = {{"models", Json::array()}};
  for (const auto& model : models) json["models"].push_back(ToJson(model));
  if (!next.empty()) json["next_page_token"] = next;
  return Ok(json);
}

}  // namespace mezzo::api::mlflow
