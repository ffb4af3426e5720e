#include "mezzo/runtime/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <semaphore>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace mezzo::runtime {
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

TEST(Sandbox, TheNetworkAloneCanBeTakenAway) {
  const auto without = [](int (*attempt)()) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      const auto cut = ForbidNetwork();
      ::_exit(cut.ok() && *cut ? attempt() : kCouldNotEnter);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  };
  EXPECT_EQ(without([] { return ::socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(without([] { return ::socket(AF_INET6, SOCK_DGRAM, 0) < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(without([] { return ::socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(without([] { return ::socket(AF_NETLINK, SOCK_RAW, 0) < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(without([] { return ::syscall(SYS_io_uring_setup, 1, nullptr) < 0 ? errno : 0; }), EPERM);
  EXPECT_EQ(without([] {
              int pair[2];
              return ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ? errno : 0;
            }),
            0)
      << "among its own processes it may";
  EXPECT_EQ(without([] {
              const pid_t child = ::fork();
              if (child == 0) ::_exit(::socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0);
              int status = 0;
              ::waitpid(child, &status, 0);
              return WEXITSTATUS(status);
            }),
            EPERM)
      << "nor may they";
  EXPECT_EQ(without([] { return ::open("/dev/null", O_RDWR) < 0 ? errno : 0; }), 0) << "files are as before";
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

constexpr SandboxLimits kReader{.memory = 64 << 20, .cpu_seconds = 5, .may_read = true};

/// Where the children of a fork find the folders of SandboxReading.
std::string root_path;
std::string inside_path;
std::string outside_path;

/// Two folders, "inside" and "outside", with a file each.
class SandboxReading : public ::testing::Test {
 protected:
  SandboxReading() {
    std::string pattern = ::testing::TempDir() + "/mezzo_sandbox_XXXXXX";
    root_path = ::mkdtemp(pattern.data());
    for (const char* name : {"inside", "outside"}) {
      std::filesystem::create_directories(root_path + "/" + name);
      std::ofstream(root_path + "/" + name + "/file") << "text";
    }
    inside_path = root_path + "/inside";
    outside_path = root_path + "/outside";
  }
  ~SandboxReading() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_path, ignored);
  }
};

int OpenError(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags, 0600);
  return fd < 0 ? errno : 0;
}

TEST_F(SandboxReading, FilesMayBeReadButNotWritten) {
  EXPECT_EQ(InSandbox([] { return OpenError(inside_path + "/file", O_RDONLY); }, kReader), 0);
  EXPECT_EQ(InSandbox([] { return OpenError(inside_path + "/file", O_WRONLY); }, kReader), EPERM);
  EXPECT_EQ(InSandbox([] { return OpenError(inside_path + "/new", O_RDONLY | O_CREAT); }, kReader), EPERM);
  EXPECT_EQ(InSandbox([] { return ::unlink((inside_path + "/file").c_str()) < 0 ? errno : 0; }, kReader),
            EPERM);
  EXPECT_EQ(InSandbox([] { return ::truncate((inside_path + "/file").c_str(), 0) < 0 ? errno : 0; }, kReader),
            EPERM);
}

TEST_F(SandboxReading, OpeningCanBeForbiddenLater) {
  EXPECT_EQ(InSandbox(
                [] {
                  if (OpenError(inside_path + "/file", O_RDONLY) != 0) return 1;
                  if (!ForbidOpening().ok()) return 2;
                  return OpenError(inside_path + "/file", O_RDONLY);
                },
                kReader),
            EPERM);
}

/// As InSandbox(), with RestrictReading() to the folder inside; -1000 without Landlock.
int Restricted(int (*attempt)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!EnterSandbox(kReader).ok()) ::_exit(kCouldNotEnter);
    const auto restricted = RestrictReading({inside_path, "/nowhere/at/all"});
    if (restricted.ok() && !*restricted) ::_exit(201);
    ::_exit(restricted.ok() ? attempt() : kCouldNotEnter);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return -WTERMSIG(status);
  return WEXITSTATUS(status) == 201 ? -1000 : WEXITSTATUS(status);
}

TEST_F(SandboxReading, OnlyWhatIsNamedCanBeRead) {
  const int inside = Restricted([] { return OpenError(inside_path + "/file", O_RDONLY); });
  if (inside == -1000) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(inside, 0);
  EXPECT_EQ(Restricted([] { return OpenError(inside_path, O_RDONLY | O_DIRECTORY); }), 0);
  EXPECT_EQ(Restricted([] { return OpenError(outside_path + "/file", O_RDONLY); }), EACCES);
  EXPECT_EQ(Restricted([] { return OpenError(inside_path + "/../outside/file", O_RDONLY); }), EACCES);
  EXPECT_EQ(Restricted([] { return OpenError("/etc/passwd", O_RDONLY); }), EACCES);
}

TEST(Sandbox, ThreadsThatRunAlreadyAreBoundToo) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::binary_semaphore entered(0);
    int answer = 0;
    std::thread early([&] {
      entered.acquire();
      answer = OpenError("/dev/null", O_RDONLY);
    });
    const bool good = EnterSandbox({.memory = 64 << 20, .cpu_seconds = 5}).ok();
    entered.release();
    early.join();
    ::_exit(good ? answer : kCouldNotEnter);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), EPERM);
}

}  // namespace
}  // namespace mezzo::runtime
