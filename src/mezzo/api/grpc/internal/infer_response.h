#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mezzo/api/grpc/internal/infer_request.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"

namespace mezzo::api::rpc {

/// Writes the outputs that belong into shared memory there and empties them in `answer`. Fails with kInternal
/// "shared_memory_output_size" or the errors of SharedMemoryWindow::Write().
Result<void> WriteTargets(std::span<const OutputTarget> targets, inference::InferenceAnswer* answer);

/// Replaces the outputs whose entry in `classes` is above 0 by their largest elements (classification.h).
Result<void> ClassifyOutputs(std::span<const std::int64_t> classes, inference::InferenceAnswer* answer);

/// Serialises an answer as inference.ModelInferResponse with raw contents, or as the ModelStreamInferResponse
/// around it. Outputs of kSpliceBytes and more are not copied: they are to be spliced in by the caller.
class InferResponseWriter {
 public:
  enum class Form : std::uint8_t { kUnary, kStream };
  static constexpr std::size_t kSpliceBytes = 32 << 10;

  /// The bytes of an output that belong behind the first `at` bytes of the head.
  struct Splice {
    std::size_t at = 0;
    const SharedBytes* bytes = nullptr;
  };

  /// `answer` must outlive the writer and not change.
  InferResponseWriter(const inference::InferenceAnswer& answer, Form form);

  /// Bytes of the message without those of the splices.
  [[nodiscard]] std::size_t head_size() const { return head_size_; }
  /// Writes head_size() bytes; then splices() are known, in order.
  void Write(std::byte* out);
  [[nodiscard]] const std::vector<Splice>& splices() const { return splices_; }

 private:
  const inference::InferenceAnswer& answer_;
  const Form form_;
  std::size_t response_size_ = 0;  // Of the ModelInferResponse.
  std::size_t head_size_ = 0;
  std::vector<Splice> splices_;
};

}  // namespace mezzo::api::rpc
