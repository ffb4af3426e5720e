#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"
#include "mezzo/net/tls.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::observe {
class Registry;
}

namespace mezzo::net {

/// An HTTP/1.1 server: accepts on every loop, parses in place, answers in order, bounds everything.
///
/// A connection never changes its loop. Construction, Listen(), Drain(), Stop() and ReloadTls() belong to
/// threads that are not loops. The handler and the running loops must outlive the server; the destructor
/// calls Stop(), which ends every connection before it returns, so handlers must heed cancellation.
class HttpServer {
 public:
  struct Options {
    // Requests.
    std::size_t max_header_bytes = 32 << 10;             ///< Request line and headers; more is 431.
    std::size_t max_headers = 100;                       ///< More is 431.
    std::size_t max_request_line = 8 << 10;              ///< More is 414.
    std::size_t max_chunks = 65536;                      ///< Of one chunked body; more is 413.
    ByteCount max_bytes_in_flight = ByteCount{1} << 30;  ///< All request bodies in memory; more is 503.
    std::size_t max_inflate_ratio =
        200;  ///< Decoded : encoded size of a compressed body beyond 1 MiB; more is 413.
    // Time. Deadlines are checked every `sweep_interval`.
    Duration header_timeout =
        std::chrono::seconds(10);                    ///< From a request's first byte to the end of its head.
    Duration body_grace = std::chrono::seconds(10);  ///< After this, `min_body_rate` must be met.
    ByteCount min_body_rate = 1024;                  ///< Bytes per second, averaged over the body.
    Duration idle_timeout = std::chrono::seconds(75);   ///< Between requests.
    Duration write_timeout = std::chrono::seconds(30);  ///< Without progress of a write.
    Duration sweep_interval = std::chrono::milliseconds(100);
    // Connections.
    std::size_t max_connections = 10'000;
    std::size_t max_connections_per_peer = 0;  ///< 0: no limit. Never applies to loopback.
    std::size_t max_requests_per_connection = 1'000'000;
    // Responses.
    std::size_t min_compress_bytes = 1024;  ///< Smaller bodies are not compressed.

    std::optional<TlsOptions> tls;
    /// Bodies over 16 KiB are compressed and decompressed here; on the loop when null. Must outlive the
    /// server.
    runtime::BlockingPool* codec_pool = nullptr;
    /// The value of the metrics' label "listener".
    std::string name = "http";
  };

  HttpServer(Options options, HttpHandler& handler, runtime::IoThreads& loops, observe::Registry& registry);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Starts accepting on `address` (numeric) and `port` (0: any free one). May be called for several
  /// addresses. Fails with kInvalidArgument "bad_address", kFailedPrecondition "address_in_use",
  /// "cannot_listen" or "server_closed" (after Drain() or Stop()), and with the reasons of ReloadTls().
  Result<void> Listen(const std::string& address, std::uint16_t port);
  /// The port of the last successful Listen().
  [[nodiscard]] std::uint16_t port() const;
  /// Stops accepting, closes idle connections, lets running requests finish with "Connection: close".
  /// False when some still ran after `limit`; Stop() then ends them.
  bool Drain(Duration limit);
  /// Cancels running requests, closes all connections and waits for their end.
  void Stop();
  /// Reads certificate and key again; new connections use them, and on failure the old ones stay.
  /// Fails with kInvalidArgument "bad_certificate", "bad_key" or "bad_client_ca".
  Result<void> ReloadTls();

  [[nodiscard]] std::size_t connections() const;
  /// Request bodies in memory now, those kept by handlers included.
  [[nodiscard]] ByteCount bytes_in_flight() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace mezzo::net
