#include "mezzo/runtime/sandbox.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "mezzo/base/fd.h"

namespace mezzo::runtime {
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

/// Whatever else the process does.
constexpr int kForbidden[] = {
#if defined(SYS_open)
    SYS_creat,
    SYS_fork,
    SYS_vfork,
    SYS_unlink,
    SYS_rename,
    SYS_mkdir,
    SYS_rmdir,
    SYS_link,
    SYS_symlink,
    SYS_mknod,
    SYS_chmod,
    SYS_chown,
    SYS_renameat,
#endif
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
    SYS_mkdirat,
    SYS_linkat,
    SYS_symlinkat,
    SYS_mknodat,
    SYS_truncate,
    SYS_fchmodat,
    SYS_fchownat,
};

/// How a file is opened, by the number of the argument with the flags.
struct OpenCall {
  int call;
  unsigned flags;
};
constexpr OpenCall kOpenCalls[] = {
#if defined(SYS_open)
    {SYS_open, 1},
#endif
    {SYS_openat, 2},
};
constexpr std::uint32_t kWritingFlags = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;

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

/// The beginning of every filter: kills what calls by another architecture's numbers; the call's number is
/// loaded afterwards.
std::vector<sock_filter> FilterHead() {
  return {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      // x86-64 has a second set of numbers (x32) for the same architecture.
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
}

void AddForbidden(std::vector<sock_filter>& filter, int call) {
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
}

/// The low half of argument `index`, which is where flags are.
sock_filter LoadArgument(unsigned index) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                  static_cast<std::uint32_t>(offsetof(seccomp_data, args) + index * sizeof(std::uint64_t)));
}

/// A filter that answers the forbidden calls with EPERM.
std::vector<sock_filter> Filter(bool may_read) {
  std::vector<sock_filter> filter = FilterHead();
  // New threads, but no new processes, which would outlive this one. How clone3 is called can't be seen from
  // here; without it the C library takes clone.
  filter.insert(filter.end(), {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                               BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4), LoadArgument(0),
                               BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)});
  for (const int call : kForbidden) AddForbidden(filter, call);
  for (const OpenCall& open : kOpenCalls) {
    if (!may_read) {
      AddForbidden(filter, open.call);
      continue;
    }
    filter.insert(
        filter.end(),
        {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(open.call), 0, 4),
         LoadArgument(open.flags), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kWritingFlags, 0, 1),
         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)});
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return filter;
}

/// Binds all threads of the process, or fails.
Result<void> Install(std::vector<sock_filter> filter) {
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  const long failed = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (failed < 0) return Failed("a filter of system calls");
  if (failed > 0) {
    return Internal("sandbox_failed",
                    "a filter of system calls does not fit thread " + std::to_string(failed));
  }
  return {};
}

/// Everything that the first version of Landlock knows.
constexpr std::uint64_t kAllRights =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
    LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
    LANDLOCK_ACCESS_FS_MAKE_SYM;

/// Rights on what lies at `path`; those of folders only when it is one.
Result<void> Allow(int rules, const std::string& path, std::uint64_t rights, std::uint64_t of_files) {
  const Fd at(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!at.ok()) {
    if (errno == ENOENT || errno == ENOTDIR || errno == EACCES) return {};
    return Failed("'" + path + "'");
  }
  struct ::stat found{};
  if (::fstat(at.get(), &found) != 0) return Failed("'" + path + "'");
  landlock_path_beneath_attr below{};
  below.allowed_access = S_ISDIR(found.st_mode) ? rights : rights & of_files;
  below.parent_fd = at.get();
  if (::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) != 0)
    return Failed("'" + path + "'");
  return {};
}

Result<void> AllowReading(int rules, const std::string& path) {
  const Fd at(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!at.ok()) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    return Failed("what may be read");
  }
  struct ::stat found{};
  if (::fstat(at.get(), &found) != 0) return Failed("what may be read");
  landlock_path_beneath_attr below{};
  below.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
  if (S_ISDIR(found.st_mode)) below.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
  below.parent_fd = at.get();
  if (::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) != 0) {
    return Failed("what may be read");
  }
  return {};
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
  return Install(Filter(limits.may_read));
}

Result<bool> RestrictReading(const std::vector<std::string>& paths) {
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) return false;
  landlock_ruleset_attr handled{};
  handled.handled_access_fs = kAllRights;
  const Fd rules(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0)));
  if (!rules.ok()) return Failed("what may be read");
  for (const std::string& path : paths) MEZZO_TRY_VOID(AllowReading(rules.get(), path));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Failed("giving up privileges");
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) return Failed("what may be read");
  return true;
}

Result<bool> RestrictFiles(const std::vector<std::string>& read, const std::vector<std::string>& write) {
  // Of later versions of Landlock: moving files between folders (2), truncating them (3).
  constexpr std::uint64_t kRefer = std::uint64_t{1} << 13;
  constexpr std::uint64_t kTruncate = std::uint64_t{1} << 14;
  constexpr std::uint64_t kReading =
      LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return false;
  // As of version 6, which also keeps signals among the processes that are bound.
  struct {
    std::uint64_t handled_access_fs;
    std::uint64_t handled_access_net;
    std::uint64_t scoped;
  } handled{};
  constexpr std::uint64_t kSignals = std::uint64_t{1} << 1;
  handled.handled_access_fs = kAllRights | (version >= 2 ? kRefer : 0) | (version >= 3 ? kTruncate : 0);
  handled.scoped = version >= 6 ? kSignals : 0;
  constexpr std::uint64_t kOfFiles =
      LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;
  const std::size_t known = version >= 6 ? sizeof(handled) : sizeof(handled.handled_access_fs);
  const Fd rules(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, known, 0)));
  if (!rules.ok()) return Failed("what may be used of the files");
  for (const std::string& path : read) MEZZO_TRY_VOID(Allow(rules.get(), path, kReading, kOfFiles));
  for (const std::string& path : write)
    MEZZO_TRY_VOID(Allow(rules.get(), path, handled.handled_access_fs, kOfFiles));
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0)
    return Failed("what may be used of the files");
  return true;
}

Result<bool> ForbidNetwork() {
  // Asks only: the pointer is null. EFAULT is the answer of a kernel that has filters.
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) != 0 && errno != EFAULT) return false;
  std::vector<sock_filter> filter = FilterHead();
  for (const int call : {SYS_socket, SYS_io_uring_setup, SYS_pidfd_getfd, SYS_ptrace, SYS_process_vm_readv,
                         SYS_process_vm_writev})
    AddForbidden(filter, call);
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  MEZZO_TRY_VOID(Install(std::move(filter)));
  return true;
}

Result<void> ForbidOpening() {
  std::vector<sock_filter> filter = FilterHead();
  for (const OpenCall& open : kOpenCalls) AddForbidden(filter, open.call);
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return Install(std::move(filter));
}

}  // namespace mezzo::runtime
