#include "mezzo/runtime/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/fd.h"

namespace mezzo::runtime {
namespace {

Error Failed(const ChildProcess& child, const std::string& why) {
  return Internal("child_failed", child.command.front() + ": " + why);
}

Error TookTooLong(const ChildProcess& child) {
  return DeadlineExceeded("deadline", child.command.front() + " took too long");
}

/// Kills and reaps its process whatever happens.
class Running {
 public:
  explicit Running(pid_t pid) : pid_(pid) {}
  ~Running() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)Reap();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  /// The status of waitpid(). Only when the process has ended or been killed.
  int Reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_;
};

/// `bytes` as a file without a name, at its beginning.
Result<Fd> AsFile(const ChildProcess& child) {
  Fd file(::memfd_create("input", MFD_CLOEXEC));
  if (!file.ok()) return Failed(child, std::string("no memory file for its input: ") + std::strerror(errno));
  for (std::size_t done = 0; done < child.input.size();) {
    const ssize_t n = ::write(file.get(), child.input.data() + done, child.input.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed(child, std::string("writing its input: ") + std::strerror(errno));
    done += static_cast<std::size_t>(n);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

void Limit(pid_t pid, __rlimit_resource resource, std::uint64_t value) {
  const rlimit limit{value, value};
  ::prlimit(pid, resource, &limit, nullptr);
}

Result<pid_t> Spawn(const ChildProcess& child, int input, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  std::vector<char*> arguments;
  arguments.reserve(child.command.size() + 1);
  for (const std::string& argument : child.command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
  char* environment[] = {path, nullptr};
  pid_t pid = 0;
  const int code = ::posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(), environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) return Failed(child, std::string("can't start: ") + std::strerror(code));
  return pid;
}

enum class Wake : std::uint8_t { kReadable, kDeadline };

/// Waits until `fd` can be read or has been hung up.
Result<Wake> WaitFor(const ChildProcess& child, int fd, TimePoint deadline, const Clock& clock) {
  constexpr std::int64_t kStopPoll = 200;
  const std::int64_t longest = child.stop ? kStopPoll : 60'000;
  while (true) {
    if (child.stop && child.stop()) return Cancelled("child_stopped", child.command.front() + " was stopped");
    const TimePoint now = clock.Now();
    if (now >= deadline) return Wake::kDeadline;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now).count();
    pollfd waiting{fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left + 1, 0, longest)));
    if (ready > 0) return Wake::kReadable;
    if (ready < 0 && errno != EINTR)
      return Failed(child, std::string("waiting for it: ") + std::strerror(errno));
  }
}

/// Reads until the end of the output, or says what cut it short.
Result<ChildEnd::Cut> ReadAll(const ChildProcess& child, int fd, TimePoint deadline, const Clock& clock,
                              std::string& out) {
  std::vector<char> piece(std::size_t{64} << 10U);
  while (true) {
    MEZZO_TRY(const Wake wake, WaitFor(child, fd, deadline, clock));
    if (wake == Wake::kDeadline) return ChildEnd::Cut::kDeadline;
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n == 0) return ChildEnd::Cut::kNone;
    if (n < 0) {
      if (errno == EINTR) continue;
      return Failed(child, std::string("reading its output: ") + std::strerror(errno));
    }
    if (out.size() + static_cast<std::size_t>(n) > child.max_output) return ChildEnd::Cut::kOutput;
    out.append(piece.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace

Result<ChildEnd> WatchChild(const ChildProcess& child, TimePoint deadline, const Clock& clock) {
  MEZZO_CHECK(!child.command.empty());
  MEZZO_TRY(const Fd input, AsFile(child));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Failed(child, std::string("no pipe: ") + std::strerror(errno));
  const Fd output(ends[0]);
  Fd theirs(ends[1]);
  MEZZO_TRY(const pid_t pid, Spawn(child, input.get(), theirs.get()));
  Running running(pid);
  theirs = Fd();  // So that its end is our end of file.
  Limit(pid, RLIMIT_AS, child.max_memory);
  Limit(pid, RLIMIT_CPU, child.max_cpu_seconds);
  Limit(pid, RLIMIT_FSIZE, child.max_file);
  Limit(pid, RLIMIT_CORE, 0);
  ChildEnd end;
  MEZZO_TRY(end.cut, ReadAll(child, output.get(), deadline, clock, end.output));
  if (end.cut == ChildEnd::Cut::kNone) {
    // It has closed its output, which is not to say that it ends.
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process.ok()) return Failed(child, std::string("waiting for its end: ") + std::strerror(errno));
    MEZZO_TRY(const Wake wake, WaitFor(child, process.get(), deadline, clock));
    if (wake == Wake::kDeadline) end.cut = ChildEnd::Cut::kDeadline;
  }
  if (end.cut != ChildEnd::Cut::kNone) {
    end.signal = SIGKILL;  // By `running`.
    return end;
  }
  const int status = running.Reap();
  if (WIFSIGNALED(status)) {
    end.signal = WTERMSIG(status);
  } else {
    end.status = WEXITSTATUS(status);
  }
  return end;
}

Result<ChildEnd> RunChild(const ChildProcess& child, TimePoint deadline, const Clock& clock) {
  MEZZO_TRY(ChildEnd end, WatchChild(child, deadline, clock));
  if (end.cut == ChildEnd::Cut::kDeadline) return TookTooLong(child);
  if (end.cut == ChildEnd::Cut::kOutput) {
    return Failed(child, "it wrote more than " + std::to_string(child.max_output) + " bytes");
  }
  return end;
}

Result<std::string> OutputOf(const ChildProcess& child, TimePoint deadline, const Clock& clock) {
  MEZZO_TRY(ChildEnd end, RunChild(child, deadline, clock));
  if (end.signal != 0) return Failed(child, "it was ended by signal " + std::to_string(end.signal));
  if (end.status != 0) return Failed(child, "it ended with status " + std::to_string(end.status));
  return std::move(end.output);
}

}  // namespace mezzo::runtime
