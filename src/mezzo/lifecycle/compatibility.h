#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/tensor/dtype.h"
#include "mezzo/tensor/shape.h"

/// What is tested when a version of a model arrives, and what came of it. docs/guides/version-tests.md says
/// the same for people.
namespace mezzo::lifecycle {

enum class CheckOutcome : std::uint8_t { kPassed, kFailed, kSkipped };
std::string_view OutcomeName(CheckOutcome outcome);  ///< "passed", "failed", "skipped".

/// The names of checks, in their order. A golden example's is kGoldenPrefix and the example's own.
inline constexpr std::string_view kFilesCheck = "files";
inline constexpr std::string_view kOperatorsCheck = "operators";
inline constexpr std::string_view kLoadCheck = "load";
inline constexpr std::string_view kSignatureCheck = "signature";
inline constexpr std::string_view kWarmupCheck = "warmup";
inline constexpr std::string_view kGoldenPrefix = "golden/";
inline constexpr std::string_view kLatencyCheck = "latency";
inline constexpr std::string_view kMemoryCheck = "memory";

/// One thing that was tested.
struct Check {
  std::string name;
  CheckOutcome outcome = CheckOutcome::kPassed;
  std::string reason;  ///< Exactly why it failed or was skipped; may say more of a passed one.
  std::map<std::string, double> measured;  ///< "p99_ms" → 4.2. Units are in the names. Finite.

  friend bool operator==(const Check&, const Check&) = default;
};

/// An input or output as callers see it: with the batch dimension first (-1) when the model batches.
struct TestedTensor {
  std::string name;
  tensor::DType dtype = tensor::DType::kFp32;
  tensor::Shape shape;
  bool optional = false;

  friend bool operator==(const TestedTensor&, const TestedTensor&) = default;
};

/// What a version, or one part of a pipeline, offers to callers, and what it costs.
struct TestedPart {
  std::string name;                 ///< Of a pipeline's part: "unet"; else empty.
  std::int64_t max_batch_size = 0;  ///< 0: no batches.
  std::vector<TestedTensor> inputs;
  std::vector<TestedTensor> outputs;
  ByteCount memory{};  ///< What the engine says that it holds.
  Duration load_time{};
  std::uint32_t runs = 0;  ///< That were timed; with none the next two are zero.
  Duration p50{};
  Duration p99{};

  friend bool operator==(const TestedPart&, const TestedPart&) = default;
};

/// What came of a test. Kept with the version.
struct CompatibilityReport {
  static constexpr std::size_t kMaxChecks = 512;
  static constexpr std::size_t kMaxParts = 64;
  static constexpr std::size_t kMaxTensors = 1024;
  static constexpr std::size_t kMaxReason = 1000;

  std::vector<Check> checks;
  std::vector<TestedPart> parts;
  ByteCount peak_memory{};  ///< The most that the process had resident; 0: not known.
  /// The process could read nothing but the version's files (Landlock). False: this host's kernel can't.
  bool confined = false;

  /// No check failed, and one passed.
  [[nodiscard]] bool passed() const;
  /// The first failed check, "load: crashed ..."; empty when there is none.
  [[nodiscard]] std::string Reason() const;
  [[nodiscard]] const Check* Find(std::string_view name) const;

  /// One line.
  [[nodiscard]] std::string ToJson() const;
  /// Fails with kInvalidArgument "test_report_invalid": it may come from a process that ran a hostile model.
  static Result<CompatibilityReport> FromJson(std::string_view json);

  friend bool operator==(const CompatibilityReport&, const CompatibilityReport&) = default;
};

/// What a test may cost. The memory is on top of what the engine's library takes.
struct TestLimits {
  ByteCount memory = ByteCount{4} << 30U;
  unsigned cpu_seconds = 300;
  Duration time = std::chrono::minutes(5);  ///< Wall time of each process.
  int threads = 1;          ///< That one run may use: as the server's `engine.intra_op_threads`.
  std::uint32_t runs = 50;  ///< Timed ones.
  Duration run_budget = std::chrono::seconds(10);  ///< No further timed run begins after this, beyond three.
};

/// When a version is too much worse than the one before.
struct ComparisonRules {
  double latency_factor = 3;                              ///< Of p50 and p99; 0: not compared.
  Duration latency_slack = std::chrono::milliseconds(2);  ///< So much more is never too slow.
  double memory_factor = 0;                               ///< Of what the engine holds; 0: not compared.
  ByteCount memory_slack = ByteCount{64} << 20U;
};

/// A test that is to be made.
struct CompatibilityPlan {
  std::string folder;   ///< Of the version: absolute.
  std::string against;  ///< Of the version before; empty: there is none.
  std::string model;    ///< Under which it is to be served; empty: whatever its configuration says.
  TestLimits limits;
  ComparisonRules rules;

  /// Fails with kInvalidArgument "test_plan_invalid".
  [[nodiscard]] Result<void> Validate() const;
};

/// What callers of the version before would miss, part by part:
///   - a part, an input or an output that is gone;
///   - a type or a rank that has changed;
///   - an input dimension that takes less: any → 8, 8 → 16;
///   - an input that is new and not optional, or not optional any more;
///   - an output dimension that promises less: 8 → any, 8 → 16 (any → 8 is fine);
///   - a smaller max_batch_size.
/// New outputs, new optional inputs, new parts and wider dimensions are fine.
Check CompareSignatures(const std::vector<TestedPart>& before, const std::vector<TestedPart>& now);

/// Part by part: p50 and p99 against `rules`. Skipped when nothing was timed in both.
Check CompareLatency(const std::vector<TestedPart>* before, const std::vector<TestedPart>& now,
                     const ComparisonRules& rules);

/// What the engine holds, part by part, against `rules`. Measured: "peak_mib", "held_mib".
Check CompareMemory(const std::vector<TestedPart>* before, const std::vector<TestedPart>& now, ByteCount peak,
                    const ComparisonRules& rules);

/// The order of checks in a report, whoever made them: as the constants above.
void SortChecks(std::vector<Check>& checks);

}  // namespace mezzo::lifecycle
