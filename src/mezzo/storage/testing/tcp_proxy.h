#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <thread>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"

namespace mezzo::storage::testing {

/// A network between a client and a loopback server that can be slow, stuck, cut or lying. Listens on port()
/// of 127.0.0.1. Thread-safe.
class TcpProxy {
 public:
  explicit TcpProxy(std::uint16_t server_port) : server_port_(server_port), listener_(Socket()) {
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    MEZZO_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    MEZZO_CHECK(::listen(listener_, 64) == 0);
    MEZZO_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~TcpProxy() {
    {
      MutexLock lock(mu_);
      stopping_ = true;
      held_ = false;
      changed_.NotifyAll();
    }
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    Cut();
    for (Link& link : links_) {
      link.up.join();
      link.down.join();
      ::close(link.client);
      ::close(link.server);
    }
    ::close(listener_);
  }
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// Every piece that passes, either way, takes this longer.
  void Delay(Duration delay) {
    MutexLock lock(mu_);
    delay_ = delay;
  }
  /// Nothing passes, but nobody hangs up.
  void Hold(bool held) {
    MutexLock lock(mu_);
    held_ = held;
    changed_.NotifyAll();
  }
  /// All connections break.
  void Cut() {
    MutexLock lock(mu_);
    for (const Link& link : links_) CutLink(link);
  }
  /// From now on `change` may change what the server answers, piece by piece; null ends that. It is called by
  /// several threads, one at a time.
  void Garble(std::function<void(std::string& piece)> change) {
    MutexLock lock(mu_);
    change_ = std::move(change);
  }
  /// The next request that contains `text` still reaches the server, which has 100 ms for it; its answer is
  /// lost with its connection.
  void LoseAnswerTo(std::string text) {
    MutexLock lock(mu_);
    lost_ = std::move(text);
  }

 private:
  struct Link {
    int client = -1;
    int server = -1;
    bool mute = false;  // The server's answers are dropped.
    std::thread up;
    std::thread down;
  };

  static int Socket() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MEZZO_CHECK(fd >= 0);
    return fd;
  }
  static sockaddr_in Loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  static void CutLink(const Link& link) {
    ::shutdown(link.client, SHUT_RDWR);
    ::shutdown(link.server, SHUT_RDWR);
  }

  void Accept() {
    while (true) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) return;
      const int server = Socket();
      const sockaddr_in address = Loopback(server_port_);
      if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        ::close(server);
        ::close(client);
        continue;
      }
      MutexLock lock(mu_);
      Link& link = links_.emplace_back();
      link.client = client;
      link.server = server;
      link.up = std::thread([this, &link] { Pump(link, true); });
      link.down = std::thread([this, &link] { Pump(link, false); });
    }
  }

  void Pump(Link& link, bool up) {
    const int from = up ? link.client : link.server;
    const int to = up ? link.server : link.client;
    std::array<char, 65536> buffer;
    while (true) {
      const ssize_t size = ::recv(from, buffer.data(), buffer.size(), 0);
      if (size <= 0) break;
      std::string piece(buffer.data(), static_cast<std::size_t>(size));
      bool cut = false;
      Duration delay{};
      {
        MutexLock lock(mu_);
        while (held_) changed_.Wait(mu_);
        delay = delay_;
        if (!up && link.mute) continue;
        if (!up && change_) change_(piece);
        if (up && !lost_.empty() && piece.find(lost_) != std::string::npos) {
          lost_.clear();
          link.mute = cut = true;
        }
      }
      std::this_thread::sleep_for(delay);
      if (::send(to, piece.data(), piece.size(), MSG_NOSIGNAL) < 0) break;
      if (cut) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        break;
      }
    }
    CutLink(link);
  }

  const std::uint16_t server_port_;
  const int listener_;
  std::uint16_t port_ = 0;
  Mutex mu_;
  CondVar changed_;
  std::list<Link> links_ GUARDED_BY(mu_);
  std::string lost_ GUARDED_BY(mu_);
  std::function<void(std::string& piece)> change_ GUARDED_BY(mu_);
  Duration delay_ GUARDED_BY(mu_){};
  bool held_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread acceptor_;
};

}  // namespace mezzo::storage::testing
