#include "mezzo/api/mlflow/mlflow_json.h"

#include <chrono>
#include <cmath>

#include <nlohmann/json.hpp>

#include "mezzo/api/mlflow/source.h"

namespace mezzo::api::mlflow {
namespace {

using Json = nlohmann::ordered_json;
using lifecycle::VersionState;

std::int64_t Millis(WallTime time) {
  return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

Json Pairs(const lifecycle::Tags& tags) {
  Json list = Json::array();
  for (const auto& [key, value] : tags) list.push_back({{"key", key}, {"value", value}});
  return list;
}

const char* StatusOf(VersionState state) {
  switch (state) {
    case VersionState::kUploading:
    case VersionState::kTesting:
      return "PENDING_REGISTRATION";
    case VersionState::kReady:
    case VersionState::kArchived:
      return "READY";
    case VersionState::kRejected:
      break;
  }
  return "FAILED_REGISTRATION";
}

Json Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

std::string Find(const lifecycle::Tags& tags, const std::string& key) {
  const auto at = tags.find(key);
  return at == tags.end() ? "" : at->second;
}

}  // namespace

std::string StageName(const std::string& stage) { return stage.empty() ? "None" : stage; }

Json ToJson(const lifecycle::VersionRecord& version) {
  Json json = {{"name", version.model},
               {"version", std::to_string(version.version)},
               {"creation_timestamp", Millis(version.created)},
               {"last_updated_timestamp", Millis(version.updated)},
               {"user_id", version.created_by},
               {"current_stage", StageName(version.stage)},
               {"description", version.description},
               {"source", version.lineage.source},
               {"run_id", version.lineage.run_id},
               {"status", StatusOf(version.state)},
               {"status_message", version.reason},
               {"tags", Pairs(version.tags)},
               {"run_link", Find(version.tags, "mezzo.run_link")},
               {"aliases", version.aliases}};
  if (version.state == VersionState::kArchived) json["status_message"] = "archived";
  if (version.lineage.source.starts_with("models:/m-")) {
    json["model_id"] = version.lineage.source.substr(std::string_view("models:/").size());
  }
  return json;
}

Json ToJson(const lifecycle::ModelRecord& model, const std::vector<lifecycle::VersionRecord>& newest) {
  Json latest = Json::array();
  for (const auto& version : newest) {
    if (version.model_id == model.id) latest.push_back(ToJson(version));
  }
  Json aliases = Json::array();
  for (const auto& [alias, version] : model.aliases) {
    aliases.push_back({{"alias", alias}, {"version", std::to_string(version)}});
  }
  return {{"name", model.name},
          {"creation_timestamp", Millis(model.created)},
          {"last_updated_timestamp", Millis(model.updated)},
          {"user_id", model.created_by},
          {"description", model.description},
          {"latest_versions", std::move(latest)},
          {"tags", Pairs(model.tags)},
          {"aliases", std::move(aliases)}};
}

Json ToJson(const lifecycle::ExperimentRecord& experiment) {
  return {{"experiment_id", std::to_string(experiment.id)},
          {"name", experiment.name},
          {"artifact_location", "mlflow-artifacts:/experiments/" + std::to_string(experiment.id)},
          {"lifecycle_stage", experiment.deleted ? "deleted" : "active"},
          {"last_update_time", Millis(experiment.updated)},
          {"creation_time", Millis(experiment.created)},
          {"tags", Pairs(experiment.tags)}};
}

Json ToJson(const lifecycle::MetricPoint& point) {
  Json json = {
      {"key", point.key}, {"value", Number(point.value)}, {"timestamp", point.at_ms}, {"step", point.step}};
  if (!point.model_id.empty()) json["model_id"] = point.model_id;
  return json;
}

Json ToJson(const lifecycle::RunRecord& run) {
  Json info = {{"run_id", run.id},
               {"run_uuid", run.id},
               {"run_name", run.name},
               {"experiment_id", std::to_string(run.experiment)},
               {"user_id", run.user},
               {"status", run.status},
               {"start_time", run.started_ms},
               {"artifact_uri", RunUri(run.id)},
               {"lifecycle_stage", run.deleted ? "deleted" : "active"}};
  if (run.ended_ms) info["end_time"] = *run.ended_ms;
  Json metrics = Json::array();
  for (const auto& [key, point] : run.metrics) metrics.push_back(ToJson(point));
  Json inputs = Json::array();
  for (const auto& [key, text] : run.inputs) {
    Json input = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!input.is_discarded()) inputs.push_back(std::move(input));
  }
  Json outputs = Json::array();
  for (const auto& output : run.outputs) {
    outputs.push_back({{"model_id", output.model_id}, {"step", output.step}});
  }
  return {
      {"info", std::move(info)},
      {"data", {{"metrics", std::move(metrics)}, {"params", Pairs(run.params)}, {"tags", Pairs(run.tags)}}},
      {"inputs", {{"dataset_inputs", std::move(inputs)}, {"model_inputs", Json::array()}}},
      {"outputs", {{"model_outputs", std::move(outputs)}}}};
}

Json ToJson(const lifecycle::LoggedModelRecord& model) {
  return {{"info",
           {{"model_id", model.id},
            {"experiment_id", std::to_string(model.experiment)},
            {"name", model.name},
            {"creation_timestamp_ms", Millis(model.created)},
            {"last_updated_timestamp_ms", Millis(model.updated)},
            {"artifact_uri", LoggedModelUri(model.id)},
            {"status", model.status},
            {"model_type", model.type},
            {"source_run_id", model.run_id},
            {"tags", Pairs(model.tags)}}},
          {"data", {{"params", Pairs(model.params)}, {"metrics", Json::array()}}}};
}

lifecycle::Lineage LineageOf(const lifecycle::RunRecord& run, std::size_t max_text) {
  lifecycle::Lineage lineage;
  lineage.run_id = run.id;
  lineage.data = Find(run.tags, "mezzo.data");
  if (lineage.data.empty()) {
    for (const auto& [name, text] : run.inputs) {
      if (lineage.data.size() + name.size() + 2 > max_text) break;
      lineage.data += (lineage.data.empty() ? "" : ", ") + name;
    }
  }
  lineage.code = Find(run.tags, "mlflow.source.git.commit");
  if (lineage.code.empty()) lineage.code = Find(run.tags, "mlflow.source.name");
  constexpr std::size_t kRoom = 64;  // For the number that were left out.
  Json metrics = Json::object();
  std::size_t size = kRoom;
  std::size_t left_out = 0;
  for (const auto& [key, point] : run.metrics) {
    const Json value = Number(point.value);
    const std::size_t more =
        Json(key).dump(-1, ' ', false, Json::error_handler_t::replace).size() + value.dump().size() + 2;
    if (size + more > max_text) {
      ++left_out;
      continue;
    }
    size += more;
    metrics[key] = value;
  }
  if (left_out > 0) metrics["mezzo.left_out"] = left_out;
  if (!metrics.empty()) lineage.metrics = metrics.dump(-1, ' ', false, Json::error_handler_t::replace);
  return lineage;
}

}  // namespace mezzo::api::mlflow
