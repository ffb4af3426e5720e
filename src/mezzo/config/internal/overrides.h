#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/config/internal/node.h"
#include "mezzo/config/internal/problems.h"
#include "mezzo/config/load.h"
#include "mezzo/config/schema.h"

namespace mezzo::config::internal {

/// Every variable that sets a field: {"MEZZO_SERVING_BATCHING_MAX_ROWS", {"serving", "batching",
/// "max_rows"}}. Lists and maps are one variable each. In the order of the schema; names may repeat in a
/// faulty schema.
std::vector<std::pair<std::string, std::vector<std::string>>> Variables(const ValueType& type,
                                                                        const std::string& prefix);

/// Puts the values of variables, then of named flags, then of --set into the tree `root`, over what it holds.
void ApplyOverrides(const ValueType& type, const LoadOptions& options, Node& root, Problems& problems);

}  // namespace mezzo::config::internal
