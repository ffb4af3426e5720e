#include "mezzo/app/cli/flow_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <map>

#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

/// Stores a value of --flow; false when it is not one of the key's.
using Setter = std::function<bool(FlowSpec&, std::string_view)>;

Setter Text(std::string FlowSpec::* member) {
  return [member](FlowSpec& flow, std::string_view value) {
    flow.*member = std::string(value);
    return true;
  };
}

Setter List(std::vector<std::string> FlowSpec::* member) {
  return [member](FlowSpec& flow, std::string_view value) {
    (flow.*member).emplace_back(value);
    return true;
  };
}

template <typename T>
Setter Number(T FlowSpec::* member, double min, double max) {
  return [member, min, max](FlowSpec& flow, std::string_view value) {
    T number{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    const auto real = static_cast<double>(number);
    if (error != std::errc() || end != value.data() + value.size() || !(real >= min) || real > max)
      return false;
    flow.*member = number;
    return true;
  };
}

template <typename E>
Setter Choice(E FlowSpec::* member) {
  return [member](FlowSpec& flow, std::string_view value) {
    for (const auto& entry : config::EnumNames<E>::kNames) {
      if (entry.name != value) continue;
      flow.*member = entry.value;
      return true;
    }
    return false;
  };
}

bool SetDeadline(FlowSpec& flow, std::string_view value) {
  const auto deadline = config::ParseDuration(value);
  if (!deadline.ok() || *deadline < std::chrono::microseconds(1) || *deadline > std::chrono::hours(24))
    return false;
  flow.deadline = *deadline;
  return true;
}

struct Key {
  Setter set;
  std::string wanted;  ///< Completes "must be ...".
};

const std::map<std::string, Key>& Keys() {
  static const std::map<std::string, Key> keys = {
      {"name", {Text(&FlowSpec::name), "a text"}},
      {"model", {Text(&FlowSpec::model), "a text"}},
      {"version", {Text(&FlowSpec::version), "a text"}},
      {"tenant", {Text(&FlowSpec::tenant), "a text"}},
      {"key_env", {Text(&FlowSpec::key_env), "a text"}},
      {"url", {Text(&FlowSpec::url), "a text"}},
      {"grpc", {Text(&FlowSpec::grpc), "a text"}},
      {"protocol", {Choice(&FlowSpec::protocol), "http, http-json, grpc or raw"}},
      {"rate", {Number(&FlowSpec::rate, 0, 1e7), "a number from 0 to 10000000"}},
      {"concurrency", {Number(&FlowSpec::concurrency, 0, 1e5), "a whole number from 0 to 100000"}},
      {"arrivals", {Choice(&FlowSpec::arrivals), "poisson, uniform or trace"}},
      {"trace", {Text(&FlowSpec::trace), "a text"}},
      {"time_scale", {Number(&FlowSpec::time_scale, 1e-6, 1e6), "a number from 0.000001 to 1000000"}},
      {"deadline", {SetDeadline, "a duration from 1us to 24h"}},
      {"priority", {Number(&FlowSpec::priority, 0, 1000), "a whole number from 0 to 1000"}},
      {"shape", {List(&FlowSpec::shapes), "a text"}},
      {"range", {List(&FlowSpec::ranges), "a text"}},
      {"fill", {Choice(&FlowSpec::fill), "random or zeros"}},
      {"input_file", {Text(&FlowSpec::input_file), "a text"}},
      {"path", {Text(&FlowSpec::path), "a text"}},
      {"body_file", {Text(&FlowSpec::body_file), "a text"}},
      {"content_type", {Text(&FlowSpec::content_type), "a text"}},
      {"payloads", {Number(&FlowSpec::payloads, 1, 4096), "a whole number from 1 to 4096"}},
      {"connections", {Number(&FlowSpec::connections, 0, 1e5), "a whole number from 0 to 100000"}},
      {"max_outstanding", {Number(&FlowSpec::max_outstanding, 1, 1e7), "a whole number from 1 to 10000000"}},
  };
  return keys;
}

Error UnknownKey(const std::string& key) {
  std::vector<std::string> names;
  for (const auto& [name, unused] : Keys()) names.push_back(name);
  std::string message = "unknown key '" + Printable(key) + "' in --flow";
  if (const auto near = NearestName(key, names)) message += "; did you mean '" + *near + "'?";
  return InvalidArgument("bad_flow", message);
}

}  // namespace

std::string_view ProtocolName(Protocol protocol) {
  for (const auto& entry : config::EnumNames<Protocol>::kNames) {
    if (entry.value == protocol) return entry.name;
  }
  return "";
}

Result<FlowSpec> ParseFlow(std::string_view text, const FlowSpec& defaults) {
  FlowSpec flow = defaults;
  for (const std::string_view part : Split(text, ',')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
      return InvalidArgument("bad_flow", "'" + Printable(part) + "' in --flow must be key=value");
    }
    std::string key(Trim(part.substr(0, equals)));
    std::replace(key.begin(), key.end(), '-', '_');
    const std::string_view value = Trim(part.substr(equals + 1));
    const auto found = Keys().find(key);
    if (found == Keys().end()) return UnknownKey(key);
    if (!found->second.set(flow, value)) {
      return InvalidArgument("bad_flow", key + " in --flow must be " + found->second.wanted + ", not '" +
                                             Printable(value) + "'");
    }
  }
  // What a flow says of its own pace replaces the whole of the inherited one.
  const auto names = [text](std::string_view key) {
    const auto parts = Split(text, ',');
    return std::any_of(parts.begin(), parts.end(),
                       [key](std::string_view part) { return Trim(part.substr(0, part.find('='))) == key; });
  };
  if (names("rate") || names("concurrency") || names("trace")) {
    if (!names("rate")) flow.rate = 0;
    if (!names("concurrency")) flow.concurrency = 0;
    if (!names("trace")) flow.trace.clear();
    if (flow.trace.empty() && flow.arrivals == ArrivalKind::kTrace) flow.arrivals = ArrivalKind::kPoisson;
  }
  if (!flow.trace.empty()) flow.arrivals = ArrivalKind::kTrace;
  return flow;
}

Result<void> CheckFlow(const FlowSpec& flow) {
  const std::string who = "flow '" + Printable(FlowName(flow)) + "' ";
  const auto bad = [&who](const std::string& what) { return InvalidArgument("bad_flow", who + what); };
  const bool traced = flow.arrivals == ArrivalKind::kTrace || !flow.trace.empty();
  if (traced && flow.trace.empty()) return bad("has arrivals from a trace but names no trace file");
  const int paces = (flow.rate > 0 ? 1 : 0) + (flow.concurrency > 0 ? 1 : 0) + (traced ? 1 : 0);
  if (paces == 0) return bad("needs a rate, a trace (open loop) or a concurrency (closed loop)");
  if (paces > 1) return bad("may have only one of rate, trace and concurrency");
  if (flow.protocol == Protocol::kRaw) {
    if (!flow.path.starts_with('/')) return bad("of protocol raw needs a path that starts with '/'");
  } else {
    if (flow.model.empty()) return bad("needs a model");
    if (!flow.path.empty() || !flow.body_file.empty())
      return bad("may have path and body_file only with protocol raw");
  }
  const auto plain = [](const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
  };
  if (!plain(flow.path)) return bad("has a path with white space or characters outside ASCII");
  if (flow.content_type.find_first_of("\r\n") != std::string::npos)
    return bad("has a content_type with a line break");
  return {};
}

std::string FlowName(const FlowSpec& flow) {
  if (!flow.name.empty()) return flow.name;
  std::string name = flow.protocol == Protocol::kRaw ? flow.path : flow.model;
  if (!flow.version.empty()) name += ":" + flow.version;
  if (!flow.tenant.empty()) name += "/" + flow.tenant;
  if (flow.protocol != Protocol::kHttp) name += " (" + std::string(ProtocolName(flow.protocol)) + ")";
  return name;
}

}  // namespace mezzo::app::cli
