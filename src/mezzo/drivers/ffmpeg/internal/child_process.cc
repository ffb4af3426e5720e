#include "mezzo/drivers/ffmpeg/internal/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "mezzo/base/check.h"

namespace mezzo::drivers::internal {
namespace {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) = delete;
  ~Fd() { Close(); }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

/// Ends and reaps its process whatever happens.
class Running {
 public:
  explicit Running(pid_t pid) : pid_(pid) {}
  ~Running() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    Wait();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  /// The status of waitpid(). The process has closed its output, so it is about to end or has been killed.
  int Wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_;
};

Error Failed(const ChildProcess& child, const std::string& why) {
  return Internal("child_failed", child.command.front() + ": " + why);
}

/// `text` as a file without a name, at its beginning.
Result<Fd> AsFile(const ChildProcess& child) {
  Fd file(::memfd_create("input", MFD_CLOEXEC));
  if (file.get() < 0)
    return Failed(child, std::string("no memory file for its input: ") + std::strerror(errno));
  for (std::size_t done = 0; done < child.input.size();) {
    const ssize_t n = ::write(file.get(), child.input.data() + done, child.input.size() - done);
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

/// Between a pair of milliseconds and a minute, for poll().
int MillisecondsUntil(TimePoint deadline, TimePoint now) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left + 1, 0, 60'000));
}

Result<pid_t> Spawn(const ChildProcess& child, int input, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<char*> arguments;
  for (const std::string& argument : child.command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
  char* environment[] = {path, nullptr};
  pid_t pid = 0;
  const int code = ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environment);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) return Failed(child, std::string("can't start: ") + std::strerror(code));
  return pid;
}

Result<std::string> ReadAll(const ChildProcess& child, int fd, TimePoint deadline, const Clock& clock) {
  std::string out;
  std::vector<char> piece(std::size_t{64} << 10U);
  while (true) {
    const TimePoint now = clock.Now();
    if (now >= deadline) return DeadlineExceeded("deadline", child.command.front() + " took too long");
    pollfd waiting{fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, MillisecondsUntil(deadline, now));
    if (ready <= 0) continue;  // Time is looked at again; EINTR too.
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n == 0) return out;
    if (n < 0) {
      if (errno == EINTR) continue;
      return Failed(child, std::string("reading its output: ") + std::strerror(errno));
    }
    if (out.size() + static_cast<std::size_t>(n) > child.max_output) {
      return Failed(child, "it wrote more than " + std::to_string(child.max_output) + " bytes");
    }
    out.append(piece.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace

Result<std::string> RunChild(const ChildProcess& child, TimePoint deadline, const Clock& clock) {
  MEZZO_CHECK(!child.command.empty());
  MEZZO_TRY(const Fd input, AsFile(child));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Failed(child, std::string("no pipe: ") + std::strerror(errno));
  const Fd output(ends[0]);
  Fd theirs(ends[1]);
  MEZZO_TRY(const pid_t pid, Spawn(child, input.get(), theirs.get()));
  Running running(pid);
  theirs.Close();  // So that its end is our end of file.
  Limit(pid, RLIMIT_AS, child.max_memory);
  Limit(pid, RLIMIT_CPU, child.max_cpu_seconds);
  Limit(pid, RLIMIT_FSIZE, child.max_file);
  MEZZO_TRY(std::string out, ReadAll(child, output.get(), deadline, clock));
  const int status = running.Wait();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return out;
  if (WIFSIGNALED(status)) return Failed(child, "it was ended by signal " + std::to_string(WTERMSIG(status)));
  return Failed(child, "it ended with status " + std::to_string(WEXITSTATUS(status)));
}

}  // namespace mezzo::drivers::internal
