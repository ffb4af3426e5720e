#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::inference {
class Service;
}
namespace mezzo::observe {
class Health;
class Logger;
class Registry;
}  // namespace mezzo::observe
namespace mezzo::runtime {
class IoThreads;
}
namespace mezzo::tenancy {
class Directory;
class Limiter;
}  // namespace mezzo::tenancy

namespace mezzo::api {

class LogSettings;
class SharedMemoryRegions;
class TraceSettings;

namespace rpc {

/// The gRPC front end: inference.GRPCInferenceService as Triton's clients know it, and grpc.health.v1.
///
/// gRPC's own threads read, decode and refuse; every inference runs on one of the loops, which also writes
/// the answer. No thread waits for a call. Construction, Start(), Drain() and Stop() belong to threads that
/// are not loops.
class GrpcServer {
 public:
  struct Options {
    std::string address = "127.0.0.1";  ///< Numeric, IPv6 without brackets.
    std::uint16_t port = 8001;          ///< 0: any free one.
    std::string name = "mezzo";         ///< What ServerMetadata says.
    std::string version = "0.1.0";
    std::vector<std::string> extensions;  ///< Empty: those that every build has.

    /// PEM files; both or none. They are read by Start().
    std::string certificate_file;
    std::string key_file;
    std::string client_ca_file;  ///< Not empty: clients must show a certificate that one of these has signed.

    // Sizes.
    ByteCount max_message_bytes = ByteCount{64} << 20;  ///< Of a request; more is RESOURCE_EXHAUSTED.
    ByteCount max_bytes_in_flight = ByteCount{1}
                                    << 30;  ///< Of all running requests' tensors; more is refused.
    ByteCount max_library_memory = ByteCount{1}
                                   << 30;       ///< For gRPC's own buffers; it reads more slowly near this.
    std::size_t max_metadata_bytes = 16 << 10;  ///< Of one call's headers.
    // Calls.
    std::size_t max_running = 4096;  ///< Requests in work, abandoned ones included; more is refused.
    std::size_t max_streams = 1024;  ///< Open ModelStreamInfer and Watch calls; more is refused.
    std::size_t max_calls_per_connection = 1024;  ///< HTTP/2 streams.
    std::size_t max_stream_requests =
        64;  ///< Unanswered requests of one ModelStreamInfer; then reading stops.
    // Connections.
    Duration keepalive_time = std::chrono::seconds(60);     ///< Idle connections are probed after this.
    Duration keepalive_timeout = std::chrono::seconds(20);  ///< Then closed, when no answer came within this.
    Duration min_ping_interval =
        std::chrono::seconds(5);  ///< Clients that probe more often are disconnected.
    Duration handshake_timeout = std::chrono::seconds(20);
    Duration max_connection_age{};   ///< 0: no end.
    Duration max_connection_idle{};  ///< 0: no end.
    Duration health_interval =
        std::chrono::milliseconds(250);  ///< How soon Watch sees a change of readiness.
  };

  /// What the server calls. Everything outlives it.
  struct Services {
    inference::Service& service;
    const tenancy::Directory& directory;
    SharedMemoryRegions& shared_memory;
    TraceSettings& trace_settings;
    LogSettings& log_settings;
    const observe::Health& health;
    observe::Registry& registry;
    observe::Logger& logger;
    const Clock& clock;
    runtime::IoThreads& loops;
    tenancy::Limiter* limiter = nullptr;  ///< Asked before a large message is decoded; null: nobody is.
  };

  GrpcServer(Options options, Services services);
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  /// Listens and serves; gives the port. Fails with kInvalidArgument "tls_options", "tls_file" or
  /// "bad_certificate", kFailedPrecondition "cannot_listen".
  Result<std::uint16_t> Start();
  [[nodiscard]] std::uint16_t port() const;
  /// Health answers NOT_SERVING at once, new requests are refused, running ones finish; streams end when what
  /// they have read is answered. After `limit` the rest is cancelled: then false.
  bool Drain(Duration limit);
  /// Cancels what runs and waits for its end. The destructor does the same.
  void Stop();

  /// Requests in work.
  [[nodiscard]] std::size_t running() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace rpc
}  // namespace mezzo::api
