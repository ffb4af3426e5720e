#include "mezzo/drivers/ffmpeg/internal/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include <gtest/gtest.h>

namespace mezzo::drivers::internal {
namespace {

constexpr int kCouldNotEnter = 200;

/// The status of a process that enters the sandbox and returns `attempt()`; minus the signal that ended it.
int InSandbox(int (*attempt)(), SandboxLimits limits = {.memory = 64 << 20, .cpu_seconds = 5}) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool entered = EnterSandbox(limits).ok();
    ::_exit(entered ? attempt() : kCouldNotEnter);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(Sandbox, FilesCannotBeOpened) {
  EXPECT_EQ(InSandbox([] { return ::open("/dev/null", O_RDONLY) < 0 ? errno : 0; }), EPERM);
}

TEST(Sandbox, ThereIsNoNetwork) {
  EXPECT_EQ(InSandbox([] { return ::socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(InSandbox([] { return ::socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0; }), EPERM);
}

TEST(Sandbox, NoProgramAndNoProcessCanBeStarted) {
  EXPECT_EQ(InSandbox([] { return ::execl("/bin/true", "true", nullptr) < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(InSandbox([] {
              const pid_t pid = ::fork();
              if (pid == 0) ::_exit(0);
              return pid < 0 ? errno : 0;
            }),
            EPERM);
  EXPECT_EQ(InSandbox([] { return ::kill(::getppid(), 0) < 0 ? errno : 0; }), EPERM);
}

TEST(Sandbox, ThreadsStillWork) {
  EXPECT_EQ(InSandbox([] {
              int answer = 0;
              std::thread([&answer] { answer = 42; }).join();
              return answer;
            }),
            42);
}

/// 0, or why so many bytes can't be had.
int Map(std::size_t bytes) {
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? errno : 0;
}

TEST(Sandbox, MemoryEndsAtItsLimit) {
  EXPECT_EQ(InSandbox([] { return Map(std::size_t{60} << 20U); }), 0);
  EXPECT_EQ(InSandbox([] { return Map(std::size_t{68} << 20U); }), ENOMEM);
}

TEST(Sandbox, CpuTimeEndsAtItsLimit) {
  const int end = InSandbox(
      [] {
        for (volatile unsigned i = 0;; i = i + 1) {
        }
        return 0;
      },
      {.memory = 1 << 20, .cpu_seconds = 1});

  EXPECT_EQ(end, -SIGXCPU);
}

}  // namespace
}  // namespace mezzo::drivers::internal
