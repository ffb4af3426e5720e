#include "mezzo/api/platform/releases_handler.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mezzo/api/page_limit.h"
#include "mezzo/api/platform/identity_json.h"
#include "mezzo/api/platform/members.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/tenancy/ledger/usage_report.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using net::Method;
using releases::Command;
using releases::Release;
using tenancy::Scope;

enum RouteId : int {
  kList,
  kCreate,
  kGet,
  kEvents,
  kEvidence,
  kWatch,
  kPause,
  kResume,
  kPromote,
  kRollBack,
  kCancel
};

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kMaxSpec = ByteCount{64} << 10;
constexpr std::size_t kUsualPage = 100;
constexpr std::array<Route, 11> kRoutes = {
    Route{Method::kGet, "/v1/releases", Scope::kObserve, kIgnoredBody, kList},
    Route{Method::kPost, "/v1/releases", Scope::kOperate, kMaxSpec, kCreate},
    Route{Method::kGet, "/v1/releases/*", Scope::kObserve, kIgnoredBody, kGet},
    Route{Method::kGet, "/v1/releases/*/events", Scope::kObserve, kIgnoredBody, kEvents},
    Route{Method::kGet, "/v1/releases/*/evidence", Scope::kObserve, kIgnoredBody, kEvidence},
    Route{Method::kGet, "/v1/releases/*/watch", Scope::kObserve, kIgnoredBody, kWatch},
    Route{Method::kPost, "/v1/releases/*/pause", Scope::kOperate, kIgnoredBody, kPause},
    Route{Method::kPost, "/v1/releases/*/resume", Scope::kOperate, kIgnoredBody, kResume},
    Route{Method::kPost, "/v1/releases/*/promote", Scope::kOperate, kIgnoredBody, kPromote},
    Route{Method::kPost, "/v1/releases/*/roll_back", Scope::kOperate, kIgnoredBody, kRollBack},
    Route{Method::kPost, "/v1/releases/*/cancel", Scope::kOperate, kIgnoredBody, kCancel}};

std::string TimeOf(WallTime time) {
  return tenancy::TimeText(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

Json ToJson(const Release& release) {
  Json split = nullptr;
  if (const auto wanted = releases::Wanted(release)) {
    split = Json::array();
    for (const auto& arm : wanted->arms) {
      split.push_back({{"name", arm.name}, {"version", arm.version}, {"weight", arm.weight}});
    }
  }
  return {{"id", release.id},
          {"object", "release"},
          {"model", release.spec.model},
          {"strategy", releases::StrategyName(release.spec.strategy)},
          {"state", releases::StateName(release.state)},
          {"reason", release.reason},
          {"step", release.step},
          {"since", TimeOf(release.state_since)},
          {"split", std::move(split)},
          {"route_pending", release.route_pending},
          {"winner", release.winner.empty() ? Json(nullptr) : Json(release.winner)},
          {"revision", release.revision},
          {"spec", Json::parse(release.spec.ToJson())}};
}

std::string Text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

net::HttpResponse Answered(int status, const Json& json) {
  return net::HttpResponse::Json(status, Text(json));
}

Json EvidenceJson(const releases::EvidenceRow& row) {
  return {{"at", TimeOf(row.at)}, {"step", row.step}, {"verdict", Json::parse(row.verdict, nullptr, false)}};
}

Command CommandOf(int route) {
  switch (route) {
    case kPause:
      return Command::kPause;
    case kResume:
      return Command::kResume;
    case kPromote:
      return Command::kPromote;
    case kRollBack:
      return Command::kRollBack;
    default:
      return Command::kCancel;
  }
}

}  // namespace

std::span<const Route> ReleasesHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> ReleasesHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  Answer answer = Answer(net::HttpResponse());
  if (call.route == kWatch) {
    const auto count = CountOf(*call.request);
    if (!count.ok()) co_return ProblemResponse(count.error());
    answer = co_await Watch(std::string(call.captures[0]), *count);
  } else {
    const auto work = [this, &call]() -> Answer { return Dispatch(call); };
    answer = co_await runtime::Offload(ports_.pool, work);
  }
  const ProblemStatuses statuses{.conflicts = true};
  co_return ResponseOf(std::move(answer), statuses);
}

ReleasesHandler::Answer ReleasesHandler::Dispatch(const RoutedCall& call) const {
  if (call.route == kList) return List(call);
  if (call.route == kCreate) return Create(call);
  const std::string id(call.captures[0]);
  if (call.route == kGet) return Get(id);
  if (call.route == kEvents) return Events(call, id);
  if (call.route == kEvidence) return Evidence(call, id);
  return Obey(call, id, CommandOf(call.route));
}

ReleasesHandler::Answer ReleasesHandler::List(const RoutedCall& call) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page - 1));
  const std::string model(call.request->QueryValue("model").value_or(""));
  const std::string before(call.request->QueryValue("before").value_or(""));
  MEZZO_TRY(auto found, ports_.store.List(model, before, limit + 1, Limit()));
  const bool more = found.size() > limit;
  if (more) found.resize(limit);
  Json data = Json::array();
  for (const Release& release : found) data.push_back(ToJson(release));
  return Answered(200, {{"object", "list"},
                        {"data", std::move(data)},
                        {"has_more", more},
                        {"last_id", found.empty() ? Json(nullptr) : Json(found.back().id)}});
}

Result<std::string> ReleasesHandler::WithStable(std::string_view text) const {
  Json declared = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool complete = !declared.is_object() || declared.contains("stable") || !declared.contains("model") ||
                        !declared["model"].is_string();
  if (complete) return std::string(text);  // What is wrong with it, FromJson() says.
  const auto model = declared["model"].get<std::string>();
  MEZZO_TRY(const releases::RouteRow row, ports_.routes.Read(model, Limit()));
  const Json route = Json::parse(row.text, nullptr, /*allow_exceptions=*/false);
  if (!route.is_object() || !route.contains("stable")) {
    return FailedPrecondition("release_stable_unknown",
                              "model '" + Printable(model, 64) +
                                  "' has no route that says which version serves now; name it as 'stable'");
  }
  declared["stable"] = route["stable"];
  // A release is of numbers: what an alias stands for now is what serves now.
  const auto named = route["stable"].is_string() ? route["stable"].get<std::string>() : std::string();
  if (named.starts_with('@') && ports_.alias != nullptr) {
    if (const auto version = ports_.alias(model, named.substr(1))) {
      declared["stable"] = std::to_string(*version);
    }
  }
  return declared.dump();
}

ReleasesHandler::Answer ReleasesHandler::Create(const RoutedCall& call) const {
  MEZZO_TRY(const std::string declared, WithStable(call.request->body().text()));
  MEZZO_TRY(releases::ReleaseSpec spec, releases::ReleaseSpec::FromJson(declared));
  MEZZO_TRY_VOID(spec.Check());
  if (ports_.check_version != nullptr) {
    std::vector<std::string> versions = {spec.stable, spec.candidate};
    for (const releases::ExperimentArm& arm : spec.arms) versions.push_back(arm.version);
    for (const std::string& version : versions) {
      MEZZO_TRY_VOID(ports_.check_version(spec.model, version, Limit()));
    }
  }
  MEZZO_TRY(const Release release,
            releases::BeginRelease(ports_.store, std::move(spec), NewUuidV7(ports_.clock.WallNow()),
                                   NameOf(*call.caller), ports_.clock, Limit()));
  return Answered(201, ToJson(release));
}

ReleasesHandler::Answer ReleasesHandler::Get(const std::string& id) const {
  MEZZO_TRY(Standing standing, Stand(id, /*known=*/0));
  return net::HttpResponse::Json(200, std::move(standing.json));
}

Result<ReleasesHandler::Standing> ReleasesHandler::Stand(const std::string& id, std::int64_t known) const {
  if (known != 0) {  // Evidence is kept with a new revision of the row.
    MEZZO_TRY(const std::int64_t revision, ports_.store.RevisionOf(id, Limit()));
    if (revision == known) return Standing{.revision = revision, .ended = false, .json = {}};
  }
  MEZZO_TRY(const releases::KeptRelease kept, ports_.store.Load(id, Limit()));
  Standing standing{
      .revision = kept.release.revision, .ended = releases::IsEnded(kept.release.state), .json = {}};
  MEZZO_TRY(const auto evidence, ports_.store.Evidence(id, 1, Limit()));
  Json json = ToJson(kept.release);
  json["latest"] = evidence.empty() ? Json(nullptr) : EvidenceJson(evidence.back());
  standing.json = Text(json);
  return standing;
}

Result<ReleasesHandler::Place> ReleasesHandler::Enter() const {
  if (watchers_->fetch_add(1) >= options_.max_watchers) {
    watchers_->fetch_sub(1);
    return Unavailable("releases_busy", "this host shows releases to " +
                                            std::to_string(options_.max_watchers) +
                                            " watchers already, which is the limit");
  }
  return Place(nullptr, [count = watchers_](void* /*nothing*/) { count->fetch_sub(1); });
}

Result<std::uint64_t> ReleasesHandler::CountOf(const net::HttpRequest& request) const {
  const auto text = request.QueryValue("count");
  if (!text) return std::numeric_limits<std::uint64_t>::max();
  const auto asked = ParseUint(*text);
  if (asked && *asked >= 1 && *asked <= options_.max_count) return *asked;
  return InvalidArgument("query_value", "query parameter 'count' must be in [1, " +
                                            std::to_string(options_.max_count) + "], got '" +
                                            Printable(*text, 64) + "'");
}

runtime::Task<ReleasesHandler::Answer> ReleasesHandler::Watch(std::string id, std::uint64_t count) const {
  MEZZO_CO_TRY(Place place, Enter());
  const auto look = [this, &id] { return Stand(id, /*known=*/0); };
  MEZZO_CO_TRY_VOID(co_await runtime::Offload(ports_.pool, look));
  net::HttpResponse response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Accel-Buffering", "no");
  response.stream = [this, id = std::move(id), count, place = std::move(place)](runtime::Context ctx,
                                                                                net::BodyWriter* out) {
    return Stream(std::move(ctx), out, id, count, place);
  };
  co_return response;
}

runtime::Task<Result<void>> ReleasesHandler::Stream(runtime::Context ctx, net::BodyWriter* out,
                                                    std::string id, std::uint64_t count,
                                                    Place /*place*/) const {
  const TimePoint end = AddSaturating(ports_.clock.Now(), options_.longest_watch);
  TimePoint written = ports_.clock.Now();
  std::int64_t known = 0;
  while (!(ending_ && ending_()) && ports_.clock.Now() < end) {
    const auto look = [this, &id, known] { return Stand(id, known); };
    const auto standing = co_await runtime::Offload(ports_.pool, look);
    // A database that is away for a moment is no reason to end: what is known stays as it is.
    if (!standing.ok() && standing.error().code() == Code::kNotFound) co_return Result<void>();
    std::string text;
    if (standing.ok() && standing->revision != known) {
      known = standing->revision;
      text = "id: " + std::to_string(known) + "\nevent: release\ndata: " + standing->json + "\n\n";
      --count;
    } else if (ports_.clock.Now() - written >= options_.heartbeat) {
      text = ": nothing new\n\n";
    }
    if (!text.empty()) {
      written = ports_.clock.Now();
      MEZZO_CO_TRY_VOID(co_await out->WriteText(std::move(text)));
    }
    if (count == 0 || (standing.ok() && standing->ended)) co_return Result<void>();
    MEZZO_CO_TRY_VOID(co_await runtime::SleepUntil(ctx, AddSaturating(ports_.clock.Now(), options_.look)));
  }
  co_return Result<void>();
}

ReleasesHandler::Answer ReleasesHandler::Events(const RoutedCall& call, const std::string& id) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page));
  MEZZO_TRY_VOID(ports_.store.Load(id, Limit()));
  MEZZO_TRY(const auto events, ports_.store.Events(id, limit, Limit()));
  Json data = Json::array();
  for (const auto& event : events) {
    data.push_back(
        {{"at", TimeOf(event.at)}, {"kind", event.kind}, {"who", event.who}, {"text", event.text}});
  }
  return Answered(200, {{"object", "list"}, {"data", std::move(data)}});
}

ReleasesHandler::Answer ReleasesHandler::Evidence(const RoutedCall& call, const std::string& id) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page));
  MEZZO_TRY_VOID(ports_.store.Load(id, Limit()));
  MEZZO_TRY(const auto rows, ports_.store.Evidence(id, limit, Limit()));
  Json data = Json::array();
  for (const auto& row : rows) data.push_back(EvidenceJson(row));
  return Answered(200, {{"object", "list"}, {"data", std::move(data)}});
}

ReleasesHandler::Answer ReleasesHandler::Obey(const RoutedCall& call, const std::string& id,
                                              Command command) const {
  constexpr std::array<std::string_view, 1> kMembers = {"arm"};
  constexpr std::size_t kMaxArm = 32;
  MEZZO_TRY(const Members members, Members::Parse(call.request->body().text(), kMembers));
  MEZZO_TRY(const auto arm, members.Text("arm", kMaxArm));
  MEZZO_TRY(const Release release,
            releases::CommandRelease(ports_.store, ports_.routes, id, command, arm.value_or(""),
                                     NameOf(*call.caller), ports_.clock, Limit()));
  return Answered(200, ToJson(release));
}

}  // namespace mezzo::api::platform
