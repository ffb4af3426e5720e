#include "mezzo/api/platform/routes_handler.h"

#include <array>
#include <limits>

#include <nlohmann/json.hpp>

#include "mezzo/api/page_limit.h"
#include "mezzo/api/platform/identity_json.h"
#include "mezzo/api/platform/if_match.h"
#include "mezzo/api/platform/members.h"
#include "mezzo/base/strings.h"
#include "mezzo/tenancy/ledger/usage_report.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using net::Method;
using releases::RouteRevision;
using tenancy::Scope;

enum RouteId : int { kList, kGet, kPut, kHistory, kRollback };

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kSmallBody = 4096;
constexpr std::size_t kMaxWhy = 500;
constexpr std::array<Route, 5> kRoutes = {
    Route{Method::kGet, "/v1/routes", Scope::kObserve, kIgnoredBody, kList},
    Route{Method::kGet, "/v1/routes/*", Scope::kObserve, kIgnoredBody, kGet},
    Route{Method::kPut, "/v1/routes/*", Scope::kOperate, releases::kMaxRouteText, kPut},
    Route{Method::kGet, "/v1/routes/*/history", Scope::kObserve, kIgnoredBody, kHistory},
    Route{Method::kPost, "/v1/routes/*/rollback", Scope::kOperate, kSmallBody, kRollback}};

Json ToJson(const RouteRevision& one) {
  return {{"model", one.model},
          {"object", "route"},
          {"revision", one.revision},
          {"route", Json::parse(releases::RouteText(one.route), nullptr, /*allow_exceptions=*/false)},
          {"changed_by", one.who},
          {"why", one.why},
          {"changed_at", tenancy::TimeText(one.at_us)}};
}

std::string_view BreakerName(const releases::LiveArm& arm) {
  switch (arm.state()) {
    case runtime::Breaker::State::kOpen:
      return "open";
    case runtime::Breaker::State::kHalfOpen:
      return "half_open";
    case runtime::Breaker::State::kClosed:
      break;
  }
  return "closed";
}

/// What this host does with the model's calls; null while it knows of no route.
Json HostJson(const releases::LiveRouteRef& live) {
  if (live == nullptr) return nullptr;
  Json arms = Json::array();
  const auto& targets = live->table().targets();
  for (std::size_t i = 0; i < targets.size(); ++i) {
    arms.push_back({{"name", targets[i].arm},
                    {"version", targets[i].version.empty() ? targets[i].named : targets[i].version},
                    {"found", targets[i].resolved},
                    {"breaker", BreakerName(live->arm(i))},
                    {"times_opened", live->arm(i).times_opened()}});
  }
  return {{"revision", live->revision()}, {"arms", std::move(arms)}};
}

net::HttpResponse Ok(const Json& json) {
  return net::HttpResponse::Json(200, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

net::HttpResponse Tagged(Json json, std::int64_t revision) {
  net::HttpResponse response = Ok(json);
  TagRevision(revision, &response);
  return response;
}

Result<releases::RouteChange> ChangeOf(const RoutedCall& call, std::string why) {
  releases::RouteChange change{.who = NameOf(*call.caller), .why = std::move(why)};
  MEZZO_TRY(change.expected, MatchedRevision(*call.request));
  return change;
}

}  // namespace

std::span<const Route> RoutesHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> RoutesHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  const auto work = [this, &call]() -> Answer { return Dispatch(call); };
  Answer answer = co_await runtime::Offload(ports_.pool, work);
  const ProblemStatuses statuses{.stale = "route_revision"};
  co_return ResponseOf(std::move(answer), statuses);
}

RoutesHandler::Answer RoutesHandler::Dispatch(const RoutedCall& call) const {
  if (call.route == kList) return List(call);
  const std::string model(call.captures[0]);
  MEZZO_TRY_VOID(releases::CheckRoutedModel(model));
  switch (call.route) {
    case kPut:
      return Put(call, model);
    case kHistory:
      return History(call, model);
    case kRollback:
      return Rollback(call, model);
    default:
      break;
  }
  MEZZO_TRY(const RouteRevision found, ports_.store.Get(model, Limit()));
  Json json = ToJson(found);
  json["host"] = HostJson(ports_.router.Find(model));
  return Tagged(std::move(json), found.revision);
}

RoutesHandler::Answer RoutesHandler::List(const RoutedCall& call) const {
  constexpr std::size_t kUsual = 100;
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsual, options_.max_page));
  const std::string after(call.request->QueryValue("after").value_or(""));
  MEZZO_TRY(auto found, ports_.store.List(after, limit + 1, Limit()));
  const bool more = found.size() > limit;
  if (more) found.resize(limit);
  Json data = Json::array();
  for (const auto& one : found) data.push_back(ToJson(one));
  return Ok({{"object", "list"},
             {"data", std::move(data)},
             {"has_more", more},
             {"last_id", found.empty() ? Json(nullptr) : Json(found.back().model)}});
}

RoutesHandler::Answer RoutesHandler::History(const RoutedCall& call, const std::string& model) const {
  constexpr std::size_t kUsual = 100;
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsual, options_.max_page));
  std::int64_t before = 0;
  if (const auto text = call.request->QueryValue("before")) {
    const auto number = ParseUint(*text);
    if (!number || *number == 0 ||
        *number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return InvalidArgument("request_member", "'before' must be a revision, a whole number above 0");
    }
    before = static_cast<std::int64_t>(*number);
  }
  MEZZO_TRY(auto found, ports_.store.History(model, before, limit + 1, Limit()));
  const bool more = found.size() > limit;
  if (more) found.resize(limit);
  Json data = Json::array();
  for (const auto& one : found) data.push_back(ToJson(one));
  return Ok({{"object", "list"},
             {"data", std::move(data)},
             {"has_more", more},
             {"last_id", found.empty() ? Json(nullptr) : Json(found.back().revision)}});
}

RoutesHandler::Answer RoutesHandler::Put(const RoutedCall& call, const std::string& model) const {
  MEZZO_TRY(const releases::Route route, releases::ParseRoute(call.request->body().text()));
  MEZZO_TRY(const auto change, ChangeOf(call, std::string(call.request->QueryValue("why").value_or(""))));
  MEZZO_TRY(const RouteRevision put, ports_.store.Put(model, route, change, Limit()));
  return Changed(put);
}

RoutesHandler::Answer RoutesHandler::Rollback(const RoutedCall& call, const std::string& model) const {
  static constexpr std::array<std::string_view, 2> kMembers = {"revision", "why"};
  constexpr double kMost = 9e15;
  MEZZO_TRY(const Members members, Members::Parse(call.request->body().text(), kMembers));
  MEZZO_TRY(auto why, members.Text("why", kMaxWhy));
  MEZZO_TRY(const auto number, members.Number("revision", 0, kMost));
  std::optional<std::int64_t> to;
  if (number) to = static_cast<std::int64_t>(*number);
  if (number && static_cast<double>(*to) != *number) return Members::Bad("'revision' must be a whole number");
  MEZZO_TRY(const auto change, ChangeOf(call, std::move(why).value_or("")));
  MEZZO_TRY(const RouteRevision made, ports_.store.Rollback(model, to, change, Limit()));
  return Changed(made);
}

RoutesHandler::Answer RoutesHandler::Changed(const RouteRevision& made) const {
  ports_.log.Info("a route was changed", {{"model", made.model},
                                          {"revision", made.revision},
                                          {"by", made.who},
                                          {"why", Printable(made.why, 200)},
                                          {"route", releases::RouteText(made.route)}});
  if (ports_.catch_up) ports_.catch_up();
  return Tagged(ToJson(made), made.revision);
}

}  // namespace mezzo::api::platform
