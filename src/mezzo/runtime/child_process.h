#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::runtime {

/// A program that reads its standard input, writes its standard output and ends.
struct ChildProcess {
  std::vector<std::string> command;  ///< The program (looked for in PATH) and its arguments.
  BytesView input;                   ///< Outlives the run.
  std::size_t max_output = std::size_t{16} << 20U;
  std::uint64_t max_memory = std::uint64_t{512} << 20U;  ///< Address space.
  unsigned max_cpu_seconds = 30;
  std::uint64_t max_file = 0;  ///< Bytes of any file that it writes, memory files too.
  /// Asked several times a second, when set: true ends the child and fails the run with kCancelled
  /// "child_stopped".
  std::function<bool()> stop;
};

/// How a child ended, and what it wrote.
struct ChildEnd {
  enum class Cut : std::uint8_t {
    kNone,      ///< It ended by itself.
    kDeadline,  ///< It was killed at the deadline.
    kOutput,    ///< It was killed because it wrote more than `max_output`.
  };
  std::string output;  ///< What it wrote until then.
  int status = 0;      ///< Of exit(), when `signal` is 0.
  int signal = 0;      ///< That ended it.
  Cut cut = Cut::kNone;
};

/// Runs `child` to its end. It gets no environment but PATH, its error output is thrown away, and it is
/// killed when it has not ended at the deadline. Fails with kInternal "child_failed" (could not start, wrote
/// too much) and kDeadlineExceeded "deadline".
Result<ChildEnd> RunChild(const ChildProcess& child, TimePoint deadline, const Clock& clock);

/// As RunChild(), for children that are watched for how they end: being killed at the deadline or for too
/// much output is an end like any other, told with what was written before.
Result<ChildEnd> WatchChild(const ChildProcess& child, TimePoint deadline, const Clock& clock);

/// As RunChild(); an end other than with status 0 is kInternal "child_failed", too.
Result<std::string> OutputOf(const ChildProcess& child, TimePoint deadline, const Clock& clock);

}  // namespace mezzo::runtime
