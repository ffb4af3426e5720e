#include "mezzo/api/platform/cache_handler.h"

#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/platform/members.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using net::Method;
using tenancy::Scope;

enum RouteId : int { kStatistics, kPurge };

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kMaxBody = 4096;
constexpr std::size_t kMaxName = 256;
constexpr std::array<Route, 2> kRoutes = {
    Route{Method::kGet, "/v1/cache", Scope::kObserve, kIgnoredBody, kStatistics},
    Route{Method::kPost, "/v1/cache/purge", Scope::kRead, kMaxBody, kPurge}};

Json ToJson(const cache::ResultCache::ModelStatistics& model) {
  return {{"model", model.model},
          {"epoch", model.epoch},
          {"hits", model.hits},
          {"stale", model.stale},
          {"negative", model.negative},
          {"misses", model.misses},
          {"shared", model.shared},
          {"joins", model.joins},
          {"bypasses", model.bypasses},
          {"refreshes", model.refreshes},
          {"fills", model.fills},
          {"outdated", model.outdated},
          {"entries", model.entries},
          {"bytes", model.bytes},
          {"saved_device_ms", std::chrono::duration<double, std::milli>(model.saved).count()}};
}

Json ToJson(const std::optional<cache::SharedTier::Statistics>& shared) {
  if (!shared.has_value()) return nullptr;
  return {{"healthy", shared->healthy},
          {"hits", shared->hits},
          {"joins", shared->joins},
          {"leads", shared->leads},
          {"alone", shared->alone},
          {"failures", shared->failures},
          {"late", shared->late},
          {"refused", shared->refused},
          {"corrupt", shared->corrupt},
          {"outdated", shared->outdated},
          {"stored", shared->stored},
          {"overtaken", shared->overtaken},
          {"dropped", shared->dropped},
          {"bytes_read", shared->bytes_read},
          {"bytes_written", shared->bytes_written},
          {"pending", shared->pending},
          {"leases", shared->leases},
          {"waiting", shared->waiting}};
}

Json ToJson(const cache::RecentItems::Statistics& recent) {
  Json kinds = Json::array();
  for (const auto& kind : recent.kinds) {
    kinds.push_back({{"kind", kind.kind},
                     {"hits", kind.hits},
                     {"misses", kind.misses},
                     {"entries", kind.entries},
                     {"bytes", kind.bytes}});
  }
  return {{"bytes", recent.bytes}, {"max_bytes", recent.max_bytes}, {"data", std::move(kinds)}};
}

net::HttpResponse Ok(const Json& json) {
  return net::HttpResponse::Json(200, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

std::span<const Route> CacheHandler::routes() const { return kRoutes; }

net::HttpResponse CacheHandler::Statistics() const {
  Json models = Json::array();
  for (const auto& model : ports_.results.statistics()) models.push_back(ToJson(model));
  const auto tier = ports_.tier.statistics();
  return Ok({{"object", "cache"},
             {"bytes", tier.bytes},
             {"max_bytes", tier.budget},
             {"entries", tier.entries},
             {"evicted", tier.evicted},
             {"rejected", tier.rejected},
             {"shared", ToJson(ports_.shared())},
             {"data", std::move(models)},
             {"recent", ToJson(ports_.recent.statistics())}});
}

Result<CacheHandler::Purge> CacheHandler::PurgeOf(const RoutedCall& call) {
  static constexpr std::array<std::string_view, 3> kMembers = {"model", "tenant", "all"};
  MEZZO_TRY(const Members members, Members::Parse(call.request->body().text(), kMembers));
  MEZZO_TRY(const auto model, members.Text("model", kMaxName));
  MEZZO_TRY(const auto tenant, members.Text("tenant", kMaxName));
  MEZZO_TRY(const auto all, members.Flag("all"));
  // Whoever operates models may purge anybody's answers; the tenant's own are its keepers'.
  const tenancy::Caller& caller = *call.caller;
  const bool own = tenant && *tenant == caller.tenant->id.str() && caller.Has(Scope::kKeys);
  if (!own && !caller.Has(Scope::kOperate) && !caller.Has(Scope::kAdmin)) {
    return PermissionDenied(
        "scope_missing", tenant ? "a tenant's own part of the cache is purged with a key of that tenant that "
                                  "allows 'keys', any other with one that allows 'operate'"
                                : "a key that allows 'operate' purges models; without it, 'tenant' must be "
                                  "the caller's own");
  }
  if (model.value_or("").empty() != all.value_or(false)) {
    return Members::Bad(model.value_or("").empty()
                            ? "'model' must be a model's name, or 'all' true, to purge all models"
                            : "'all' must not stand beside 'model'");
  }
  if (tenant && tenant->empty()) return Members::Bad("'tenant' must be a tenant's id");
  return Purge{.model = model.value_or(""), .tenant = tenant.value_or("")};
}

runtime::Task<net::HttpResponse> CacheHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  if (call.route == kStatistics) co_return Statistics();
  const auto what = PurgeOf(call);
  if (!what.ok()) co_return ProblemResponse(what.error());
  auto purge = [this, &what] { return ports_.purge(*what); };
  const Result<void> done = co_await runtime::Offload(ports_.pool, std::move(purge));
  if (!done.ok()) co_return ProblemResponse(done.error());
  Json answer = {{"object", "cache.purge"},
                 {"model", what->model.empty() ? Json(nullptr) : Json(what->model)}};
  if (!what->tenant.empty()) answer["tenant"] = what->tenant;
  co_return Ok(answer);
}

}  // namespace mezzo::api::platform
