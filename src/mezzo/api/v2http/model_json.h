#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/inference/service.h"
#include "mezzo/models/catalog.h"
#include "mezzo/models/model_config.h"

namespace mezzo::api::v2http {

/// Each is a whole response body in Triton's form.

/// {"name":...,"version":...,"extensions":[...]}
std::string ServerMetadataJson(std::string_view name, std::string_view version,
                               const std::vector<std::string_view>& extensions);
/// {"name":...,"versions":[...],"platform":...,"inputs":[...],"outputs":[...]}
std::string ModelMetadataJson(const models::ModelConfig& config, const std::vector<std::string>& versions);
/// {"model_stats":[...]}
std::string StatisticsJson(const std::vector<inference::ModelStatistics>& statistics);
/// [{"name":...,"version":...,"state":...,"reason":...}]. A model on disk counts as READY, because the first
/// request loads it; one that nobody loaded has only its name.
std::string IndexJson(const std::vector<models::IndexEntry>& entries);
/// {"models":[...]}: each name once, KServe's listing.
std::string ModelNamesJson(const std::vector<models::IndexEntry>& entries);

}  // namespace mezzo::api::v2http
