#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/engine/engine.h"
#include "mezzo/lifecycle/compatibility.h"

namespace mezzo::lifecycle {

/// What a version child is told on its standard input.
struct VersionChildTask {
  std::string folder;    ///< Of the version: absolute.
  std::string examples;  ///< Where the golden examples are; empty: in `folder`.
  /// Only loads and times it: of the version before, to compare with. Golden examples only bring the inputs.
  bool measure_only = false;
  TestLimits limits;
  std::string library;  ///< The engine's; empty: as the program finds it.
  std::string model;    ///< As CompatibilityPlan::model.

  [[nodiscard]] std::string ToJson() const;
  /// Fails with kInvalidArgument "child_task_invalid".
  static Result<VersionChildTask> FromJson(std::string_view json);
};

/// What a model's file says about itself, read without the engine.
struct ModelFileFacts {
  std::map<std::string, std::int64_t> opsets;                      ///< By domain; "" is ONNX's own.
  std::map<std::string, std::set<std::string>> foreign_operators;  ///< By domain.
  std::size_t external_files = 0;
  ByteCount tensor_bytes{};
};

/// Whether what the file needs is there: an operator set of ONNX's own domain, an import for each domain that
/// is used, and no operators of domains that the engine does not bring along. Of kOperatorsCheck.
Check CheckOperators(const std::map<std::string, ModelFileFacts>& by_part);

/// Of a version child: its lines tell all, to the last one.
inline constexpr int kVersionChildDone = 0;
/// The task could not be read, or its sandbox not be entered: the version is not to blame.
inline constexpr int kVersionChildUnfit = 2;
/// It needed more memory than it may have.
inline constexpr int kVersionChildOutOfMemory = 3;

/// The largest output of a child.
inline constexpr std::size_t kMaxVersionChildOutput = std::size_t{4} << 20U;

struct VersionChildPorts {
  engine::Engine& engine;  ///< Whose library is open already.
  std::function<Result<ModelFileFacts>(const std::string& model_path)> scan;
  const Clock& clock;
};

/// The life of a process that tests one version: enters a sandbox (memory, CPU time, no network, no program,
/// files only of the version and only for reading, none at all once it is loaded), loads the version, runs it
/// and tells on standard output what it does, a line of JSON each:
///
///     {"stage": "latency", "run": 3}   what begins now, so that a crash has a place
///     {"check": {...}}                 as in CompatibilityReport
///     {"part": {...}}                  the same; a later one of that name replaces it
///     {"peak_memory_bytes": 123, "confined": true}
///     {"done": true}
///
/// Ends the process. Used by ProcessVersionTester.
[[noreturn]] void RunVersionChild(const VersionChildTask& task, const VersionChildPorts& ports);

/// Of a task that can't be begun: tells `error` and ends the process with kVersionChildUnfit.
[[noreturn]] void RefuseVersionChild(const Error& error);

}  // namespace mezzo::lifecycle
