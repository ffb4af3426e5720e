#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "mezzo/base/check.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::storage::testing {

/// A Redis of one's own on a free loopback port, with a password and without persistence; gone with its
/// object. It needs Debian's package redis-server.
///
/// For one thread. What fails prints why and aborts: a test without its server must not pass.
class RedisServer {
 public:
  static constexpr const char* kProgram = "/usr/bin/redis-server";
  static constexpr const char* kPassword = "s3cret-of-the-test";

  RedisServer() {
    if (::access(kProgram, X_OK) != 0) {
      Fail(std::string(kProgram) + " is missing: install the package redis-server (./dev setup)");
    }
    port_ = FreePort();
    Start();
  }
  ~RedisServer() {
    if (pid_ > 0) Kill();
  }
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// For a client; `port` may be a proxy's.
  [[nodiscard]] std::string Url(std::optional<std::uint16_t> port = std::nullopt) const {
    return std::string("redis://:") + kPassword + "@127.0.0.1:" + std::to_string(port.value_or(port_)) + "/0";
  }

  /// Waits until the server answers; it is empty then.
  void Start() {
    pid_ = Spawn();
    for (int i = 0; i < 3000; ++i) {
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) Fail("Redis ended:\n" + Log());
      if (Ask("PING").starts_with("+PONG")) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    Fail("Redis took over 30 s to start:\n" + Log());
  }
  /// kill -9.
  void Kill() {
    ::kill(pid_, SIGKILL);
    int status = 0;
    MEZZO_CHECK(::waitpid(pid_, &status, 0) == pid_);
    pid_ = 0;
  }
  /// It keeps its connections, and answers nothing.
  void Pause() const { MEZZO_CHECK(::kill(pid_, SIGSTOP) == 0); }
  void Continue() const { MEZZO_CHECK(::kill(pid_, SIGCONT) == 0); }
  /// What a command of plain words answers first, as it comes; "" when nothing does.
  [[nodiscard]] std::string Ask(std::string_view command) const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = Loopback(port_);
    std::string answer;
    const std::string sent = std::string("AUTH ") + kPassword + "\r\n" + std::string(command) + "\r\n";
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
        ::send(fd, sent.data(), sent.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(sent.size())) {
      const std::string_view ok = "+OK\r\n";
      char piece[4096];
      while (answer.size() <= ok.size()) {
        const ssize_t got = ::recv(fd, piece, sizeof(piece), 0);
        if (got <= 0) break;
        answer.append(piece, static_cast<std::size_t>(got));
      }
      answer = answer.starts_with(ok) ? answer.substr(ok.size()) : "";
    }
    ::close(fd);
    return answer;
  }
  void FlushAll() const { MEZZO_CHECK(Ask("FLUSHALL").starts_with("+OK")); }

 private:
  [[noreturn]] static void Fail(const std::string& why) { CheckFailed(why, __FILE__, __LINE__); }
  static sockaddr_in Loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  static std::uint16_t FreePort() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    MEZZO_CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
    MEZZO_CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    ::close(fd);
    return ntohs(address.sin_port);
  }
  [[nodiscard]] std::string Log() const {
    std::ifstream file(folder_.path() + "/log");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  /// It dies with the thread that started it.
  [[nodiscard]] pid_t Spawn() const {
    const std::string port = std::to_string(port_);
    const std::string log = folder_.path() + "/log";
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::chdir(folder_.path().c_str()) != 0) ::_exit(126);
    ::execl(kProgram, "redis-server", "--bind", "127.0.0.1", "--port", port.c_str(), "--save", "",
            "--appendonly", "no", "--requirepass", kPassword, nullptr);
    ::_exit(127);
  }

  const TempDir folder_;
  std::uint16_t port_ = 0;
  pid_t pid_ = 0;
};

}  // namespace mezzo::storage::testing
