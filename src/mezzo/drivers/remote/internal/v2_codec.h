#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/engine/engine.h"

/// The bodies of the Open Inference Protocol v2 as a client sends and gets them, tensors in binary.
namespace mezzo::drivers {

/// A request's body, and how long its JSON is (the header Inference-Header-Content-Length).
struct V2Body {
  std::string bytes;
  std::size_t json_size = 0;
};

/// Absent optional inputs are null.
V2Body EncodeV2Request(const engine::SessionFacts& facts, std::span<const tensor::Tensor* const> inputs,
                       std::span<const std::size_t> wanted);

/// The wanted outputs, in their order; binary ones lie in `body`. `json_size` is what the header says,
/// nothing when there is none: then all is JSON. The message of an error completes "the upstream answered ";
/// its reason is "upstream_answer_invalid".
Result<std::vector<tensor::Tensor>> DecodeV2Response(const engine::SessionFacts& facts,
                                                     std::span<const std::size_t> wanted, std::string body,
                                                     std::optional<std::size_t> json_size);

/// Inputs and outputs out of a model's metadata. Errors as above.
Result<engine::SessionFacts> DecodeV2Metadata(std::string_view body);

}  // namespace mezzo::drivers
