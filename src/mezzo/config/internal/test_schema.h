#pragma once

// A configuration with a field of every kind, for this module's tests.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/config/schema.h"

namespace mezzo::config::test {

enum class Policy : std::uint8_t { kFair, kFifo };

struct Batching {
  std::size_t max_rows = 8;
  Duration max_delay = std::chrono::milliseconds(5);
};

struct Serving {
  Batching batching;
  Policy policy = Policy::kFair;
  std::vector<std::string> roles = {"gateway", "worker"};
};

struct Listener {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;
};

struct Tenant {
  double weight = 1;
  Secret key;
  std::vector<Policy> policies;
};

struct Tls {
  std::string certificate;
  std::string key;
};

struct Server {
  std::string name;
  bool verbose = false;
  std::int8_t nice = -5;
  std::int64_t offset = 0;
  std::uint64_t seed = 0;
  ByteSize budget = MiB(64);
  std::optional<Duration> deadline;
  std::optional<Tls> tls;
  Secret token;
  Serving serving;
  std::vector<Listener> listeners;
  std::map<std::string, Tenant> tenants;
  std::map<std::string, int> priorities = {{"low", 1}};
};

struct Root {
  Server server;
  ModelName model{"none"};
};

/// Has a required field one section down.
struct Strict {
  Listener listener;
  Batching batching;
  std::string name;
};

}  // namespace mezzo::config::test

namespace mezzo::config {

template <>
struct EnumNames<test::Policy> {
  static constexpr EnumName<test::Policy> kNames[] = {{test::Policy::kFair, "fair"},
                                                      {test::Policy::kFifo, "fifo"}};
};

template <>
struct Schema<test::Batching> {
  static auto Fields() {
    using C = test::Batching;
    using namespace std::chrono_literals;
    return std::tuple{
        Field("max_rows", &C::max_rows, "Rows per batch.", Range(1, 1024), Reload::kLive),
        Field("max_delay", &C::max_delay, "Longest wait of the oldest.", Range(0ms, 1s), Reload::kLive)};
  }
};

template <>
struct Schema<test::Serving> {
  static auto Fields() {
    using C = test::Serving;
    return std::tuple{Field("batching", &C::batching, "How batches form."),
                      Field("policy", &C::policy, "Order of work.", Reload::kLive),
                      Field("roles", &C::roles, "What this process does.", Length(1, 3))};
  }
};

template <>
struct Schema<test::Listener> {
  static auto Fields() {
    using C = test::Listener;
    return std::tuple{Field("host", &C::host, "Address | name.", Length(1, 64)),
                      Field("port", &C::port, "Port.", Reload::kLive)};
  }
};

template <>
struct Schema<test::Tenant> {
  static auto Fields() {
    using C = test::Tenant;
    return std::tuple{Field("weight", &C::weight, "Share.", Range(0.1, 100), Reload::kLive),
                      Field("key", &C::key, "API key."), Field("policies", &C::policies, "Allowed.")};
  }
};

template <>
struct Schema<test::Tls> {
  static auto Fields() {
    using C = test::Tls;
    return std::tuple{Field("certificate", &C::certificate, "File."), Field("key", &C::key, "File.")};
  }
  static std::optional<std::string> Validate(const test::Tls& tls) {
    if (tls.certificate.empty() == tls.key.empty()) return std::nullopt;
    return "needs both certificate and key, or neither";
  }
};

template <>
struct Schema<test::Server> {
  static auto Fields() {
    using C = test::Server;
    return std::tuple{
        Field("name", &C::name, "Name.", Check{[](const std::string& name) -> std::optional<std::string> {
                if (name.find('/') == std::string::npos) return std::nullopt;
                return "must not contain '/'";
              }}),
        Field("verbose", &C::verbose, "More log.", Reload::kLive),
        Field("nice", &C::nice, "Priority."),
        Field("offset", &C::offset, "Offset."),
        Field("seed", &C::seed, "Seed.", AtLeast(0)),
        Field("budget", &C::budget, "Memory.", Range(MiB(1), GiB(4))),
        Field("deadline", &C::deadline, "Deadline.", AtLeast(std::chrono::milliseconds(1)), Reload::kLive),
        Field("tls", &C::tls, "Encryption."),
        Field("token", &C::token, "Token."),
        Field("serving", &C::serving, "Serving."),
        Field("listeners", &C::listeners, "Addresses."),
        Field("tenants", &C::tenants, "Tenants.", Reload::kLive),
        Field("priorities", &C::priorities, "Priorities.", Range(-10, 10))};
  }
};

template <>
struct Schema<test::Root> {
  static auto Fields() {
    using C = test::Root;
    return std::tuple{Field("server", &C::server, "The server."), Field("model", &C::model, "A model.")};
  }
};

template <>
struct Schema<test::Strict> {
  static auto Fields() {
    using C = test::Strict;
    return std::tuple{Field("listener", &C::listener, "Listener.", Required()),
                      Field("batching", &C::batching, "Batching."),
                      Field("name", &C::name, "Name.", Required(), NotEmpty())};
  }
};

}  // namespace mezzo::config
