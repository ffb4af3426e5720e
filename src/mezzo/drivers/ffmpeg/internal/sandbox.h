#pragma once

#include <cstdint>

#include "mezzo/base/result.h"

namespace mezzo::drivers::internal {

struct SandboxLimits {
  std::uint64_t memory = 0;  ///< Bytes of private memory on top of what the process has now.
  unsigned cpu_seconds = 0;  ///< SIGXCPU ends the process beyond.
};

/// Takes away from this process, for good, what decoding a picture does not need: memory and CPU time beyond
/// the limits, writing files, core dumps, and by a seccomp filter opening files, sockets, other programs and
/// other processes' memory (they fail with EPERM). Threads are still allowed: codecs use them. For processes
/// that do one thing and end. Fails with kInternal "sandbox_failed".
Result<void> EnterSandbox(const SandboxLimits& limits);

}  // namespace mezzo::drivers::internal
