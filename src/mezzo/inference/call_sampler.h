#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "mezzo/inference/inference_call.h"
#include "mezzo/models/catalog.h"

namespace mezzo::inference {

/// Shows some of a version's calls, which have been answered well, to somebody who looks at what is in them.
/// Thread-safe.
class CallSampler {
 public:
  /// One call in `one_in` on average, drawn by lot: what alternates is not missed. At least 1.
  explicit CallSampler(std::uint32_t one_in) : below_(~std::uint64_t{0} / (one_in == 0 ? 1 : one_in)) {}
  virtual ~CallSampler() = default;

  /// Whether this call is one of them: what every call pays, a few nanoseconds without anything shared.
  [[nodiscard]] bool Draw() const { return Random() <= below_; }
  /// On the loop's thread: must cost microseconds at most, whatever the tensors' size. They are the caller's.
  virtual void Take(std::span<const NamedTensor> inputs, std::span<const NamedTensor> outputs) = 0;

 private:
  static std::uint64_t Random();
  const std::uint64_t below_;
};

/// Makes the samplers of versions. Thread-safe.
class CallSamplers {
 public:
  virtual ~CallSamplers() = default;
  /// When the version is bound. Null: its calls are not looked at.
  virtual std::unique_ptr<CallSampler> SamplerOf(const models::ModelVersion& version) = 0;
};

}  // namespace mezzo::inference
