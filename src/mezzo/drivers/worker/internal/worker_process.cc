#include "mezzo/drivers/worker/internal/worker_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

constexpr int kReapMillis = 5000;
/// The kernel takes a worker before the server when memory runs out.
constexpr const char* kOomScore = "500";

Error Failed(const WorkerCommand& command, const std::string& what, int code) {
  return Unavailable("worker_start", "can't start '" + Printable(command.arguments.front(), 256) +
                                         "': " + what + ": " + std::strerror(code));
}

/// Above the descriptors that the child's own are put on.
Fd MoveUp(Fd fd) { return Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 10)); }

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/// What the child needs between its birth and its exec. All prepared before, since nothing may be allocated
/// there.
struct Birth {
  char* const* arguments;
  char* const* environment;
  const char* folder;
  int input;
  int output;
  int socket;
  int package;
  pid_t parent;
  sigset_t signals;  ///< To be restored.
};

/// Runs in the child, on the parent's memory and with the parent's thread stopped: system calls only.
/// Returns the error of the one that failed.
int BecomeWorker(const Birth& birth) {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) (void)::sigaction(signal, &standard, nullptr);
  if (::setpgid(0, 0) != 0) return errno;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  if (::getppid() != birth.parent) return ESRCH;  // It died before it could be watched.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) return errno;
  if (::dup2(birth.input, STDIN_FILENO) < 0 || ::dup2(birth.output, STDOUT_FILENO) < 0 ||
      ::dup2(birth.output, STDERR_FILENO) < 0 || ::dup2(birth.socket, WorkerProcess::kSocket) < 0 ||
      ::dup2(birth.package, WorkerProcess::kPackage) < 0) {
    return errno;
  }
  if (::close_range(WorkerProcess::kPackage + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return errno;
  if (::chdir(birth.folder) != 0) return errno;
  if (::sigprocmask(SIG_SETMASK, &birth.signals, nullptr) != 0) return errno;
  ::execvpe(birth.arguments[0], birth.arguments, birth.environment);
  return errno;
}

/// vfork(), since copying the page tables of a server with gigabytes of models would stop all its threads.
/// The child's pid, or -1 with `code` set.
pid_t Spawn(Birth& birth, int& code) {
  sigset_t all;
  ::sigfillset(&all);
  // A handler that ran in the child would run on this process's memory.
  ::pthread_sigmask(SIG_SETMASK, &all, &birth.signals);
  volatile int failure = 0;
  const pid_t pid = ::vfork();  // NOLINT(bugprone-unsafe-functions): posix_spawn() can't set PDEATHSIG.
  if (pid == 0) {
    failure = BecomeWorker(birth);
    ::_exit(127);
  }
  if (pid < 0) failure = errno;
  ::pthread_sigmask(SIG_SETMASK, &birth.signals, nullptr);
  code = failure;
  return pid;
}

bool SetNonBlocking(int fd) { return ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0; }

std::string Describe(int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return "it was ended by signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
  }
  return "it ended with status " + std::to_string(WEXITSTATUS(status));
}

void PreferForOutOfMemory(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/oom_score_adj";
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.ok()) (void)!::write(file.get(), kOomScore, std::strlen(kOomScore));  // A preference only.
}

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(const WorkerCommand& command) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return Failed(command, "socket", errno);
  Fd socket(ends[0]);
  const Fd their_socket = MoveUp(Fd(ends[1]));
  if (::pipe2(ends, O_CLOEXEC) != 0) return Failed(command, "pipe", errno);
  Fd output(ends[0]);
  const Fd their_output = MoveUp(Fd(ends[1]));
  const Fd package(::fcntl(command.package->get(), F_DUPFD_CLOEXEC, 10));
  const Fd their_input = MoveUp(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  if (!their_socket.ok() || !package.ok() || !their_output.ok() || !their_input.ok() ||
      !SetNonBlocking(socket.get()) || !SetNonBlocking(output.get())) {
    return Failed(command, "descriptors", errno);
  }
  const std::vector<char*> arguments = Pointers(command.arguments);
  const std::vector<char*> environment = Pointers(command.environment);
  Birth birth{.arguments = arguments.data(),
              .environment = environment.data(),
              .folder = command.folder.c_str(),
              .input = their_input.get(),
              .output = their_output.get(),
              .socket = their_socket.get(),
              .package = package.get(),
              .parent = ::getpid(),
              .signals = {}};
  int code = 0;
  const pid_t pid = Spawn(birth, code);
  if (pid < 0) return Failed(command, "fork", code);
  if (code != 0) {
    ::waitpid(pid, nullptr, 0);
    return Failed(command, "exec", code);
  }
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.ok()) {
    code = errno;
    ::kill(-pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return Failed(command, "pidfd", code);
  }
  PreferForOutOfMemory(pid);
  return std::unique_ptr<WorkerProcess>(
      new WorkerProcess(pid, std::move(pidfd), std::move(socket), std::move(output)));
}

WorkerProcess::WorkerProcess(pid_t pid, Fd pidfd, Fd socket, Fd output)
    : pid_(pid), pidfd_(std::move(pidfd)), socket_(std::move(socket)), output_(std::move(output)) {}

WorkerProcess::~WorkerProcess() {
  if (reaped_) return;
  Kill();
  pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  (void)::poll(&ended, 1, kReapMillis);  // A process in the depths of a driver may not even die of SIGKILL.
  (void)TryReap();
}

void WorkerProcess::Kill() const {
  if (!reaped_) ::kill(-pid_, SIGKILL);
}

bool WorkerProcess::TryReap() {
  if (reaped_) return true;
  siginfo_t info{};
  // As long as it is not reaped its number is its group's, which nobody else can get.
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
    return false;
  }
  ::kill(-pid_, SIGKILL);
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  reaped_ = true;
  ending_ = Describe(status);
  return true;
}

ByteCount WorkerProcess::own_memory() const {
  if (reaped_) return 0;
  const std::string path = "/proc/" + std::to_string(pid_) + "/statm";
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[128] = {};
  if (!file.ok() || ::read(file.get(), text, sizeof(text) - 1) <= 0) return 0;
  unsigned long long size = 0;
  unsigned long long resident = 0;
  unsigned long long shared = 0;
  if (std::sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 || shared > resident) return 0;
  return (resident - shared) * static_cast<ByteCount>(::sysconf(_SC_PAGESIZE));
}

}  // namespace mezzo::drivers
