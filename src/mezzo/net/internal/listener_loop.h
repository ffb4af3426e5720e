#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "mezzo/base/mutex.h"
#include "mezzo/net/internal/connection.h"

namespace mezzo::net {

/// Counts connections against the limits of a server. Thread-safe.
class Admission {
 public:
  Admission(std::size_t max_total, std::size_t max_per_peer)
      : max_total_(max_total), max_per_peer_(max_per_peer) {}

  enum class Verdict : std::uint8_t { kAdmitted, kTooMany, kTooManyOfPeer };
  Verdict Enter(const Peer& peer) EXCLUDES(mu_);
  void Leave(const Peer& peer) EXCLUDES(mu_);
  [[nodiscard]] std::size_t total() const { return total_.load(std::memory_order_relaxed); }
  /// Waits until nobody is there; false at `deadline`.
  bool WaitEmpty(TimePoint deadline) EXCLUDES(mu_);

 private:
  const std::size_t max_total_;
  const std::size_t max_per_peer_;
  std::atomic<std::size_t> total_{0};  // Partner: WaitEmpty() reads it under mu_, Leave() signals under it.
  Mutex mu_;
  CondVar empty_;
  std::unordered_map<std::string, std::size_t> per_peer_ GUARDED_BY(mu_);
};

/// The part of a server on one loop: its acceptors, its connections and the sweep over their deadlines.
/// Everything but the constructor on the loop's thread.
class ListenerLoop {
 public:
  using TlsSource = std::function<std::shared_ptr<boost::asio::ssl::context>()>;

  ListenerLoop(ServerCore& core, runtime::Loop& loop, Admission& admission, TlsSource tls);
  ~ListenerLoop();

  /// Takes over a listening socket.
  void Accept(int listening_socket, bool v6);
  void Drain();
  /// Ends everything; `on_idle` runs when no operation is left.
  void Stop(std::function<void()> on_idle);
  [[nodiscard]] runtime::Loop& loop() { return *facts_.loop; }

 private:
  struct Acceptor;

  void AcceptNext(Acceptor* acceptor);
  void Admit(boost::asio::ip::tcp::socket socket);
  void Begin(std::unique_ptr<Transport> transport, Peer peer, bool tls);
  void End(Connection* connection);
  void ScheduleSweep();
  void Sweep();
  void UpdateFacts();
  void CheckIdle();

  ServerCore& core_;
  Admission& admission_;
  const TlsSource tls_;
  LoopFacts facts_;
  std::int64_t date_second_ = 0;
  boost::asio::steady_timer timer_;
  bool sweeping_ = false;
  bool stopping_ = false;
  std::size_t ending_ = 0;  // Posted deletions.
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections_;
  std::function<void()> on_idle_;
};

}  // namespace mezzo::net
