// Health, metadata, readiness, configuration and statistics.

#include <algorithm>

#include "mezzo/api/v2http/internal/config_text.h"
#include "mezzo/api/v2http/model_json.h"
#include "mezzo/api/v2http/v2_handler.h"

namespace mezzo::api::v2http {
namespace {

net::HttpResponse Empty(int status) {
  net::HttpResponse response;
  response.status = status;
  return response;
}

}  // namespace

V2Handler::Answer V2Handler::Health(bool ready) const { return Empty(ready ? 200 : 400); }

V2Handler::Answer V2Handler::ServerMetadata() const {
  std::vector<std::string_view> extensions = {
      "classification",  "model_repository",    "model_repository(unload_dependents)",
      "schedule_policy", "model_configuration", "binary_tensor_data",
      "parameters",      "statistics",          "trace",
      "logging"};
  if (ports_.regions.enabled()) extensions.emplace_back("system_shared_memory");
  return net::HttpResponse::Json(
      200, ServerMetadataJson(options_.server_name, options_.server_version, extensions));
}

V2Handler::Answer V2Handler::ModelReady(const Call& call, bool versioned) const {
  const std::string_view version = versioned ? call.captures[1] : std::string_view();
  MEZZO_TRY_VOID(CheckVersion(version));
  if (ports_.service.catalog().IsReady(call.captures[0], version)) return Empty(200);
  return net::HttpResponse::ErrorJson(400, "Model version not ready");
}

V2Handler::Answer V2Handler::ModelMetadata(const Call& call, bool versioned) const {
  const std::string_view model = call.captures[0];
  const std::string_view version = versioned ? call.captures[1] : std::string_view();
  MEZZO_TRY_VOID(CheckVersion(version));
  MEZZO_TRY(const auto config, ports_.service.catalog().ConfigOf(model, version));
  std::vector<std::string> versions;
  if (versioned) {
    versions.emplace_back(version);
  } else {
    MEZZO_TRY(const std::vector<std::int64_t> numbers, ports_.service.catalog().VersionsOf(model));
    for (const std::int64_t number : numbers) versions.push_back(std::to_string(number));
  }
  return net::HttpResponse::Json(200, ModelMetadataJson(*config, versions));
}

V2Handler::Answer V2Handler::ModelConfiguration(const Call& call, bool versioned) const {
  const std::string_view version = versioned ? call.captures[1] : std::string_view();
  MEZZO_TRY_VOID(CheckVersion(version));
  MEZZO_TRY(const auto config, ports_.service.catalog().ConfigOf(call.captures[0], version));
  return net::HttpResponse::Json(200, ConfigText(*config));
}

V2Handler::Answer V2Handler::Statistics(std::string_view model, std::string_view version) const {
  MEZZO_TRY_VOID(CheckVersion(version));
  MEZZO_TRY(const std::vector<inference::ModelStatistics> statistics,
            ports_.service.Statistics(model, version));
  return net::HttpResponse::Json(200, StatisticsJson(statistics));
}

}  // namespace mezzo::api::v2http
