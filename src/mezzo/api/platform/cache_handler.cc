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
    Route{Method::kPost, "/v1/cache/purge", Scope::kOperate, kMaxBody, kPurge}};

Json ToJson(const cache::ResultCache::ModelStatistics& model) {
  return {{"model", model.model},
          {"epoch", model.epoch},
          {"hits", model.hits},
          {"stale", model.stale},
          {"negative", model.negative},
          {"misses", model.misses},
          {"joins", model.joins},
          {"bypasses", model.bypasses},
          {"refreshes", model.refreshes},
          {"fills", model.fills},
          {"outdated", model.outdated},
          {"entries", model.entries},
          {"bytes", model.bytes},
          {"saved_device_ms", std::chrono::duration<double, std::milli>(model.saved).count()}};
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
             {"data", std::move(models)},
             {"recent", ToJson(ports_.recent.statistics())}});
}

runtime::Task<net::HttpResponse> CacheHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  if (call.route == kStatistics) co_return Statistics();
  static constexpr std::array<std::string_view, 1> kMembers = {"model"};
  const auto members = Members::Parse(call.request->body().text(), kMembers);
  if (!members.ok()) co_return ProblemResponse(members.error());
  const auto model = members->Text("model", kMaxName);
  if (!model.ok()) co_return ProblemResponse(model.error());
  const std::string name = model->value_or("");
  if (*model && name.empty()) {
    co_return ProblemResponse(Members::Bad("'model' must be a model's name; leave it out to purge all"));
  }
  auto purge = [this, &name] { return ports_.purge(name); };
  const Result<void> done = co_await runtime::Offload(ports_.pool, std::move(purge));
  if (!done.ok()) co_return ProblemResponse(done.error());
  co_return Ok({{"object", "cache.purge"}, {"model", name.empty() ? Json(nullptr) : Json(name)}});
}

}  // namespace mezzo::api::platform
