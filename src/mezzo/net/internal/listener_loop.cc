#include "mezzo/net/internal/listener_loop.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <ctime>
#include <utility>

namespace mezzo::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::string_view kFullAnswer =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    "Connection: close\r\nContent-Length: 32\r\n\r\n{\"error\":\"too many connections\"}";

std::string DateHeader(std::time_t second) {
  static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm parts{};
  ::gmtime_r(&second, &parts);
  // strftime would use the locale's names.
  std::array<char, 32> rest{};
  std::strftime(rest.data(), rest.size(), " %Y %H:%M:%S GMT\r\n", &parts);
  const std::string day = (parts.tm_mday < 10 ? "0" : "") + std::to_string(parts.tm_mday);
  return std::string("Date: ") + kDays.at(static_cast<std::size_t>(parts.tm_wday)) + ", " + day + " " +
         kMonths.at(static_cast<std::size_t>(parts.tm_mon)) + rest.data();
}

Peer PeerOf(const tcp::socket& socket) {
  error_code error;
  asio::ip::address address = socket.remote_endpoint(error).address();
  if (error) return {"unknown", false};
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return {address.to_string(), address.is_loopback()};
}

}  // namespace

Admission::Verdict Admission::Enter(const Peer& peer) {
  if (total_.fetch_add(1, std::memory_order_relaxed) >= max_total_) {
    total_.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::kTooMany;
  }
  if (max_per_peer_ == 0 || peer.is_loopback) return Verdict::kAdmitted;
  MutexLock lock(mu_);
  std::size_t& count = per_peer_[peer.address];
  if (count >= max_per_peer_) {
    total_.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::kTooManyOfPeer;
  }
  ++count;
  return Verdict::kAdmitted;
}

void Admission::Leave(const Peer& peer) {
  const bool counted = max_per_peer_ != 0 && !peer.is_loopback;
  MutexLock lock(mu_);
  if (counted) {
    const auto it = per_peer_.find(peer.address);
    if (--it->second == 0) per_peer_.erase(it);
  }
  if (total_.fetch_sub(1, std::memory_order_relaxed) == 1) empty_.NotifyAll();
}

bool Admission::WaitEmpty(TimePoint deadline) {
  MutexLock lock(mu_);
  while (total() > 0) {
    if (!empty_.WaitUntil(mu_, deadline)) return total() == 0;
  }
  return true;
}

struct ListenerLoop::Acceptor {
  explicit Acceptor(asio::io_context& io) : acceptor(io) {}
  tcp::acceptor acceptor;
  bool accepting = false;
};

ListenerLoop::ListenerLoop(ServerCore& core, runtime::Loop& loop, Admission& admission, TlsSource tls)
    : core_(core), admission_(admission), tls_(std::move(tls)), timer_(loop.io()) {
  facts_.loop = &loop;
  UpdateFacts();
}

ListenerLoop::~ListenerLoop() = default;

void ListenerLoop::Accept(int listening_socket, bool v6) {
  auto acceptor = std::make_unique<Acceptor>(loop().io());
  acceptor->acceptor.assign(v6 ? tcp::v6() : tcp::v4(), listening_socket);
  acceptors_.push_back(std::move(acceptor));
  AcceptNext(acceptors_.back().get());
  if (!sweeping_) ScheduleSweep();
}

void ListenerLoop::AcceptNext(Acceptor* acceptor) {
  acceptor->accepting = true;
  acceptor->acceptor.async_accept([this, acceptor](const error_code& error, tcp::socket socket) {
    acceptor->accepting = false;
    if (!acceptor->acceptor.is_open()) return CheckIdle();
    if (!error) {
      Admit(std::move(socket));
    } else if (error != asio::error::connection_aborted) {
      // Out of file descriptors: what is accepted goes on, new clients wait until the next sweep.
      core_.metrics.Refused(Refusal::kFileDescriptors);
      return;
    }
    AcceptNext(acceptor);
  });
}

void ListenerLoop::Admit(tcp::socket socket) {
  core_.metrics.accepted.Add();
  Peer peer = PeerOf(socket);
  const auto verdict = admission_.Enter(peer);
  if (verdict != Admission::Verdict::kAdmitted) {
    core_.metrics.Refused(verdict == Admission::Verdict::kTooMany ? Refusal::kConnectionLimit
                                                                  : Refusal::kPeerLimit);
    if (!core_.options.tls)
      ::send(socket.native_handle(), kFullAnswer.data(), kFullAnswer.size(), MSG_NOSIGNAL);
    return;
  }
  const int on = 1;
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (core_.options.tls) {
    Begin(NewTlsTransport(std::move(socket), tls_()), std::move(peer), true);
  } else {
    Begin(NewPlainTransport(std::move(socket)), std::move(peer), false);
  }
}

void ListenerLoop::Begin(std::unique_ptr<Transport> transport, Peer peer, bool tls) {
  core_.metrics.open.Add(1);
  auto owned = std::make_unique<Connection>(core_, facts_, std::move(transport), std::move(peer), tls);
  Connection* connection = owned.get();
  connections_.emplace(connection, std::move(owned));
  runtime::Start(connection->Run(), [this, connection] {
    // Later: whoever resumed the connection's last step may still be using it.
    ++ending_;
    loop().Post([this, connection] { End(connection); });
  });
}

void ListenerLoop::End(Connection* connection) {
  --ending_;
  const Peer peer = connection->peer();
  connections_.erase(connection);
  core_.metrics.open.Add(-1);
  admission_.Leave(peer);
  CheckIdle();
}

void ListenerLoop::UpdateFacts() {
  facts_.now = core_.clock.Now();
  const auto wall = core_.clock.WallNow().time_since_epoch();
  const std::int64_t second = std::chrono::duration_cast<std::chrono::seconds>(wall).count();
  if (second != date_second_) {
    date_second_ = second;
    facts_.date = DateHeader(static_cast<std::time_t>(second));
  }
}

void ListenerLoop::ScheduleSweep() {
  sweeping_ = true;
  timer_.expires_after(core_.options.sweep_interval);
  timer_.async_wait([this](const error_code& error) {
    sweeping_ = false;
    if (error || stopping_) return CheckIdle();
    Sweep();
    ScheduleSweep();
  });
}

void ListenerLoop::Sweep() {
  UpdateFacts();
  // Nothing is erased meanwhile: ends are posted, and accepting happens in turns of its own.
  for (const auto& entry : connections_) entry.second->Sweep(facts_.now);
  for (const auto& acceptor : acceptors_) {
    if (!acceptor->accepting && acceptor->acceptor.is_open()) AcceptNext(acceptor.get());
  }
}

void ListenerLoop::Drain() {
  facts_.draining = true;
  error_code ignored;
  for (const auto& acceptor : acceptors_) acceptor->acceptor.close(ignored);
  for (const auto& entry : connections_) entry.second->Drain();
}

void ListenerLoop::Stop(std::function<void()> on_idle) {
  Drain();
  stopping_ = true;
  on_idle_ = std::move(on_idle);
  timer_.cancel();
  for (const auto& entry : connections_) entry.second->Stop();
  CheckIdle();
}

void ListenerLoop::CheckIdle() {
  if (!stopping_ || !on_idle_ || sweeping_ || ending_ > 0 || !connections_.empty()) return;
  for (const auto& acceptor : acceptors_) {
    if (acceptor->accepting) return;
  }
  acceptors_.clear();
  std::exchange(on_idle_, nullptr)();
}

}  // namespace mezzo::net
