#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mezzo/drivers/onnxruntime/internal/allocator.h"
#include "mezzo/drivers/onnxruntime/internal/runtime.h"
#include "mezzo/engine/engine.h"

namespace mezzo::drivers {

/// Owns the library's session and what must outlive it.
struct LoadedSession {
  LoadedSession(std::shared_ptr<OnnxRuntime> held) : runtime(std::move(held)) {}  // NOLINT(*-explicit-*)
  ~LoadedSession();
  LoadedSession(const LoadedSession&) = delete;
  LoadedSession& operator=(const LoadedSession&) = delete;

  std::shared_ptr<OnnxRuntime> runtime;
  MemoryAccount account;
  OrtSession* ort = nullptr;
};

/// A session of ONNX Runtime. See engine::Session.
class OnnxSession final : public engine::Session {
 public:
  OnnxSession(std::unique_ptr<LoadedSession> loaded, engine::SessionFacts facts);
  ~OnnxSession() override;

  [[nodiscard]] const engine::SessionFacts& facts() const override { return facts_; }
  Result<std::vector<tensor::Tensor>> Run(std::span<const tensor::Tensor* const> inputs,
                                          std::span<const std::size_t> wanted,
                                          engine::RunControl* control) override;
  [[nodiscard]] std::unique_ptr<engine::RunControl> NewRunControl() override;

 private:
  struct Feeds;
  Result<void> AddInput(const engine::TensorSpec& spec, const tensor::Tensor& tensor, Feeds& feeds);
  Result<OrtValue*> StringInput(const engine::TensorSpec& spec, const tensor::Tensor& tensor);
  Result<tensor::Tensor> WrapOutput(const engine::TensorSpec& spec, OrtValue* value, const Feeds& feeds);

  std::unique_ptr<LoadedSession> loaded_;
  const OrtApi& ort_;
  const engine::SessionFacts facts_;
  std::vector<const char*> input_names_;
  std::vector<const char*> output_names_;
};

/// The facts of a session that has just been made, but for provider and memory. Fails with kInvalidArgument
/// "model_invalid", naming the input or output, for types that the protocol has no name for.
Result<engine::SessionFacts> ReadFacts(const OnnxRuntime& runtime, const OrtSession* session);

}  // namespace mezzo::drivers
