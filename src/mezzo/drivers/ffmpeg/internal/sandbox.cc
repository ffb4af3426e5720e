#include "mezzo/drivers/ffmpeg/internal/sandbox.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace mezzo::drivers::internal {
namespace {

Error Failed(const std::string& what) {
  return Internal("sandbox_failed", what + ": " + std::strerror(errno));
}

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the sandbox knows the system calls of x86-64 and 64-bit ARM"
#endif

constexpr int kForbidden[] = {
#if defined(SYS_open)
    SYS_open,
    SYS_creat,
    SYS_fork,
    SYS_vfork,
#endif
    SYS_openat,
    SYS_openat2,
    SYS_open_by_handle_at,
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kill,
    SYS_mount,
    SYS_bpf,
    SYS_io_uring_setup,
    SYS_unlinkat,
    SYS_renameat2,
};

/// The private memory that the process has mapped, as RLIMIT_DATA counts it; 0 when /proc can't be read.
std::uint64_t MappedData() {
  // /proc/self/statm, in pages: size resident shared text lib data dirty.
  std::ifstream file("/proc/self/statm");
  std::uint64_t value = 0;
  for (int i = 0; i < 6; ++i) file >> value;
  return file ? value * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

Result<void> SetLimit(__rlimit_resource resource, std::uint64_t soft, std::uint64_t hard) {
  const rlimit limit{soft, hard};
  if (::setrlimit(resource, &limit) != 0) return Failed("a resource limit");
  return {};
}

/// A filter that answers the forbidden calls with EPERM, and kills what calls by another architecture's
/// numbers.
std::vector<sock_filter> Filter() {
  std::vector<sock_filter> filter = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      // x86-64 has a second set of numbers (x32) for the same architecture.
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  // New threads, but no new processes, which would outlive this one. How clone3 is called can't be seen from
  // here; without it the C library takes clone.
  filter.insert(
      filter.end(),
      {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),  // The low half of the flags.
       BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)});
  for (const int call : kForbidden) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return filter;
}

}  // namespace

Result<void> EnterSandbox(const SandboxLimits& limits) {
  const std::uint64_t mapped = MappedData();
  if (mapped == 0) return Failed("/proc/self/statm");
  const std::uint64_t data = mapped + limits.memory;
  MEZZO_TRY_VOID(SetLimit(RLIMIT_DATA, data, data));
  // The soft limit's signal names its cause; the hard one is for a process that would not end.
  MEZZO_TRY_VOID(SetLimit(RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1));
  MEZZO_TRY_VOID(SetLimit(RLIMIT_FSIZE, 0, 0));
  MEZZO_TRY_VOID(SetLimit(RLIMIT_CORE, 0, 0));
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return Failed("dying with the parent");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Failed("giving up privileges");
  std::vector<sock_filter> filter = Filter();
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return Failed("a filter of system calls");
  return {};
}

}  // namespace mezzo::drivers::internal
