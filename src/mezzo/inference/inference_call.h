#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/models/catalog.h"
#include "mezzo/releases/header_lookup.h"
#include "mezzo/tenancy/limit.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::inference {

/// A request or response parameter of the v2 protocol.
using ParameterValue = std::variant<bool, std::int64_t, double, std::string>;
using Parameters = std::vector<std::pair<std::string, ParameterValue>>;

struct NamedTensor {
  std::string name;
  tensor::Tensor tensor;
};

/// What of a call its tenant's limits count.
enum class Admission : std::uint8_t {
  kWhole,  ///< A request of its own.
  kPart,   ///< A further part of a request that has been admitted: its cost alone, and it is never refused.
  kNone,   ///< Nothing: admitted and charged already, as a job.
};

struct RequestedOutput {
  std::string name;
  /// Triton's classification extension, applied by the protocol: the top n of the output; 0 is off.
  std::int64_t classification = 0;
};

/// One inference request, decoded. Tensors borrow the request's buffer and keep it alive.
struct InferenceCall {
  ModelName model;
  std::string version;  ///< Empty: the route decides.
  std::string id;       ///< The caller's; echoed.
  std::vector<NamedTensor> inputs;
  std::vector<RequestedOutput> outputs;  ///< Empty: all of the model's.
  Parameters parameters;                 ///< Without those below, which have fields of their own.
  /// Triton's schedule policy: 0 the model's default, else 1 (highest) upward; mapped to classes.
  std::uint64_t priority = 0;
  /// "Cache-Control: no-store": neither answered from a cache nor kept in one.
  bool no_store = false;
  /// "Cache-Control: no-cache": computed anew, and kept in place of what was.
  bool no_cache = false;
  Admission admission = Admission::kWhole;
  /// Where the service leaves what limit the call has met; null: nowhere. Outlives the call.
  tenancy::LimitState* limit = nullptr;
  /// The request's headers, which the model's route may look at. Outlive the call.
  releases::HeaderLookup headers;
};

/// Where the time of a call went. Shared parts (a batch's run) count in full for each call of the batch.
struct StageTimes {
  Duration queue{};
  Duration gather{};
  Duration run{};
  Duration scatter{};
};

/// What the model's cache had to do with an answer, from least to most work.
enum class CacheUse : std::uint8_t {
  kCorrected,  ///< Somebody has put an answer in place of the model's.
  kHit,
  kStale,   ///< Past its lifetime; one caller computes it anew meanwhile.
  kJoin,    ///< Shared the run of an equal call.
  kMiss,    ///< Computed, and kept if it may be.
  kBypass,  ///< Computed, and not kept.
};

/// "corrected", "hit", "stale", "join", "miss", "bypass": X-Mezzo-Cache.
constexpr std::string_view CacheUseName(CacheUse use) {
  constexpr std::array<std::string_view, 6> kNames = {"corrected", "hit", "stale", "join", "miss", "bypass"};
  return kNames[static_cast<std::size_t>(use)];
}

struct InferenceAnswer {
  ModelName model;
  std::string version;
  std::string id;
  std::vector<NamedTensor> outputs;
  Parameters parameters;
  StageTimes times;
  std::uint32_t batch_rows = 0;   ///< Rows of the batch it ran in; 0 when it did not run.
  Duration device_share{};        ///< The call's part of its batch's time on the device.
  std::optional<CacheUse> cache;  ///< Nothing: the model is not cached.
  std::string route;             ///< "canary;17", the arm and revision of the route; empty: none has decided.
  models::VersionRef served_by;  ///< Keeps the version until the answer is encoded.
};

}  // namespace mezzo::inference
