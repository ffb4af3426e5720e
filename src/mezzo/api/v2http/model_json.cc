#include "mezzo/api/v2http/model_json.h"

#include "mezzo/api/json_text.h"

namespace mezzo::api::v2http {
namespace {

void AppendKey(std::string_view key, std::string* out) {
  if (out->back() != '{') *out += ',';
  *out += '"';
  out->append(key);
  out->append("\":");
}

void AppendText(std::string_view key, std::string_view value, std::string* out) {
  AppendKey(key, out);
  AppendJsonString(value, out);
}

void AppendCount(std::string_view key, std::uint64_t value, std::string* out) {
  AppendKey(key, out);
  AppendJsonInteger(value, out);
}

/// [a,b]: `append` writes one element.
template <typename Items, typename Append>
void AppendArray(const Items& items, std::string* out, const Append& append) {
  *out += '[';
  bool first = true;
  for (const auto& item : items) {
    if (!first) *out += ',';
    first = false;
    append(item);
  }
  *out += ']';
}

void AppendTensors(std::string_view key, const std::vector<models::TensorConfig>& tensors, std::string* out) {
  AppendKey(key, out);
  AppendArray(tensors, out, [out](const models::TensorConfig& tensor) {
    *out += '{';
    AppendText("name", tensor.name, out);
    AppendText("datatype", tensor::DTypeName(tensor.dtype), out);
    AppendKey("shape", out);
    AppendArray(tensor.shape.dims(), out, [out](std::int64_t dim) { AppendJsonInteger(dim, out); });
    *out += '}';
  });
}

void AppendDuration(std::string_view key, const inference::StatisticDuration& duration, std::string* out) {
  AppendKey(key, out);
  *out += '{';
  AppendCount("count", duration.count, out);
  AppendCount("ns", duration.ns, out);
  *out += '}';
}

void AppendStatistics(const inference::ModelStatistics& model, std::string* out) {
  *out += '{';
  AppendText("name", model.name, out);
  AppendText("version", model.version, out);
  AppendCount("last_inference", model.last_inference_ms, out);
  AppendCount("inference_count", model.inference_count, out);
  AppendCount("execution_count", model.execution_count, out);
  AppendKey("inference_stats", out);
  *out += '{';
  AppendDuration("success", model.success, out);
  AppendDuration("fail", model.fail, out);
  AppendDuration("queue", model.queue, out);
  AppendDuration("compute_input", model.compute_input, out);
  AppendDuration("compute_infer", model.compute_infer, out);
  AppendDuration("compute_output", model.compute_output, out);
  AppendDuration("cache_hit", model.cache_hit, out);
  AppendDuration("cache_miss", model.cache_miss, out);
  *out += '}';
  AppendKey("response_stats", out);
  out->append("{}");
  AppendKey("batch_stats", out);
  AppendArray(model.batches, out, [out](const inference::BatchStatistic& batch) {
    *out += '{';
    AppendCount("batch_size", batch.batch_size, out);
    AppendDuration("compute_input", batch.compute_input, out);
    AppendDuration("compute_infer", batch.compute_infer, out);
    AppendDuration("compute_output", batch.compute_output, out);
    *out += '}';
  });
  AppendKey("memory_usage", out);
  out->append("[{");
  AppendText("type", "CPU", out);
  AppendCount("id", 0, out);
  AppendCount("byte_size", model.memory_bytes, out);
  out->append("}]}");
}

std::string_view StateName(models::VersionState state) {
  switch (state) {
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
    case models::VersionState::kUnknown:
      break;
  }
  return "UNKNOWN";
}

void AppendEntry(const models::IndexEntry& entry, std::string* out) {
  *out += '{';
  AppendText("name", entry.name, out);
  if (!entry.version.empty()) AppendText("version", entry.version, out);
  // Models that nobody loaded have only their name.
  const bool name_only = entry.version.empty() && entry.state == models::VersionState::kUnknown;
  if (!name_only) AppendText("state", StateName(entry.state), out);
  if (!entry.reason.empty()) AppendText("reason", entry.reason, out);
  *out += '}';
}

}  // namespace

std::string ServerMetadataJson(std::string_view name, std::string_view version,
                               const std::vector<std::string_view>& extensions) {
  std::string out = "{";
  AppendText("name", name, &out);
  AppendText("version", version, &out);
  AppendKey("extensions", &out);
  AppendArray(extensions, &out, [&out](std::string_view extension) { AppendJsonString(extension, &out); });
  out += '}';
  return out;
}

std::string ModelMetadataJson(const models::ModelConfig& config, const std::vector<std::string>& versions) {
  std::string out = "{";
  AppendText("name", config.name, &out);
  AppendKey("versions", &out);
  AppendArray(versions, &out, [&out](const std::string& version) { AppendJsonString(version, &out); });
  AppendText("platform", config.platform, &out);
  AppendTensors("inputs", config.inputs, &out);
  AppendTensors("outputs", config.outputs, &out);
  out += '}';
  return out;
}

std::string StatisticsJson(const std::vector<inference::ModelStatistics>& statistics) {
  std::string out = "{";
  AppendKey("model_stats", &out);
  AppendArray(statistics, &out,
              [&out](const inference::ModelStatistics& model) { AppendStatistics(model, &out); });
  out += '}';
  return out;
}

std::string IndexJson(const std::vector<models::IndexEntry>& entries) {
  std::string out;
  AppendArray(entries, &out, [&out](const models::IndexEntry& entry) { AppendEntry(entry, &out); });
  return out;
}

std::string ModelNamesJson(const std::vector<models::IndexEntry>& entries) {
  std::vector<std::string_view> names;
  for (const auto& entry : entries) {
    // Versions of a model stand together in the index.
    if (names.empty() || names.back() != entry.name) names.push_back(entry.name);
  }
  std::string out = "{";
  AppendKey("models", &out);
  AppendArray(names, &out, [&out](std::string_view name) { AppendJsonString(name, &out); });
  out += '}';
  return out;
}

}  // namespace mezzo::api::v2http
