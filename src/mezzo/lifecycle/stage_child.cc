#include "mezzo/lifecycle/stage_child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/base/fd.h"
#include "mezzo/base/strings.h"
#include "mezzo/runtime/sandbox.h"

namespace mezzo::lifecycle {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::steady_clock;

constexpr auto kPoll = std::chrono::milliseconds(50);
constexpr auto kEnding = std::chrono::seconds(10);
constexpr int kNotRun = 127;

/// What any program needs to start, and nothing that is somebody's.
constexpr std::array<const char*, 24> kSystem = {"/usr",
                                                 "/bin",
                                                 "/sbin",
                                                 "/lib",
                                                 "/lib32",
                                                 "/lib64",
                                                 "/etc/ld.so.cache",
                                                 "/etc/ld.so.conf",
                                                 "/etc/ld.so.conf.d",
                                                 "/etc/alternatives",
                                                 "/etc/ssl",
                                                 "/etc/passwd",
                                                 "/etc/group",
                                                 "/etc/nsswitch.conf",
                                                 "/etc/hosts",
                                                 "/etc/resolv.conf",
                                                 "/etc/localtime",
                                                 "/dev/urandom",
                                                 "/dev/random",
                                                 "/dev/zero",
                                                 "/proc/cpuinfo",
                                                 "/proc/meminfo",
                                                 "/proc/stat",
                                                 "/sys/devices/system/cpu"};

constexpr std::size_t kLongestErrno = 128;
constexpr std::size_t kLongestEnd = std::size_t{16} << 10;  // What a refusal of one piece comes to in JSON.

/// Tells the parent through `report` why the program does not run, and ends.
[[noreturn]] void Refuse(int report, const std::string& why) {
  const ssize_t written = ::write(report, why.data(), why.size());
  (void)written;
  ::_exit(kNotRun);
}

void Limit(__rlimit_resource resource, std::uint64_t value) {
  const rlimit limit{value, value};
  ::setrlimit(resource, &limit);
}

/// The forked process, up to the program.
[[noreturn]] void Become(const StageChildTask& task, pid_t parent, int report) {
  ::setpgid(0, 0);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != parent) ::_exit(kNotRun);
  const int log = ::open(task.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (log < 0 || nothing < 0) Refuse(report, std::string("its log can't be opened: ") + std::strerror(errno));
  if (::chdir(task.folder.c_str()) != 0)
    Refuse(report, std::string("its folder can't be entered: ") + std::strerror(errno));
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  if (task.max_file > 0) Limit(RLIMIT_FSIZE, task.max_file);
  Limit(RLIMIT_CORE, 0);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (task.confine) {
    std::vector<std::string> read(kSystem.begin(), kSystem.end());
    read.insert(read.end(), task.read.begin(), task.read.end());
    const auto confined = runtime::RestrictFiles(read, {task.folder, "/dev/null"});
    if (!confined.ok()) Refuse(report, confined.error().message());
    if (!*confined) Refuse(report, "this kernel has no Landlock, and the command may not run unconfined");
  }
  if (!task.network) {
    const auto cut = runtime::ForbidNetwork();
    if (!cut.ok()) Refuse(report, cut.error().message());
    if (!*cut)
      Refuse(report, "this kernel can't keep the network from it, and its rule does not say network: true");
  }
  std::vector<std::string> texts;
  for (const auto& [name, value] : task.environment) {
    texts.push_back(name);
    texts.back() += "=" + value;
  }
  std::vector<char*> environment;
  environment.reserve(texts.size() + 1);
  for (std::string& text : texts) environment.push_back(text.data());
  environment.push_back(nullptr);
  std::vector<std::string> words = task.command;
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::string failure = "'" + task.command.front() + "' can't be run: ";
  failure.reserve(failure.size() + kLongestErrno);
  // Last: it is the program's, and this process may have more already.
  if (task.memory > 0) Limit(RLIMIT_DATA, task.memory);
  ::execve(arguments[0], arguments.data(), environment.data());
  Refuse(report, failure += std::strerror(errno));
}

/// Of this process, which has one thread.
std::vector<pid_t> Children() {
  std::vector<pid_t> children;
  const pid_t self = ::getpid();
  std::ifstream file("/proc/self/task/" + std::to_string(self) + "/children");
  pid_t child = 0;
  if (file) {
    while (file >> child) children.push_back(child);
    return children;
  }
  // A kernel without that list.
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failed)) {
    const auto number = ParseUint(entry.path().filename().string());
    if (!number) continue;
    std::ifstream stat(entry.path() / "stat");
    std::string line;
    std::getline(stat, line);
    const std::size_t name_end = line.rfind(')');  // A name may hold anything.
    if (name_end == std::string::npos) continue;
    std::istringstream rest(line.substr(name_end + 1));
    std::string state;
    pid_t parent = 0;
    if (rest >> state >> parent && parent == self) children.push_back(static_cast<pid_t>(*number));
  }
  return children;
}

/// Ends all below this process: orphans come to it, so that killing its children again and again leaves none.
void EndAll() {
  const auto until = steady_clock::now() + kEnding;
  while (steady_clock::now() < until) {
    const std::vector<pid_t> children = Children();
    for (const pid_t child : children) ::kill(child, SIGKILL);
    int status = 0;
    bool any = !children.empty();
    while (::waitpid(-1, &status, WNOHANG) > 0) any = true;
    if (!any) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Write(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;  // Nobody listens any more.
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}
void Say(int fd, const StageChildEnd& end) { Write(fd, end.ToJson() + "\n"); }

int Refused(int fd, const char* what) {
  Say(fd, {.why = StageChildEnd::Why::kRefused, .message = std::string(what) + ": " + std::strerror(errno)});
  return 1;
}

/// Up to about `limit` bytes.
std::string ReadAll(int fd, std::size_t limit) {
  std::array<char, 1024> piece{};
  std::string text;
  while (text.size() < limit) {
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(n));
  }
  return text;
}

/// The nearer process over the command: tells its end on `told`. `above` is its parent.
int StandOver(const StageChildTask& task, pid_t above, int told) {
  const pid_t self = ::getpid();
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return Refused(told, "subreaper");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Refused(told, "no pipe");
  const Fd report(ends[0]);
  Fd theirs(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return Refused(told, "no process");
  if (child == 0) Become(task, self, theirs.get());
  ::setpgid(child, child);  // Whoever is first.
  theirs = Fd();
  const std::string refused = ReadAll(report.get(), 512);  // Ends when the program runs.
  StageChildEnd end;
  end.confined = task.confine;
  const auto until =
      steady_clock::now() + std::chrono::duration_cast<steady_clock::duration>(task.time_limit);
  int status = 0;
  bool reaped = false;
  while (!reaped) {
    const pid_t one = ::waitpid(-1, &status, WNOHANG);
    if (one == child) {
      reaped = true;
      break;
    }
    if (one > 0) continue;  // An orphan.
    if (steady_clock::now() >= until) {
      end.why = StageChildEnd::Why::kTime;
      break;
    }
    if (::access(task.stop_file.c_str(), F_OK) == 0 || ::getppid() != above) {
      end.why = StageChildEnd::Why::kStopped;
      break;
    }
    std::this_thread::sleep_for(kPoll);
  }
  ::kill(-child, SIGKILL);  // The group at once; EndAll() finds whoever has left it.
  EndAll();
  if (reaped && WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  if (reaped && WIFEXITED(status)) end.status = WEXITSTATUS(status);
  if (!refused.empty()) {
    end.why = StageChildEnd::Why::kRefused;
    end.message = refused;
  }
  Say(told, end);
  return 0;
}

}  // namespace

int RunStageChild(const StageChildTask& task) {
  ::signal(SIGPIPE, SIG_IGN);
  const pid_t server = ::getppid();
  const pid_t self = ::getpid();
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return Refused(STDOUT_FILENO, "subreaper");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Refused(STDOUT_FILENO, "no pipe");
  const Fd told(ends[0]);
  Fd theirs(ends[1]);
  const pid_t nearer = ::fork();
  if (nearer < 0) return Refused(STDOUT_FILENO, "no process");
  if (nearer == 0) ::_exit(StandOver(task, self, theirs.get()));
  theirs = Fd();
  int status = 0;
  // Orphans that it has left are reaped, too.
  while (::waitpid(-1, &status, WNOHANG) != nearer && ::getppid() == server)
    std::this_thread::sleep_for(kPoll);
  EndAll();  // Nothing, unless it was killed or the server is gone.
  // The pipe's other end has gone with the nearer one: nobody below has it.
  Write(STDOUT_FILENO, ReadAll(told.get(), kLongestEnd));
  return 0;
}

std::string StageChildTask::ToJson() const {
  const Json json = {{"command", command}, {"environment", environment}, {"folder", folder},
                     {"log", log},         {"stop_file", stop_file},     {"read", read},
                     {"memory", memory},   {"max_file", max_file},       {"time_ns", time_limit.count()},
                     {"confine", confine}, {"network", network}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<StageChildTask> StageChildTask::FromJson(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    StageChildTask task;
    task.command = json.at("command").get<std::vector<std::string>>();
    task.environment = json.at("environment").get<std::map<std::string, std::string>>();
    task.folder = json.at("folder").get<std::string>();
    task.log = json.at("log").get<std::string>();
    task.stop_file = json.at("stop_file").get<std::string>();
    task.read = json.at("read").get<std::vector<std::string>>();
    task.memory = json.at("memory").get<std::uint64_t>();
    task.max_file = json.at("max_file").get<std::uint64_t>();
    task.time_limit = Duration(json.at("time_ns").get<std::int64_t>());
    task.confine = json.at("confine").get<bool>();
    task.network = json.at("network").get<bool>();
    if (task.command.empty()) return InvalidArgument("child_task_invalid", "a stage's task names no command");
    return task;
  } catch (const Json::exception& error) {
    return InvalidArgument("child_task_invalid",
                           std::string("a stage's task can't be read: ") + error.what());
  }
}

std::string StageChildEnd::ToJson() const {
  const Json json = {{"why", static_cast<int>(why)},
                     {"status", status},
                     {"signal", signal},
                     {"confined", confined},
                     {"message", message}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<StageChildEnd> StageChildEnd::FromJson(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    StageChildEnd end;
    const int why = json.at("why").get<int>();
    if (why < 0 || why > 3) return InvalidArgument("child_task_invalid", "a stage's end is of no known kind");
    end.why = static_cast<Why>(why);
    end.status = json.at("status").get<int>();
    end.signal = json.at("signal").get<int>();
    end.confined = json.at("confined").get<bool>();
    end.message = json.at("message").get<std::string>();
    return end;
  } catch (const Json::exception& error) {
    return InvalidArgument("child_task_invalid", std::string("a stage's end can't be read: ") + error.what());
  }
}

}  // namespace mezzo::lifecycle
