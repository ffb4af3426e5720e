#include "mezzo/api/grpc/grpc_server.h"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>
#include <sstream>
#include <utility>

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include "mezzo/api/grpc/internal/control_service.h"
#include "mezzo/api/grpc/internal/front.h"
#include "mezzo/api/grpc/internal/grpc_headers.h"
#include "mezzo/api/grpc/internal/health_service.h"
#include "mezzo/base/strings.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/scope.h"

namespace mezzo::api::rpc {
namespace {

/// Where gRPC's own log lines go. Its log function is one for the whole process and has no argument of ours.
std::atomic<observe::Logger*> core_logger{nullptr};

void LogCoreLine(gpr_log_func_args* args) {
  observe::Logger* logger = core_logger.load(std::memory_order_acquire);
  if (logger == nullptr) return;
  const auto level =
      args->severity == GPR_LOG_SEVERITY_ERROR ? observe::LogLevel::kWarn : observe::LogLevel::kDebug;
  logger->Limited("grpc_core").Log(level, "gRPC says", {{"text", args->message}, {"line", args->line}});
}

/// Protobuf reports malformed text in messages, which the caller gets as an error anyway.
void LogProtobufLine(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  observe::Logger* logger = core_logger.load(std::memory_order_acquire);
  if (logger != nullptr) logger->Limited("protobuf").Debug("protobuf says", {{"text", message}});
}

/// Lets gRPC and protobuf log here, while there is a server.
class CoreLogRoute {
 public:
  explicit CoreLogRoute(observe::Logger& logger) : logger_(logger) {
    core_logger.store(&logger_, std::memory_order_release);
    gpr_set_log_function(LogCoreLine);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    google::protobuf::SetLogHandler(LogProtobufLine);
  }
  ~CoreLogRoute() {
    observe::Logger* own = &logger_;
    core_logger.compare_exchange_strong(own, nullptr);
  }
  CoreLogRoute(const CoreLogRoute&) = delete;
  CoreLogRoute& operator=(const CoreLogRoute&) = delete;

 private:
  observe::Logger& logger_;
};

Result<std::string> ReadPem(const std::string& path, std::string_view what) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) {
    return InvalidArgument("tls_file", "cannot read the " + std::string(what) + " file '" + path + "'");
  }
  if (text.str().find("-----BEGIN ") == std::string::npos) {
    return InvalidArgument("bad_certificate",
                           "the " + std::string(what) + " file '" + path + "' is no PEM file");
  }
  return std::move(text).str();
}

Result<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(const GrpcServer::Options& options) {
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return InvalidArgument("tls_options", "TLS needs both a certificate file and a key file, got only the " +
                                              std::string(options.key_file.empty() ? "certificate" : "key"));
  }
  if (options.certificate_file.empty()) {
    if (options.client_ca_file.empty()) return grpc::InsecureServerCredentials();
    return InvalidArgument("tls_options", "a client CA file needs a certificate file and a key file");
  }
  grpc::SslServerCredentialsOptions ssl;
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  MEZZO_TRY(pair.cert_chain, ReadPem(options.certificate_file, "certificate"));
  MEZZO_TRY(pair.private_key, ReadPem(options.key_file, "key"));
  ssl.pem_key_cert_pairs.push_back(std::move(pair));
  if (!options.client_ca_file.empty()) {
    MEZZO_TRY(ssl.pem_root_certs, ReadPem(options.client_ca_file, "client CA"));
    ssl.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(ssl);
}

int Millis(Duration duration) {
  const auto count = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return static_cast<int>(std::clamp<std::int64_t>(count, 0, std::numeric_limits<int>::max()));
}

int Bounded(std::uint64_t value) {
  return static_cast<int>(std::min<std::uint64_t>(value, std::numeric_limits<int>::max()));
}

void SetLimits(const GrpcServer::Options& options, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(Bounded(options.max_message_bytes));
  builder->SetMaxSendMessageSize(-1);
  // gRPC decompresses without a bound: messages come as they were sent, and inflate.h takes care.
  builder->AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  grpc::ResourceQuota quota("mezzo");
  quota.Resize(options.max_library_memory);
  builder->SetResourceQuota(quota);
  // Filters that every call would pass for nothing: answers are not compressed, and windows need no probes
  // for messages of these sizes.
  builder->AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  // Two servers on one port would share its connections by chance.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, Bounded(options.max_calls_per_connection));
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, Bounded(options.max_metadata_bytes));
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Millis(options.handshake_timeout));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options.keepalive_time));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(options.keepalive_timeout));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              Millis(options.min_ping_interval));
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  if (options.max_connection_age > Duration::zero()) {
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Millis(options.max_connection_age));
  }
  if (options.max_connection_idle > Duration::zero()) {
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Millis(options.max_connection_idle));
  }
}

std::string ListenAddress(const GrpcServer::Options& options) {
  const bool v6 = options.address.find(':') != std::string::npos;
  return (v6 ? "[" + options.address + "]" : options.address) + ":" + std::to_string(options.port);
}

}  // namespace

class GrpcServer::State {
 public:
  State(Options options, Services services)
      : log_route_(services.logger), front_(std::move(options), services), rpcs_(front_), health_(front_) {}

  Result<std::uint16_t> Start() {
    MEZZO_TRY(auto credentials, MakeCredentials(front_.options));
    grpc::ServerBuilder builder;
    SetLimits(front_.options, &builder);
    int port = 0;
    builder.AddListeningPort(ListenAddress(front_.options), std::move(credentials), &port);
    builder.RegisterService(&rpcs_);
    builder.RegisterService(&health_);
    health_.Refresh();
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      server_.reset();
      const bool tls = !front_.options.certificate_file.empty();
      return FailedPrecondition(
          "cannot_listen",
          "cannot serve gRPC on " + ListenAddress(front_.options) +
              (tls ? ": the address is in use or not this host's, or certificate and key don't fit"
                   : ": the address is in use or not this host's"));
    }
    port_ = static_cast<std::uint16_t>(port);
    tasks_.Spawn(front_.NextLoop(), runtime::Context(),
                 [this](runtime::Context ctx) { return WatchReadiness(std::move(ctx)); });
    return port_;
  }

  bool Drain(Duration limit) {
    if (server_ == nullptr) return true;
    const TimePoint deadline = AddSaturating(front_.services.clock.Now(), limit);
    front_.StartDraining();
    health_.Refresh();
    Shutdown(limit);
    return front_.services.clock.Now() < deadline;
  }

  void Stop() {
    if (server_ == nullptr) return;
    front_.StartDraining();
    Shutdown(Duration::zero());
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::size_t running() const { return front_.running(); }

 private:
  /// Ends what still runs after `limit`; returns when gRPC has let go of every call.
  void Shutdown(Duration limit) {
    tasks_.Stop(kNever.time_since_epoch());
    constexpr Duration kLongest = std::chrono::hours(24);
    const auto wall = front_.services.clock.WallNow() + std::min(limit, kLongest);
    server_->Shutdown(std::chrono::time_point_cast<std::chrono::system_clock::duration>(wall));
    server_.reset();
  }

  runtime::Task<Result<void>> WatchReadiness(runtime::Context ctx) {
    while (!ctx.cancelled()) {
      health_.Refresh();
      const TimePoint next = front_.services.clock.Now() + front_.options.health_interval;
      MEZZO_CO_TRY_VOID(co_await runtime::SleepUntil(ctx, next));
    }
    co_return Result<void>();
  }

  CoreLogRoute log_route_;
  Front front_;
  InferenceRpcService rpcs_;
  HealthService health_;
  std::uint16_t port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  runtime::Scope tasks_;  // Last: its task uses the members above.
};

GrpcServer::GrpcServer(Options options, Services services)
    : state_(std::make_unique<State>(std::move(options), services)) {}

GrpcServer::~GrpcServer() { state_->Stop(); }

Result<std::uint16_t> GrpcServer::Start() { return state_->Start(); }
std::uint16_t GrpcServer::port() const { return state_->port(); }
bool GrpcServer::Drain(Duration limit) { return state_->Drain(limit); }
void GrpcServer::Stop() { state_->Stop(); }
std::size_t GrpcServer::running() const { return state_->running(); }

}  // namespace mezzo::api::rpc
