#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mezzo/base/result.h"

namespace mezzo::runtime {

struct SandboxLimits {
  std::uint64_t memory = 0;  ///< Bytes of private memory on top of what the process has now.
  unsigned cpu_seconds = 0;  ///< SIGXCPU ends the process beyond.
  /// Existing files may still be opened, for reading, until ForbidOpening(): those that RestrictReading() has
  /// left.
  bool may_read = false;
};

/// Takes away from this process, for good, what decoding a picture or running a model does not need: memory
/// and CPU time beyond the limits, writing and renaming files, core dumps, and by a seccomp filter opening
/// files, sockets, other programs and other processes' memory (they fail with EPERM). Threads are still
/// allowed: codecs and engines use them; those that run already are bound too. For processes that do one
/// thing and end. Fails with kInternal "sandbox_failed".
Result<void> EnterSandbox(const SandboxLimits& limits);

/// Leaves this thread, and the threads that it starts from now on, nothing of the file system but reading
/// these files and what lies below these folders (Landlock). Paths that do not exist are left out. False
/// where the kernel has no Landlock: nothing is restricted then. After EnterSandbox() with `may_read`. Fails
/// with kInternal "sandbox_failed".
Result<bool> RestrictReading(const std::vector<std::string>& paths);

/// Leaves this thread, and all processes that it starts from now on, nothing of the file system but reading
/// and running what lies in `read` (files and folders with all below), and everything in `write`. Paths that
/// do not exist are left out. Nor can they trace processes that are not among them, or, from Linux 6.12 on,
/// send them signals. False where the kernel has no Landlock: nothing is restricted then. After
/// PR_SET_NO_NEW_PRIVS. Fails with kInternal "sandbox_failed".
Result<bool> RestrictFiles(const std::vector<std::string>& read, const std::vector<std::string>& write);

/// Takes the network from this thread, and from all processes that it starts from now on: they get no socket
/// of any kind (EPERM) but pairs among themselves, and can't take one from another process. False where the
/// kernel has no filters of system calls: nothing is kept from them then. After PR_SET_NO_NEW_PRIVS. Fails
/// with kInternal "sandbox_failed".
Result<bool> ForbidNetwork();

/// After EnterSandbox() with `may_read`: from now on no file can be opened at all. Fails with kInternal
/// "sandbox_failed".
Result<void> ForbidOpening();

}  // namespace mezzo::runtime
