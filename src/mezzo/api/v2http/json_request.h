#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/api/shared_memory.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"
#include "mezzo/models/model_config.h"

namespace mezzo::api::v2http {

struct DecodeLimits {
  std::size_t max_depth = 32;  ///< Nested objects and arrays.
  std::size_t max_inputs = 1024;
  std::size_t max_outputs = 1024;
  std::size_t max_parameters = 256;   ///< Of the request.
  std::size_t max_name_bytes = 4096;  ///< Of tensor names, parameter names and the id.
  /// All bytes that decoding allocates for tensors: those from JSON and from shared memory.
  ByteCount max_decoded_bytes = ByteCount{256} << 20;
};

/// How one requested output goes back.
struct OutputPlan {
  std::string name;
  bool binary = false;
  std::int64_t classification = 0;           ///< Top n; 0: the tensor itself.
  std::optional<SharedMemoryWindow> window;  ///< Into shared memory.
};

/// How the answer goes back.
struct ResponsePlan {
  std::vector<OutputPlan> outputs;  ///< Of call.outputs, in the same order.
  bool binary_by_default = false;   ///< For outputs that are not named.
};

/// A request as the v2 protocol says it.
struct DecodedRequest {
  inference::InferenceCall call;
  ResponsePlan plan;
  std::optional<Duration> timeout;  ///< Parameter "timeout"; nothing when absent or 0.
};

/// What a request may use besides its own bytes. `regions` may be null: then there are none.
struct DecodeSources {
  const SharedMemoryRegions* regions = nullptr;
  TenantId tenant;
};

/// The value of an Inference-Header-Content-Length header. Fails with kInvalidArgument "header_length".
Result<std::size_t> ParseHeaderLength(std::string_view value);

/// Decodes an inference request: JSON in the first `header_length` bytes of `body`, the binary tensors after
/// it in the order of the inputs. Binary tensors are slices of `body` (copied only when they lie unaligned
/// for their type); every tensor returned is checked against its shape. `model` and `version` are the path's.
///
/// Unknown members are ignored. All errors name what is wrong; they are kInvalidArgument, except
/// kUnimplemented "sequence_unsupported" and, as Triton answers them, kInternal "shape_negative" for negative
/// dimensions.
Result<DecodedRequest> DecodeRequest(const SharedBytes& body, std::size_t header_length,
                                     std::string_view model, std::string_view version,
                                     const DecodeSources& sources, const DecodeLimits& limits);

/// Decodes a raw binary request (Inference-Header-Content-Length: 0): the whole body is the model's only
/// input, its shape is deduced and has batch size 1. All outputs go back as binary. Errors are Triton's,
/// kInvalidArgument "raw_request".
Result<DecodedRequest> DecodeRawRequest(const SharedBytes& body, std::string_view model,
                                        std::string_view version, const models::ModelConfig& config);

}  // namespace mezzo::api::v2http
