#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::drivers::internal {

/// A program that reads its standard input, writes its standard output and ends.
struct ChildProcess {
  std::vector<std::string> command;  ///< The program (looked for in PATH) and its arguments.
  std::string input;
  std::size_t max_output = std::size_t{16} << 20U;
  std::uint64_t max_memory = std::uint64_t{512} << 20U;  ///< Address space.
  unsigned max_cpu_seconds = 30;
  std::uint64_t max_file = 0;  ///< Bytes of any file that it writes, memory files too.
};

/// Runs `child` and returns what it wrote. It gets no environment but PATH, its error output is thrown away,
/// it can write no file and is killed at the deadline. Fails with kInternal "child_failed" (could not start,
/// ended otherwise than with 0, wrote too much), kDeadlineExceeded "deadline".
Result<std::string> RunChild(const ChildProcess& child, TimePoint deadline, const Clock& clock);

}  // namespace mezzo::drivers::internal
