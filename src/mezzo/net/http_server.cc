#include "mezzo/net/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <system_error>
#include <utility>
#include <vector>

#include "mezzo/net/internal/listener_loop.h"
#include "mezzo/net/internal/tls_context.h"

namespace mezzo::net {
namespace {

constexpr int kBacklog = 4096;  // The kernel lowers it to net.core.somaxconn.

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] bool v6() const { return storage.ss_family == AF_INET6; }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  void SetPort(std::uint16_t port) {
    // The port lies at the same place in both families.
    reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(port);
  }
};

/// A listening socket that closes itself.
class Listener {
 public:
  explicit Listener(int fd) : fd_(fd) {}
  Listener(Listener&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Listener& operator=(Listener&&) = delete;
  ~Listener() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Result<SocketAddress> ParseAddress(const std::string& address, std::uint16_t port) {
  SocketAddress parsed;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&parsed.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&parsed.storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    parsed.size = sizeof(sockaddr_in);
  } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    parsed.size = sizeof(sockaddr_in6);
  } else {
    return InvalidArgument("bad_address", "'" + address + "' is not an IPv4 or IPv6 address");
  }
  parsed.SetPort(port);
  return parsed;
}

Result<Listener> Bind(const SocketAddress& address, bool shared, const std::string& name) {
  Listener listener(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  bool good =
      listener.get() >= 0 && ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0;
  if (good && shared) good = ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
  if (good && address.v6())
    good = ::setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0;
  good = good && ::bind(listener.get(), address.get(), address.size) == 0 &&
         ::listen(listener.get(), kBacklog) == 0;
  if (good) return listener;
  const int error = errno;
  return FailedPrecondition(error == EADDRINUSE ? "address_in_use" : "cannot_listen",
                            "cannot listen on " + name + ": " + std::generic_category().message(error));
}

}  // namespace

class HttpServer::State {
 public:
  State(Options options, HttpHandler& handler, runtime::IoThreads& threads, observe::Registry& registry)
      : core_(std::move(options), handler, registry),
        admission_(core_.options.max_connections, core_.options.max_connections_per_peer) {
    for (std::size_t i = 0; i < threads.size(); ++i) {
      loops_.push_back(
          std::make_unique<ListenerLoop>(core_, threads.loop(i), admission_, [this] { return tls(); }));
    }
  }

  Result<void> Listen(const std::string& address, std::uint16_t port);
  bool Drain(Duration limit);
  void Stop();
  Result<void> ReloadTls() EXCLUDES(mu_);

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::size_t connections() const { return admission_.total(); }
  [[nodiscard]] ByteCount bytes_in_flight() const { return core_.budget->used(); }

 private:
  /// Runs `action` on every loop and waits for all.
  template <typename Action>
  void OnEveryLoop(Action action) {
    std::vector<std::future<void>> ends;
    for (const auto& loop : loops_) {
      auto done = std::make_shared<std::promise<void>>();
      ends.push_back(done->get_future());
      loop->loop().Post([&loop = *loop, action, done] { action(loop, done); });
    }
    for (auto& end : ends) end.wait();
  }
  [[nodiscard]] std::shared_ptr<boost::asio::ssl::context> tls() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return tls_;
  }

  ServerCore core_;
  Admission admission_;
  std::atomic<std::uint16_t> port_{0};  // Stands alone.
  bool closed_ = false;                 // Drained or stopped.
  bool stopped_ = false;
  Mutex mu_;
  std::shared_ptr<boost::asio::ssl::context> tls_ GUARDED_BY(mu_);
  std::vector<std::unique_ptr<ListenerLoop>> loops_;
};

Result<void> HttpServer::State::ReloadTls() {
  if (!core_.options.tls) return {};
  MEZZO_TRY(auto loaded, LoadTls(*core_.options.tls));
  MutexLock lock(mu_);
  tls_ = std::move(loaded);
  return {};
}

Result<void> HttpServer::State::Listen(const std::string& address, std::uint16_t port) {
  if (closed_) return FailedPrecondition("server_closed", "the server has been drained or stopped");
  if (core_.options.tls && tls() == nullptr) MEZZO_TRY_VOID(ReloadTls());
  MEZZO_TRY(SocketAddress where, ParseAddress(address, port));
  const std::string name = (where.v6() ? "[" + address + "]" : address) + ":" + std::to_string(port);
  // With SO_REUSEPORT another process of the same user could listen beside us unnoticed: ask without it
  // first.
  if (port != 0) {
    MEZZO_TRY(const Listener probe, Bind(where, false, name));
  }
  std::vector<Listener> listeners;
  for (std::size_t i = 0; i < loops_.size(); ++i) {
    MEZZO_TRY(Listener listener, Bind(where, true, name));
    if (i == 0) {
      SocketAddress bound;
      bound.size = sizeof(bound.storage);
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
      port = ntohs(reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port);
      where.SetPort(port);
    }
    listeners.push_back(std::move(listener));
  }
  for (std::size_t i = 0; i < loops_.size(); ++i) {
    loops_[i]->loop().Post(
        [loop = loops_[i].get(), fd = listeners[i].Release(), v6 = where.v6()] { loop->Accept(fd, v6); });
  }
  port_ = port;
  return {};
}

bool HttpServer::State::Drain(Duration limit) {
  closed_ = true;
  OnEveryLoop([](ListenerLoop& loop, const std::shared_ptr<std::promise<void>>& done) {
    loop.Drain();
    done->set_value();
  });
  return admission_.WaitEmpty(AddSaturating(core_.clock.Now(), limit));
}

void HttpServer::State::Stop() {
  closed_ = true;
  if (std::exchange(stopped_, true)) return;
  OnEveryLoop([](ListenerLoop& loop, const std::shared_ptr<std::promise<void>>& done) {
    loop.Stop([done] { done->set_value(); });
  });
}

HttpServer::HttpServer(Options options, HttpHandler& handler, runtime::IoThreads& loops,
                       observe::Registry& registry)
    : state_(std::make_unique<State>(std::move(options), handler, loops, registry)) {}

HttpServer::~HttpServer() { Stop(); }

Result<void> HttpServer::Listen(const std::string& address, std::uint16_t port) {
  return state_->Listen(address, port);
}
std::uint16_t HttpServer::port() const { return state_->port(); }
bool HttpServer::Drain(Duration limit) { return state_->Drain(limit); }
void HttpServer::Stop() { state_->Stop(); }
Result<void> HttpServer::ReloadTls() { return state_->ReloadTls(); }
std::size_t HttpServer::connections() const { return state_->connections(); }
ByteCount HttpServer::bytes_in_flight() const { return state_->bytes_in_flight(); }

}  // namespace mezzo::net
