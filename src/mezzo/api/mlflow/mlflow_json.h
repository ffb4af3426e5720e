#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "mezzo/lifecycle/registry.h"
#include "mezzo/lifecycle/tracking.h"

namespace mezzo::api::mlflow {

// Records as MLflow's protobuf messages in JSON.

/// RegisteredModel. `newest`: of each stage, of any models; those of this one are taken.
nlohmann::ordered_json ToJson(const lifecycle::ModelRecord& model,
                              const std::vector<lifecycle::VersionRecord>& newest);
/// ModelVersion.
nlohmann::ordered_json ToJson(const lifecycle::VersionRecord& version);
nlohmann::ordered_json ToJson(const lifecycle::ExperimentRecord& experiment);
nlohmann::ordered_json ToJson(const lifecycle::RunRecord& run);
nlohmann::ordered_json ToJson(const lifecycle::LoggedModelRecord& model);
nlohmann::ordered_json ToJson(const lifecycle::MetricPoint& point);

/// "None" for the empty one, else as it is kept.
std::string StageName(const std::string& stage);

/// What a run says of the model it has made, for the version's lineage: its metrics as JSON, its data sets
/// ("name@digest", or the tag mezzo.data), its commit (or program). Texts are cut where the registry's
/// `max_text` ends: metrics that do not fit are left out, and "mezzo.left_out" says how many.
lifecycle::Lineage LineageOf(const lifecycle::RunRecord& run, std::size_t max_text);

}  // namespace mezzo::api::mlflow
