#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/models/catalog.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::inference {

/// A request or response parameter of the v2 protocol.
using ParameterValue = std::variant<bool, std::int64_t, double, std::string>;
using Parameters = std::vector<std::pair<std::string, ParameterValue>>;

struct NamedTensor {
  std::string name;
  tensor::Tensor tensor;
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
};

/// Where the time of a call went. Shared parts (a batch's run) count in full for each call of the batch.
struct StageTimes {
  Duration queue{};
  Duration gather{};
  Duration run{};
  Duration scatter{};
};

struct InferenceAnswer {
  ModelName model;
  std::string version;
  std::string id;
  std::vector<NamedTensor> outputs;
  Parameters parameters;
  StageTimes times;
  std::uint32_t batch_rows = 0;  ///< Rows of the batch it ran in; 0 when it did not run.
  models::VersionRef served_by;  ///< Keeps the version until the answer is encoded.
};

}  // namespace mezzo::inference
