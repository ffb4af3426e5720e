#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/app/admission_config.h"
#include "mezzo/app/artifacts_config.h"
#include "mezzo/app/cache_config.h"
#include "mezzo/app/drift_config.h"
#include "mezzo/app/events_config.h"
#include "mezzo/app/oidc_config.h"
#include "mezzo/app/pipelines_config.h"
#include "mezzo/app/redis_config.h"
#include "mezzo/app/registry_config.h"
#include "mezzo/config/value.h"
#include "mezzo/models/repository_catalog.h"
#include "mezzo/observe/log.h"
#include "mezzo/sched/scheduler.h"
#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/limit.h"

namespace mezzo::app {

struct TlsConfig {
  std::string certificate_file;
  std::string key_file;
  std::string client_ca_file;
};

struct HttpConfig {
  bool enabled = true;
  std::string address = "127.0.0.1";
  std::uint16_t port = 8000;
  std::optional<TlsConfig> tls;
  config::ByteSize max_body = config::MiB(64);
  config::ByteSize max_bytes_in_flight = config::GiB(1);
  std::size_t max_connections = 10'000;
  std::size_t max_connections_per_peer = 0;
  config::ByteSize max_header_bytes = config::KiB(32);
  std::size_t max_headers = 100;
  Duration header_timeout = std::chrono::seconds(10);
  Duration idle_timeout = std::chrono::seconds(75);
  Duration write_timeout = std::chrono::seconds(30);
  bool console = true;
};

struct GrpcConfig {
  bool enabled = true;
  std::string address = "127.0.0.1";
  std::uint16_t port = 8001;
  std::optional<TlsConfig> tls;
  config::ByteSize max_message = config::MiB(64);
};

struct ModelsConfig {
  std::vector<std::string> repositories;
  models::ControlMode control = models::ControlMode::kNone;
  std::vector<std::string> startup;
  Duration poll_interval = std::chrono::seconds(15);
  config::ByteSize memory_budget;
  std::int64_t default_max_batch = 32;
  std::size_t default_max_queued = 1024;
  std::size_t load_threads = 1;
};

struct ProviderLibrary {
  std::string name;
  std::string library;
};

struct EngineConfig {
  std::string library;
  int intra_op_threads = 1;
  bool spinning = false;
  config::ByteSize run_memory;
  std::vector<ProviderLibrary> provider_libraries;
};

struct WorkersConfig {
  std::string python = "python3";
  std::vector<std::string> environment;
  config::ByteSize memory_limit;
  config::ByteSize max_shared = config::GiB(4);
};

struct DeviceConfig {
  std::uint32_t slots = 0;
  sched::Scheduler::Policy policy = sched::Scheduler::Policy::kFair;
  double interactive_share = 0.6;
  double standard_share = 0.3;
  double bulk_share = 0.1;
  std::size_t max_queued = 65536;
  Duration inline_limit = std::chrono::microseconds(150);
};

struct TenantConfig {
  std::string id;
  double weight = 1.0;
  std::vector<std::string> classes = {"interactive", "standard", "bulk"};
  std::vector<std::string> tiers = {"free"};
  std::vector<std::string> scopes = {"infer"};
  std::vector<std::string> key_sha256;
  std::vector<config::Secret> webhook_secrets;
};

struct LimitConfig {
  std::string name;
  std::string kind;
  std::string tenant;
  std::string project;
  std::string key;
  std::string model;
  std::vector<std::string> per;
  double rate = 0;
  double burst = 0;
  double amount = 0;
};

struct TracingConfig {
  bool enabled = false;
  double ratio = 1.0;
  std::string endpoint;
  config::Secret authorization;
};

struct LogConfig {
  observe::LogLevel level = observe::LogLevel::kInfo;
  observe::LogFormat format = observe::LogFormat::kConsole;
};

struct SharedMemoryConfig {
  bool enabled = false;
};

struct DatabaseConfig {
  config::Secret url;
  std::size_t connections = 16;
};

struct JobsConfig {
  bool enabled = true;
  std::size_t slots = 8;
  std::size_t max_queued = 1'000'000;
  Duration lease = std::chrono::seconds(30);
  Duration retention = std::chrono::hours(24 * 30);
  bool webhooks_to_private = false;
  bool webhooks_over_http = false;
  bool fetch_from_private = false;
  bool fetch_over_http = false;
};

struct ShutdownConfig {
  Duration grace = std::chrono::seconds(30);
};

/// mezzo.yaml. `mezzo config reference` prints its documentation.
struct ServerConfig {
  HttpConfig http;
  GrpcConfig grpc;
  ModelsConfig models;
  CacheConfig cache;
  EngineConfig engine;
  WorkersConfig workers;
  DeviceConfig device;
  AdmissionConfig admission;
  std::vector<TenantConfig> tenants;
  std::vector<LimitConfig> limits;
  std::vector<OidcConfig> oidc;
  bool insecure = false;
  std::size_t io_threads = 0;
  TracingConfig tracing;
  LogConfig log;
  SharedMemoryConfig shared_memory;
  std::string data_dir = "mezzo-data";
  DatabaseConfig database;
  RedisConfig redis;
  JobsConfig jobs;
  ArtifactsConfig artifacts;
  RegistryConfig registry;
  DriftConfig drift;
  EventsConfig events;
  PipelinesConfig pipelines;
  ShutdownConfig shutdown;
};

}  // namespace mezzo::app

namespace mezzo::app {

/// Who may call, from `tenants`. Of an empty list: anybody on this host (or anywhere, when `insecure`), as a
/// platform tenant "anonymous" with every scope and class; with `oidc` only when `insecure`. Fails with
/// kInvalidArgument "config_invalid_value" naming the tenant and the value.
Result<tenancy::Directory::Contents> CallersOf(const ServerConfig& config);

/// What `limits` declares. Fails with kInvalidArgument "config_invalid_value" naming limit and value.
Result<std::vector<tenancy::Limit>> LimitsOf(const ServerConfig& config);

/// What webhooks of each tenant are signed with, unless a job has a secret of its own; several while they are
/// rotated.
using WebhookSecrets = std::map<TenantId, std::vector<std::string>>;
/// Fails with kInvalidArgument "config_invalid_value" naming the tenant.
Result<WebhookSecrets> MakeWebhookSecrets(const ServerConfig& config);

/// Whether other hosts can't reach any port.
bool ListensOnLoopbackOnly(const ServerConfig& config);

/// Fails with kFailedPrecondition "insecure_listener" when an address that is not loopback would be served
/// without keys (declared, or in a database) and without `insecure`.
Result<void> CheckExposure(const ServerConfig& config);

}  // namespace mezzo::app
