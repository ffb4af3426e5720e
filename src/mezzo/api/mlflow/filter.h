#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry.h"
#include "mezzo/lifecycle/tracking.h"

namespace mezzo::api::mlflow {

/// What a filter or an order is about.
enum class Searched : std::uint8_t { kModels, kVersions, kLoggedModels, kRuns, kExperiments };

/// A filter of MLflow's searches: comparisons joined by AND.
///
///     name = 'x'   name LIKE 'a%'   name ILIKE 'A%'   name != 'x'
///     tags.key = 'v'   tags.`any key` LIKE '%v'   tags."any key" != 'v'
///     run_id = 'r'   run_id IN ('r', 's')   source_path LIKE '...'   version_number >= 3   (of versions)
///     source_run_id = 'r'                                                                  (of logged
///     models)
///
/// Words may be in any case; `attributes.` may stand before a name. In a text, '' (or "" in "...") is the
/// quote itself. Of logged models only `name` and `source_run_id` with `=` are known.
///
/// `tags.`mlflow.prompt.is_prompt` != 'true'`, which clients add, is true without the tag, as MLflow has it.
///
/// Fails with kInvalidArgument "mlflow_filter", naming the character and the token.
Result<std::vector<lifecycle::RegistryCondition>> ParseFilter(std::string_view text, Searched searched);

/// The same for runs and experiments:
///
///     metrics.acc >= 0.9   metrics.`val loss` != -1e-3          (of runs, as all up to status)
///     params.model = 'cnn'   params.model LIKE 'c%'   params.model IS NULL   tags.k IS NOT NULL
///     attributes.status = 'FINISHED'   run_name ILIKE 'x%'   user_id != 'u'   run_id NOT IN ('a', 'b')
///     start_time > 1700000000000   end_time <= 1700000000000
///     name LIKE 'a%'   experiment_id IN ('1', '2')   creation_time > 1   last_update_time < 2   tags.k = 'v'
///
/// `metric.`, `param.`, `parameter.`, `tag.`, `attribute.`, `attr.`, `run.` are other words for the same.
Result<std::vector<lifecycle::TrackingCondition>> ParseTrackingFilter(std::string_view text,
                                                                      Searched searched);

/// MLflow's order_by: "name", "last_updated_timestamp", "creation_timestamp", each with ASC or DESC; of
/// versions also "version_number", which orders the versions of one model. What comes behind the first is
/// allowed when it decides nothing any more (names of models are unique) or is the order there is anyway.
/// `usual` when `by` is empty. Fails with kInvalidArgument "mlflow_order".
Result<lifecycle::RegistryOrder> ParseOrder(const std::vector<std::string>& by, Searched searched,
                                            lifecycle::RegistryOrder usual);

/// MLflow's order_by of runs (what ParseTrackingFilter() compares) and of experiments (but tags), each with
/// ASC or DESC or neither. kInvalidArgument "mlflow_order": not that, the same twice, more than 8.
Result<std::vector<lifecycle::TrackingOrder>> ParseTrackingOrder(const std::vector<std::string>& by,
                                                                 Searched searched);

}  // namespace mezzo::api::mlflow
