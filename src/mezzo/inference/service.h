#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"
#include "mezzo/inference/version_pick.h"
#include "mezzo/models/catalog.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::inference {

/// Count and total time, as the v2 statistics extension reports durations.
struct StatisticDuration {
  std::uint64_t count = 0;
  std::uint64_t ns = 0;
};

struct BatchStatistic {
  std::uint64_t batch_size = 0;
  StatisticDuration compute_input, compute_infer, compute_output;
};

/// The statistics extension's record of one version. Counts since the version was loaded.
struct ModelStatistics {
  std::string name;
  std::string version;
  std::uint64_t last_inference_ms = 0;  ///< Unix milliseconds; 0: never.
  std::uint64_t inference_count = 0;    ///< Rows.
  std::uint64_t execution_count = 0;    ///< Batches.
  StatisticDuration success, fail, queue, compute_input, compute_infer, compute_output, cache_hit, cache_miss;
  std::vector<BatchStatistic> batches;
  ByteCount memory_bytes{};
};

/// What every protocol calls. Thread-safe.
class Service {
 public:
  virtual ~Service() = default;

  /// One inference: route, load if need be, schedule, run. The context's deadline and cancellation hold all
  /// the way.
  virtual runtime::Task<Result<InferenceAnswer>> Infer(runtime::Context ctx, tenancy::CallerRef caller,
                                                       InferenceCall call) = 0;
  /// For protocols that must know a model's version before they can make a call: the version that the model's
  /// route picks for this caller. Calls then name it, and tell the pick what came of them.
  [[nodiscard]] virtual VersionPick PickVersion(const tenancy::Caller& caller, std::string_view model,
                                                const releases::HeaderLookup& headers) {
    (void)caller, (void)model, (void)headers;
    return {};
  }
  /// By whose configuration a request is read that says nothing of types: the stable version of the model's
  /// route, whatever version then answers. Empty: the newest.
  [[nodiscard]] virtual std::string VersionToReadBy(std::string_view model) {
    (void)model;
    return {};
  }
  /// Statistics of one version, all versions of a model (empty version), or of everything (both empty).
  virtual Result<std::vector<ModelStatistics>> Statistics(std::string_view model,
                                                          std::string_view version) = 0;
  /// What a protocol measured around an answered call: decoding and admission before Infer(), encoding after
  /// it.
  virtual void RecordEdges(const InferenceAnswer& answer, Duration admit, Duration encode) = 0;
  [[nodiscard]] virtual models::Catalog& catalog() = 0;
};

}  // namespace mezzo::inference
