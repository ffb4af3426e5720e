#pragma once

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mezzo/base/check.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::storage::testing {

/// A PostgreSQL server of one's own on a free loopback port, with its data in a temporary folder; gone with
/// its object. It needs Debian's package postgresql-15; PostgreSQL refuses to run as root, so then it runs as
/// the user `postgres`.
///
/// The first start on a machine runs initdb and keeps its result beside the test program; later ones copy it.
/// For one thread. What fails prints why and aborts: a test without its server must not pass.
class PostgresServer {
 public:
  static constexpr const char* kBinaries = "/usr/lib/postgresql/15/bin";
  static constexpr const char* kUser = "mezzo";
  static constexpr const char* kPassword = "s3cret-of-the-test";

  /// Starts. `settings` are lines of postgresql.conf.
  explicit PostgresServer(std::string_view settings = "") {
    if (!std::filesystem::exists(std::string(kBinaries) + "/postgres")) {
      Fail(std::string("PostgreSQL is not in ") + kBinaries +
           ": install the package postgresql-15 (./dev setup)");
    }
    if (::geteuid() == 0) {
      const passwd* user = ::getpwnam("postgres");
      if (user == nullptr) Fail("root needs a user 'postgres' to run PostgreSQL as");
      uid_ = user->pw_uid;
      gid_ = user->pw_gid;
    }
    GiveAway(folder_.path());
    CopyTemplate();
    port_ = FreePort();
    std::ofstream(data() + "/postgresql.conf", std::ios::app)
        << "listen_addresses = '127.0.0.1'\nport = " << port_ << "\nunix_socket_directories = '"
        << folder_.path()
        << "'\nfsync = off\nshared_buffers = 32MB\nmax_connections = 60\ndeadlock_timeout = 50ms\n"
        << settings << "\n";
    Start();
  }
  ~PostgresServer() {
    if (pid_ > 0) End(SIGQUIT);  // "Immediate" shutdown.
  }
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// For a client; `port` may be a proxy's.
  [[nodiscard]] std::string Url(std::optional<std::uint16_t> port = std::nullopt) const {
    return std::string("postgresql://") + kUser + ":" + kPassword +
           "@127.0.0.1:" + std::to_string(port.value_or(port_)) + "/postgres";
  }
  /// What the server wrote so far.
  [[nodiscard]] std::string Log() const { return Read(folder_.path() + "/log"); }

  /// Waits until the server takes connections.
  void Start() {
    std::filesystem::remove(data() + "/postmaster.pid");
    pid_ = Spawn({"postgres", "-D", data()});
    // The eighth line of postmaster.pid is the server's state (pg_ctl reads it too).
    Await(
        [this] {
          int status = 0;
          if (::waitpid(pid_, &status, WNOHANG) == pid_) Fail("PostgreSQL ended:\n" + Log());
          return Read(data() + "/postmaster.pid").find("ready") != std::string::npos;
        },
        "to start");
  }
  /// "Fast" shutdown: open transactions are rolled back, connections ended.
  void Stop() { End(SIGINT); }
  /// kill -9 of the server and all its processes; the next Start() recovers what was committed.
  void Kill() {
    const std::string id = std::to_string(pid_);
    std::istringstream children(Read("/proc/" + id + "/task/" + id + "/children"));
    const std::vector<pid_t> all{std::istream_iterator<pid_t>(children), {}};
    ::kill(pid_, SIGKILL);
    for (const pid_t child : all) ::kill(child, SIGKILL);
    for (const pid_t child : all) {
      Await([&] { return !IsRunning(child); }, "to die");
    }
    End(SIGKILL);
  }
  void Restart() {
    Stop();
    Start();
  }

 private:
  [[noreturn]] static void Fail(const std::string& why) { CheckFailed(why, __FILE__, __LINE__); }
  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  static std::uint16_t FreePort() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    MEZZO_CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
    MEZZO_CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    ::close(fd);
    return ntohs(address.sin_port);
  }

  static bool IsRunning(pid_t pid) {
    const std::string stat = Read("/proc/" + std::to_string(pid) + "/stat");
    return !stat.empty() && stat.find(") Z ") == std::string::npos;  // Nobody may care for the dead.
  }
  [[nodiscard]] std::string data() const { return folder_.path() + "/data"; }

  void GiveAway(const std::string& path) const {
    if (uid_) MEZZO_CHECK(::chown(path.c_str(), *uid_, *gid_) == 0);
  }

  /// Starts a program of PostgreSQL as its user, with its output in the log. It dies with the thread that
  /// started it.
  pid_t Spawn(const std::vector<std::string>& command) const {
    const std::string program = std::string(kBinaries) + "/" + command[0];
    const std::string log = folder_.path() + "/log";
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    if (uid_ && (::setgroups(0, nullptr) != 0 || ::setgid(*gid_) != 0 || ::setuid(*uid_) != 0)) ::_exit(126);
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);  // After setuid(), which clears it.
    ::setenv("LC_ALL", "C", 1);
    if (::chdir(folder_.path().c_str()) != 0) ::_exit(126);
    ::execv(program.c_str(), arguments.data());
    ::_exit(127);
  }
  /// Runs a command to its end.
  void Run(const std::vector<std::string>& command) const {
    int status = 0;
    const pid_t pid = Spawn(command);
    MEZZO_CHECK(::waitpid(pid, &status, 0) == pid);
    if (status != 0) Fail(command[0] + " failed:\n" + Log());
  }
  void Await(const std::function<bool()>& ready, const std::string& what) const {
    for (int i = 0; i < 3000; ++i) {
      if (ready()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    Fail("PostgreSQL took over 30 s " + what + ":\n" + Log());
  }
  void End(int signal) {
    ::kill(pid_, signal);
    int status = 0;
    MEZZO_CHECK(::waitpid(pid_, &status, 0) == pid_);
    pid_ = 0;
  }

  /// One initdb for all tests of a build folder.
  void CopyTemplate() {
    const std::filesystem::path home = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    const std::filesystem::path ready = home / "postgres-template";
    const int lock = ::open((home / "postgres-template.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    MEZZO_CHECK(lock >= 0 && ::flock(lock, LOCK_EX) == 0);
    if (!std::filesystem::exists(ready)) {
      const std::string password = folder_.path() + "/password";
      std::ofstream(password) << kPassword << "\n";
      GiveAway(password);
      Run({"initdb", "-D", data(), "--no-sync", "-A", "scram-sha-256", "-U", kUser, "--pwfile", password,
           "--no-locale", "-E", "UTF8"});
      const std::filesystem::path made = home / "postgres-template.new";
      std::filesystem::remove_all(made);
      std::filesystem::copy(data(), made, std::filesystem::copy_options::recursive);
      std::filesystem::rename(made, ready);
    } else {
      std::filesystem::copy(ready, data(), std::filesystem::copy_options::recursive);
      GiveAway(data());
      for (const auto& entry : std::filesystem::recursive_directory_iterator(data())) GiveAway(entry.path());
    }
    ::close(lock);
    std::filesystem::permissions(data(), std::filesystem::perms::owner_all);
  }

  const TempDir folder_;
  std::optional<uid_t> uid_;
  std::optional<gid_t> gid_;
  std::uint16_t port_ = 0;
  pid_t pid_ = 0;
};

}  // namespace mezzo::storage::testing
