#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/compatibility.h"

namespace mezzo::lifecycle {

/// Tests versions, each in a process of its own (version_child.h) that can reach nobody, reads nothing but
/// the version's files and is ended when it takes too long, and compares them with the version before, which
/// gets a process of its own too. A crash, a hang, or memory without end is a failed check with its place; it
/// hurts nobody. Blocks. Thread-safe; as many processes as callers.
class ProcessVersionTester {
 public:
  struct Options {
    /// Runs RunVersionChild() with the task on its standard input.
    std::vector<std::string> command = {"/proc/self/exe", "check-version"};
    std::string library;  ///< The engine's; empty: as the program finds it.
  };
  /// `clock` outlives this.
  ProcessVersionTester(Options options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}

  /// What came of the test: a version that is no good is a report, not an error. `stop` is asked several
  /// times a second and ends the test. Errors, all of which say nothing of the version: kInvalidArgument
  /// "test_plan_invalid"; kInternal "child_failed", "sandbox_failed"; kUnavailable "engine_missing";
  /// kCancelled "child_stopped".
  Result<CompatibilityReport> Test(const CompatibilityPlan& plan,
                                   const std::function<bool()>& stop = {}) const;

 private:
  struct Heard;
  Result<Heard> RunOne(const CompatibilityPlan& plan, bool before, const std::function<bool()>& stop) const;

  const Options options_;
  const Clock& clock_;
};

}  // namespace mezzo::lifecycle
