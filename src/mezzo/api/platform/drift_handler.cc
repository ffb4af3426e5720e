#include "mezzo/api/platform/drift_handler.h"

#include <array>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/platform/identity_json.h"
#include "mezzo/api/platform/members.h"
#include "mezzo/base/strings.h"
#include "mezzo/tenancy/ledger/usage_report.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using lifecycle::DriftFinding;
using lifecycle::WatchedVersion;
using net::Method;
using tenancy::Scope;

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kMaxBody = 4096;
constexpr double kMaxVersion = 9e15;

enum RouteId : int { kList, kShow, kReset };
constexpr std::array<Route, 3> kRoutes = {
    Route{Method::kGet, "/v1/drift", Scope::kObserve, kIgnoredBody, kList},
    Route{Method::kGet, "/v1/drift/*/#", Scope::kObserve, kIgnoredBody, kShow},
    Route{Method::kPost, "/v1/drift/*/#/reset", Scope::kOperate, kMaxBody, kReset}};

net::HttpResponse Ok(const Json& json) {
  return net::HttpResponse::Json(200, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::int64_t MicrosOf(WallTime at) {
  return std::chrono::floor<std::chrono::microseconds>(at.time_since_epoch()).count();
}

Json TensorJson(const DriftFinding& finding, bool histograms) {
  const auto& reference = finding.reference;
  Json json = {{"name", reference.tensor.name},
               {"direction", reference.tensor.output ? "output" : "input"},
               {"calls", finding.calls},
               {"psi", finding.psi ? Json(*finding.psi) : Json(nullptr)},
               {"ks", finding.ks ? Json(finding.ks->statistic) : Json(nullptr)},
               {"not_finite", finding.now.odd()},
               {"reference",
                {{"source", reference.source},
                 {"calls", reference.calls},
                 {"made_at", tenancy::TimeText(MicrosOf(reference.made))}}}};
  if (histograms) {
    json["histogram"] = {{"edges", reference.histogram.edges()},
                         {"reference", reference.histogram.counts()},
                         {"now", finding.now.counts()}};
  }
  return json;
}

Result<std::int64_t> VersionOf(const RoutedCall& call) {
  const auto number = ParseUint(call.captures[1]);
  if (number && *number <= static_cast<std::uint64_t>(INT64_MAX)) return static_cast<std::int64_t>(*number);
  return NotFound("drift_unknown", "model '" + Printable(call.captures[0]) + "' has no version " +
                                       Printable(call.captures[1], 64));
}

}  // namespace

std::span<const Route> DriftHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> DriftHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  const auto work = [this, &call]() -> Answer { return Dispatch(call); };
  Answer answer = co_await runtime::Offload(ports_.pool, work);
  co_return ResponseOf(std::move(answer));
}

DriftHandler::Answer DriftHandler::Dispatch(const RoutedCall& call) const {
  if (call.route == kList) return Show(std::string(call.request->QueryValue("model").value_or("")), {});
  if (call.route == kReset) return Reset(call);
  MEZZO_TRY(const std::int64_t version, VersionOf(call));
  return Show(std::string(call.captures[0]), version);
}

DriftHandler::Answer DriftHandler::Show(const std::string& model, std::optional<std::int64_t> version) const {
  MEZZO_TRY(auto loaded, ports_.store.Load(0, Limit()));
  std::vector<lifecycle::DriftReference> references;
  for (auto& reference : loaded->all) {
    const WatchedVersion& of = reference.tensor.of;
    const bool wanted = (model.empty() || of.model == model) && (!version || of.version == *version);
    if (wanted) references.push_back(std::move(reference));
  }
  if (version && references.empty()) {
    return NotFound("drift_unknown", "version " + std::to_string(*version) + " of model '" +
                                         Printable(model) + "' has no reference to compare with");
  }
  MEZZO_TRY(const auto windows, ports_.store.Windows(model, ports_.monitor.FirstSlot(), Limit()));
  MEZZO_TRY(const auto tags, ports_.store.Thresholds(Limit()));
  MEZZO_TRY(const auto breaches, ports_.store.Breaches(Limit()));
  const auto findings = lifecycle::CompareWindows(references, windows, ports_.monitor.options().min_calls);
  std::map<WatchedVersion, Json> versions;
  for (const DriftFinding& finding : findings) {
    const WatchedVersion& of = finding.reference.tensor.of;
    auto at = versions.find(of);
    if (at == versions.end()) {
      const auto breach = breaches.find(of);
      const bool breached = breach != breaches.end();
      at = versions
               .emplace(of, Json{{"object", "drift"},
                                 {"model", of.model},
                                 {"version", of.version},
                                 {"threshold", ports_.monitor.ThresholdOf(tags, of.model)},
                                 {"drifted_since", breached ? Json(tenancy::TimeText(breach->second.since_us))
                                                            : Json(nullptr)},
                                 {"told", breached && breach->second.fired_us != 0},
                                 {"tensors", Json::array()}})
               .first;
    }
    at->second["tensors"].push_back(TensorJson(finding, version.has_value()));
  }
  if (version) return Ok(versions.begin()->second);
  Json data = Json::array();
  for (auto& [of, json] : versions) data.push_back(std::move(json));
  return Ok({{"object", "list"}, {"data", std::move(data)}});
}

DriftHandler::Answer DriftHandler::Reset(const RoutedCall& call) const {
  constexpr std::array<std::string_view, 1> kKnown = {"from"};
  MEZZO_TRY(const std::int64_t version, VersionOf(call));
  MEZZO_TRY(const Members members, Members::Parse(call.request->body().text(), kKnown));
  MEZZO_TRY(const auto number, members.Number("from", 0, kMaxVersion));
  std::optional<std::int64_t> from;
  if (number) from = static_cast<std::int64_t>(*number);
  const std::string model(call.captures[0]);
  MEZZO_TRY_VOID(ports_.store.Reset({.model = model, .version = version}, from, Limit()));
  return Ok({{"object", "drift.reset"}, {"model", model}, {"version", version}});
}

}  // namespace mezzo::api::platform
