#pragma once

#include <tuple>

#include "mezzo/app/admission_schema.h"
#include "mezzo/app/artifacts_schema.h"
#include "mezzo/app/cache_schema.h"
#include "mezzo/app/drift_schema.h"
#include "mezzo/app/events_schema.h"
#include "mezzo/app/oidc_schema.h"
#include "mezzo/app/pipelines_schema.h"
#include "mezzo/app/redis_schema.h"
#include "mezzo/app/registry_schema.h"
#include "mezzo/app/server_config.h"
#include "mezzo/app/tenants_schema.h"
#include "mezzo/config/schema.h"

/// The documentation and bounds of every key of mezzo.yaml.
namespace mezzo::config {

template <>
struct EnumNames<models::ControlMode> {
  static constexpr EnumName<models::ControlMode> kNames[] = {{models::ControlMode::kNone, "none"},
                                                             {models::ControlMode::kPoll, "poll"},
                                                             {models::ControlMode::kExplicit, "explicit"}};
};
template <>
struct EnumNames<sched::Scheduler::Policy> {
  static constexpr EnumName<sched::Scheduler::Policy> kNames[] = {{sched::Scheduler::Policy::kFair, "fair"},
                                                                  {sched::Scheduler::Policy::kFifo, "fifo"}};
};
template <>
struct EnumNames<observe::LogLevel> {
  static constexpr EnumName<observe::LogLevel> kNames[] = {{observe::LogLevel::kDebug, "debug"},
                                                           {observe::LogLevel::kInfo, "info"},
                                                           {observe::LogLevel::kWarn, "warn"},
                                                           {observe::LogLevel::kError, "error"},
                                                           {observe::LogLevel::kOff, "off"}};
};
template <>
struct EnumNames<observe::LogFormat> {
  static constexpr EnumName<observe::LogFormat> kNames[] = {{observe::LogFormat::kJson, "json"},
                                                            {observe::LogFormat::kConsole, "console"}};
};

template <>
struct Schema<app::TlsConfig> {
  static auto Fields() {
    using C = app::TlsConfig;
    return std::tuple{Field("certificate_file", &C::certificate_file,
                            "PEM file with the chain, the server's certificate first.", Required{}),
                      Field("key_file", &C::key_file, "PEM file with the private key.", Required{}),
                      Field("client_ca_file", &C::client_ca_file,
                            "When set, clients must present a certificate it signed.")};
  }
};
template <>
struct Schema<app::HttpConfig> {
  static auto Fields() {
    using C = app::HttpConfig;
    using std::chrono::milliseconds;
    using std::chrono::minutes;
    return std::tuple{
        Field("enabled", &C::enabled, "Serve HTTP."),
        Field("address", &C::address, "Address to listen on. Others than loopback need keys, or `insecure`."),
        Field("port", &C::port, "Port; 0 takes any free one."),
        Field("tls", &C::tls, "Serve HTTPS with this certificate."),
        Field("max_body", &C::max_body, "Largest request body, also after decompression.",
              Range(KiB(1), GiB(16))),
        Field("max_bytes_in_flight", &C::max_bytes_in_flight,
              "All request bodies in memory together; beyond it requests are answered 503.",
              Range(MiB(1), GiB(1024))),
        Field("max_connections", &C::max_connections, "Open connections.", Range(1, 1'000'000)),
        Field("max_connections_per_peer", &C::max_connections_per_peer,
              "Open connections of one address; 0: no limit. Loopback is never limited."),
        Field("max_header_bytes", &C::max_header_bytes, "Request line and headers.", Range(KiB(1), MiB(1))),
        Field("max_headers", &C::max_headers, "Headers of one request.", Range(8, 10'000)),
        Field("header_timeout", &C::header_timeout, "From a request's first byte to the end of its headers.",
              Range(milliseconds(10), minutes(10))),
        Field("idle_timeout", &C::idle_timeout, "Between two requests of a connection.",
              Range(milliseconds(10), minutes(60))),
        Field("write_timeout", &C::write_timeout, "Without progress of an answer.",
              Range(milliseconds(10), minutes(60))),
        Field("console", &C::console, "Serve the web console below /console, if this build has it.")};
  }
};
template <>
struct Schema<app::GrpcConfig> {
  static auto Fields() {
    using C = app::GrpcConfig;
    return std::tuple{
        Field("enabled", &C::enabled, "Serve gRPC."),
        Field("address", &C::address, "Address to listen on. Others than loopback need keys, or `insecure`."),
        Field("port", &C::port, "Port; 0 takes any free one."),
        Field("tls", &C::tls, "Serve with this certificate."),
        Field("max_message", &C::max_message, "Largest message, in and out.", Range(KiB(1), GiB(1)))};
  }
};
template <>
struct Schema<app::ModelsConfig> {
  static auto Fields() {
    using C = app::ModelsConfig;
    return std::tuple{
        Field("repositories", &C::repositories,
              "Folders with models: <folder>/<model>/<version>/model.onnx."),
        Field("control", &C::control,
              "none: serve what is there at start; poll: notice changes; explicit: serve what is loaded by "
              "the API."),
        Field("startup", &C::startup, "With explicit control, the models to load at start; \"*\" is all."),
        Field("poll_interval", &C::poll_interval, "With polling, how often folders are looked at.",
              Range(std::chrono::milliseconds(10), std::chrono::hours(24))),
        Field(
            "memory_budget", &C::memory_budget,
            "What loaded models may hold together; least valuable ones are unloaded beyond it. 0: no limit."),
        Field("default_max_batch", &C::default_max_batch,
              "Rows of a batch for models that say nothing and have a variable first dimension.",
              Range(1, 65536)),
        Field("default_max_queued", &C::default_max_queued, "Requests that may wait for one model.",
              Range(1, 1'000'000)),
        Field("load_threads", &C::load_threads, "Models that load at the same time, at background priority.",
              Range(1, 64))};
  }
};
template <>
struct Schema<app::ProviderLibrary> {
  static auto Fields() {
    using C = app::ProviderLibrary;
    return std::tuple{Field("name", &C::name, "What models call it: openvino, cuda, tensorrt.", Required{}),
                      Field("library", &C::library, "Path of the provider's library.", Required{})};
  }
};
template <>
struct Schema<app::EngineConfig> {
  static auto Fields() {
    using C = app::EngineConfig;
    return std::tuple{Field("library", &C::library, "Path of libonnxruntime; empty: the one built with."),
                      Field("intra_op_threads", &C::intra_op_threads,
                            "Threads that one run may use, the slot's own among them; all models share one "
                            "pool. 0: one per core.",
                            Range(0, 1024)),
                      Field("spinning", &C::spinning,
                            "Pool threads spin for work: a little faster alone, worse beside others."),
                      Field("run_memory", &C::run_memory,
                            "Memory that runs of all models may hold together in tensors of 64 KiB and more, "
                            "answers that are still sent among it; a run that needs more fails with "
                            "`engine_memory`. 0: half of the host's."),
                      Field("provider_libraries", &C::provider_libraries,
                            "Execution providers that come as plug-in libraries.")};
  }
};
template <>
struct Schema<app::WorkersConfig> {
  static auto Fields() {
    using C = app::WorkersConfig;
    return std::tuple{
        Field("python", &C::python, "Interpreter of models that name none; looked for in PATH."),
        Field("environment", &C::environment,
              "Variables that workers get of the server's environment, beside PATH, HOME and the like.",
              Length(0, 64)),
        Field("memory_limit", &C::memory_limit,
              "What one process may use, unless its model says; 0: half of this host's memory."),
        Field("max_shared", &C::max_shared, "Memory that one model shares with its processes for tensors.",
              Range(MiB(1), GiB(1024)))};
  }
};
template <>
struct Schema<app::DeviceConfig> {
  static auto Fields() {
    using C = app::DeviceConfig;
    return std::tuple{
        Field("slots", &C::slots, "Batches that run at the same time; 0: one per core.", Range(0, 1024)),
        Field("policy", &C::policy, "fair, or fifo for comparison: arrival order, deadlines ignored."),
        Field("interactive_share", &C::interactive_share, "Guaranteed part of device time; scaled to sum 1.",
              Range(0.01, 1.0)),
        Field("standard_share", &C::standard_share, "Guaranteed part of device time.", Range(0.01, 1.0)),
        Field("bulk_share", &C::bulk_share, "Guaranteed part of device time.", Range(0.01, 1.0)),
        Field("max_queued", &C::max_queued, "Requests that may wait for the device, all models together.",
              Range(1, 10'000'000)),
        Field("inline_limit", &C::inline_limit,
              "Batches predicted to take less run on the I/O thread that received them; 0: never.",
              Range(std::chrono::milliseconds(0), std::chrono::milliseconds(10)))};
  }
};
template <>
struct Schema<app::TracingConfig> {
  static auto Fields() {
    using C = app::TracingConfig;
    return std::tuple{
        Field("enabled", &C::enabled, "Record spans and send them to `endpoint`."),
        Field("ratio", &C::ratio, "Part of the calls without a traceparent that is traced.", Range(0.0, 1.0)),
        Field("endpoint", &C::endpoint,
              "OTLP/HTTP traces URL of a collector: http://127.0.0.1:4318/v1/traces."),
        Field("authorization", &C::authorization,
              "Value of the Authorization header sent to the collector.")};
  }
};
template <>
struct Schema<app::LogConfig> {
  static auto Fields() {
    using C = app::LogConfig;
    return std::tuple{Field("level", &C::level, "Least severe level that is written.", Reload::kLive),
                      Field("format", &C::format, "json or console.", Reload::kLive)};
  }
};
template <>
struct Schema<app::SharedMemoryConfig> {
  static auto Fields() {
    using C = app::SharedMemoryConfig;
    return std::tuple{
        Field("enabled", &C::enabled, "Let clients on this host register POSIX shared memory for tensors.")};
  }
};
template <>
struct Schema<app::JobsConfig> {
  static auto Fields() {
    using C = app::JobsConfig;
    return std::tuple{
        Field("enabled", &C::enabled, "Keep a durable queue of jobs and serve /v1/jobs."),
        Field("slots", &C::slots,
              "Jobs that run on this host at once, beside two more of tier paid; each has a thread.",
              Range(1, 256)),
        Field("max_queued", &C::max_queued, "Waiting jobs of one tier; more are refused with 429.",
              Range(1, 100'000'000)),
        Field("lease", &C::lease,
              "A job whose host has vanished runs elsewhere after this long. Renewed three times as often.",
              Range(std::chrono::seconds(1), std::chrono::minutes(10))),
        Field("retention", &C::retention, "How long ended jobs are kept.",
              Range(std::chrono::hours(1), std::chrono::hours(24 * 3650))),
        Field("webhooks_to_private", &C::webhooks_to_private,
              "Let webhooks reach private and loopback addresses, not only public ones."),
        Field("webhooks_over_http", &C::webhooks_over_http,
              "Let webhooks go to http:// URLs, not only https://."),
        Field("fetch_from_private", &C::fetch_from_private,
              "Let jobs name files at private and loopback addresses, not only public ones."),
        Field("fetch_over_http", &C::fetch_over_http,
              "Let jobs name files at http:// URLs, not only https://.")};
  }
};
template <>
struct Schema<app::DatabaseConfig> {
  static auto Fields() {
    using C = app::DatabaseConfig;
    return std::tuple{Field("url", &C::url,
                            "PostgreSQL that hosts share (postgresql://user:password@host/database). Empty: "
                            "SQLite in data_dir, "
                            "for one host."),
                      Field("connections", &C::connections, "Connections to PostgreSQL.", Range(2, 256))};
  }
};
template <>
struct Schema<app::ShutdownConfig> {
  static auto Fields() {
    using C = app::ShutdownConfig;
    return std::tuple{Field("grace", &C::grace, "How long running requests may finish after SIGTERM.",
                            Range(std::chrono::milliseconds(0), std::chrono::hours(1)))};
  }
};
template <>
struct Schema<app::ServerConfig> {
  static auto Fields() {
    using C = app::ServerConfig;
    return std::tuple{
        Field("http", &C::http, "HTTP: v2 protocol, OpenAI embeddings, metrics."),
        Field("grpc", &C::grpc, "gRPC: v2 protocol, health."),
        Field("models", &C::models, "Where models come from and how many stay loaded."),
        Field("cache", &C::cache, "The cache of answers, for models that declare `cache:`."),
        Field("engine", &C::engine, "ONNX Runtime."),
        Field("workers", &C::workers, "The processes of Python models."),
        Field("device", &C::device, "The scheduler of the device's work."),
        Field("admission", &C::admission, "What is refused when there is too much of it."),
        Field("tenants", &C::tenants,
              "Who may call, besides the tenants and keys that the database has. While there are none at "
              "all, anybody on "
              "this host may, if no port is reachable from others."),
        Field("limits", &C::limits, "Limits on calls and jobs, besides those that the database has."),
        Field("oidc", &C::oidc, "Issuers that vouch for people (OpenID Connect): their tokens are let in.",
              Length(0, 32)),
        Field("insecure", &C::insecure, "Allow callers without keys from other hosts."),
        Field("io_threads", &C::io_threads, "Threads for network I/O; 0: one per core.", Range(0, 256)),
        Field("tracing", &C::tracing, "Traces by OTLP/HTTP."),
        Field("log", &C::log, "What is written to standard error."),
        Field("shared_memory", &C::shared_memory, "The system shared memory extension."),
        Field("data_dir", &C::data_dir,
              "Folder for what must survive a restart; made when there is none, and locked against a second "
              "server."),
        Field("database", &C::database, "Where jobs, tenants and keys are kept."),
        Field("redis", &C::redis, "What hosts share and may lose: limits, cached results."),
        Field("jobs", &C::jobs, "Durable jobs."),
        Field("artifacts", &C::artifacts, "Where jobs put what they make, and the registry its contents."),
        Field("registry", &C::registry, "Registered models and their versions."),
        Field("drift", &C::drift, "Whether what versions are asked and answer is what it was."),
        Field("events", &C::events, "Who is told of what happens to versions."),
        Field("pipelines", &C::pipelines, "What pipelines may do."),
        Field("shutdown", &C::shutdown, "How the server ends.")};
  }
};

}  // namespace mezzo::config
