#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mezzo/api/shared_memory.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"

namespace mezzo::api::rpc {

struct DecodeLimits {
  std::size_t max_tensors = 1024;     ///< Inputs, and outputs.
  std::size_t max_parameters = 256;   ///< Of the request, and of one tensor.
  std::size_t max_name_bytes = 4096;  ///< Of names and the id.
  /// All bytes that decoding allocates for tensors.
  ByteCount max_decoded_bytes = ByteCount{256} << 20;
};

/// What a request may use besides its own bytes. `regions` may be null: then there are none.
struct DecodeSources {
  const SharedMemoryRegions* regions = nullptr;
  TenantId tenant;
};

/// An output that goes to shared memory instead of into the response.
struct OutputTarget {
  std::string name;
  SharedMemoryWindow window;
};

struct DecodedInfer {
  inference::InferenceCall call;
  std::optional<Duration> timeout;  ///< Parameter "timeout"; nothing when absent or 0.
  std::vector<OutputTarget> targets;
  std::vector<std::int64_t> classes;  ///< By requested output: its top n wanted, 0: as it is. Empty: none.
  ByteCount tensor_bytes = 0;         ///< That decoding allocated.
};

/// Decodes a serialised inference.ModelInferRequest that may lie in several pieces. Tensor bytes are copied
/// once, from `message` into memory aligned for every engine, so `message` may go as soon as this returns.
/// Sizes are checked against shapes for typed contents; raw contents are checked where the model is known.
///
/// On an error `out` holds what was read before it (so that the answer can carry the id). All errors name
/// what is wrong; they are kInvalidArgument, except kUnimplemented "sequence_unsupported" and those of
/// SharedMemoryRegions.
Result<void> DecodeInferRequest(std::span<const BytesView> message, const DecodeSources& sources,
                                const DecodeLimits& limits, DecodedInfer* out);

}  // namespace mezzo::api::rpc
