#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/config/schema.h"

namespace mezzo::app::cli {

enum class Protocol : std::uint8_t {
  kHttp,      ///< v2 over HTTP, tensors as binary.
  kHttpJson,  ///< v2 over HTTP, tensors as JSON.
  kGrpc,
  kRaw,  ///< `body_file` posted to `path` (GET without it): any HTTP server, for comparison.
};
enum class ArrivalKind : std::uint8_t { kPoisson, kUniform, kTrace };
enum class Fill : std::uint8_t { kRandom, kZeros };

/// One stream of requests of a benchmark, as the user describes it.
struct FlowSpec {
  std::string name;  ///< In the report; empty: made from model, tenant and protocol.
  std::string model;
  std::string version;
  std::string tenant;   ///< A label: who calls is decided by the key.
  std::string key_env;  ///< Variable with the API key.
  std::string url;      ///< Empty: the command's.
  std::string grpc;     ///< Empty: the command's.
  Protocol protocol = Protocol::kHttp;
  double rate = 0;              ///< Open loop: requests per second.
  std::size_t concurrency = 0;  ///< Closed loop: requests always on their way.
  ArrivalKind arrivals = ArrivalKind::kPoisson;
  std::string trace;
  double time_scale = 1;
  std::optional<Duration> deadline;
  std::uint64_t priority = 0;
  std::vector<std::string> shapes;  ///< "input_ids:1x32"
  std::vector<std::string> ranges;  ///< "input_ids:0..30000"
  Fill fill = Fill::kRandom;
  std::string input_file;
  std::string path;
  std::string body_file;
  std::string content_type = "application/octet-stream";
  std::size_t payloads = 4;
  std::size_t connections = 0;  ///< 0: chosen by the kind of flow.
  std::size_t max_outstanding = 10'000;
};

/// --scenario FILE: several flows and, where the command line says nothing, the frame around them.
struct Scenario {
  std::optional<Duration> duration;
  std::optional<Duration> warmup;
  std::optional<std::uint64_t> requests;
  std::optional<std::uint64_t> seed;
  std::vector<FlowSpec> flows;
};

/// Reads "model=minilm,rate=50,shape=input_ids:1x32": keys of FlowSpec's schema (with '-' or '_'), `shape`
/// and `range` as often as needed; what is not named is as in `defaults`. Fails with "bad_flow" naming key
/// and value.
Result<FlowSpec> ParseFlow(std::string_view text, const FlowSpec& defaults);
/// Proves that the flow can run: exactly one of rate, concurrency and trace, a model or a path, and so on.
/// Fails with "bad_flow" naming the flow.
Result<void> CheckFlow(const FlowSpec& flow);
/// The name of the report.
std::string FlowName(const FlowSpec& flow);
/// "http", "http-json", "grpc", "raw".
std::string_view ProtocolName(Protocol protocol);

}  // namespace mezzo::app::cli

namespace mezzo::config {

template <>
struct EnumNames<app::cli::Protocol> {
  static constexpr EnumName<app::cli::Protocol> kNames[] = {{app::cli::Protocol::kHttp, "http"},
                                                            {app::cli::Protocol::kHttpJson, "http-json"},
                                                            {app::cli::Protocol::kGrpc, "grpc"},
                                                            {app::cli::Protocol::kRaw, "raw"}};
};
template <>
struct EnumNames<app::cli::ArrivalKind> {
  static constexpr EnumName<app::cli::ArrivalKind> kNames[] = {{app::cli::ArrivalKind::kPoisson, "poisson"},
                                                               {app::cli::ArrivalKind::kUniform, "uniform"},
                                                               {app::cli::ArrivalKind::kTrace, "trace"}};
};
template <>
struct EnumNames<app::cli::Fill> {
  static constexpr EnumName<app::cli::Fill> kNames[] = {{app::cli::Fill::kRandom, "random"},
                                                        {app::cli::Fill::kZeros, "zeros"}};
};

template <>
struct Schema<app::cli::FlowSpec> {
  static auto Fields() {
    using C = app::cli::FlowSpec;
    return std::tuple{
        Field("name", &C::name, "Name in the report; empty: made from model, tenant and protocol."),
        Field("model", &C::model, "Model to call."),
        Field("version", &C::version, "Version of the model; empty: the server chooses."),
        Field("tenant", &C::tenant, "Label in the report; who calls is decided by the key."),
        Field("key_env", &C::key_env, "Variable with the API key."),
        Field("url", &C::url, "HTTP address; empty: the command's --url."),
        Field("grpc", &C::grpc, "gRPC address; empty: the command's --grpc."),
        Field("protocol", &C::protocol, "http (binary tensors), http-json, grpc or raw."),
        Field("rate", &C::rate, "Open loop: requests per second.", Range(0.0, 10'000'000.0)),
        Field("concurrency", &C::concurrency, "Closed loop: requests always on their way.",
              Range(0, 100'000)),
        Field("arrivals", &C::arrivals, "poisson, uniform or trace."),
        Field("trace", &C::trace, "CSV file of arrival times; implies arrivals: trace."),
        Field("time_scale", &C::time_scale, "Plays the trace this many times as fast.",
              Range(0.000001, 1'000'000.0)),
        Field("deadline", &C::deadline, "Sent along as `timeout`; later answers are late.",
              Range(std::chrono::microseconds(1), std::chrono::hours(24))),
        Field("priority", &C::priority, "1 is the highest; 0: the model's default.", Range(0, 1000)),
        Field("shapes", &C::shapes, "Shapes of inputs with variable dimensions: input_ids:1x32."),
        Field("ranges", &C::ranges, "Values of an input: input_ids:0..30000."),
        Field("fill", &C::fill, "random or zeros."),
        Field("input_file", &C::input_file,
              "JSON file with an \"inputs\" list as in a request, instead of made data."),
        Field("path", &C::path, "raw: path of the request."),
        Field("body_file", &C::body_file, "raw: file with the body to post; empty: GET."),
        Field("content_type", &C::content_type, "raw: type of the body."),
        Field("payloads", &C::payloads, "Different requests that are made and sent in turn.", Range(1, 4096)),
        Field("connections", &C::connections,
              "Connections of this flow; 0: its concurrency, 8 to 256 by rate in the open loop, 4 for gRPC.",
              Range(0, 100'000)),
        Field("max_outstanding", &C::max_outstanding,
              "Open loop: requests sent or waiting; more are dropped.", Range(1, 10'000'000))};
  }
};
template <>
struct Schema<app::cli::Scenario> {
  static auto Fields() {
    using C = app::cli::Scenario;
    return std::tuple{Field("duration", &C::duration, "How long requests are measured."),
                      Field("warmup", &C::warmup, "Time before, whose requests are not counted."),
                      Field("requests", &C::requests,
                            "Measured requests of each flow; ends the flow earlier than `duration`."),
                      Field("seed", &C::seed, "Seed of arrivals and data."),
                      Field("flows", &C::flows, "The streams of requests.", Length(1, 256))};
  }
};

}  // namespace mezzo::config
