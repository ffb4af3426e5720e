#include "mezzo/api/platform/limits_handler.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "mezzo/api/page_limit.h"
#include "mezzo/api/platform/limit_json.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using net::Method;
using tenancy::Scope;

enum RouteId : int { kList, kGet, kPut, kDelete };

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kMaxBody = ByteCount{16} << 10;
constexpr std::array<Route, 4> kRoutes = {
    Route{Method::kGet, "/v1/limits", Scope::kAdmin, kIgnoredBody, kList},
    Route{Method::kGet, "/v1/limits/*", Scope::kAdmin, kIgnoredBody, kGet},
    Route{Method::kPut, "/v1/limits/*", Scope::kAdmin, kMaxBody, kPut},
    Route{Method::kDelete, "/v1/limits/*", Scope::kAdmin, kIgnoredBody, kDelete}};

net::HttpResponse Ok(const Json& json) {
  return net::HttpResponse::Json(200, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

std::span<const Route> LimitsHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> LimitsHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  const auto work = [this, &call]() -> Answer {
    Answer answer = Dispatch(call);
    if (answer.ok() && call.request->method() != Method::kGet && ports_.catch_up) ports_.catch_up();
    return answer;
  };
  Answer answer = co_await runtime::Offload(ports_.pool, work);
  co_return ResponseOf(std::move(answer));
}

const tenancy::Limit* LimitsHandler::Declared(const std::string& name) const {
  const auto at =
      std::find_if(declared_.begin(), declared_.end(), [&](const auto& limit) { return limit.name == name; });
  return at == declared_.end() ? nullptr : &*at;
}

LimitsHandler::Answer LimitsHandler::Dispatch(const RoutedCall& call) const {
  if (call.route == kList) return List(call);
  const std::string name(call.captures[0]);
  const tenancy::Limit* declared = Declared(name);
  if (call.route == kGet) {
    if (declared != nullptr) return Ok(ToJson(*declared, /*declared=*/true));
    MEZZO_TRY(const tenancy::Limit found, ports_.store.Get(name, Limit()));
    return Ok(ToJson(found, /*declared=*/false));
  }
  if (declared != nullptr) {
    return FailedPrecondition("limit_declared",
                              "limit '" + name + "' stands in the configuration: change it there");
  }
  if (call.route == kPut) return Put(call, name);
  MEZZO_TRY_VOID(ports_.store.Remove(name, Limit()));
  return Ok({{"name", name}, {"object", "limit"}, {"deleted", true}});
}

LimitsHandler::Answer LimitsHandler::List(const RoutedCall& call) const {
  constexpr std::size_t kUsual = 100;
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsual, options_.max_page));
  const std::string after(call.request->QueryValue("after").value_or(""));
  MEZZO_TRY(auto limits, ports_.store.List(after, limit + 1, Limit()));
  const bool more = limits.size() > limit;
  if (more) limits.resize(limit);
  Json data = Json::array();
  if (after.empty()) {
    for (const auto& one : declared_) data.push_back(ToJson(one, /*declared=*/true));
  }
  for (const auto& one : limits) {
    if (Declared(one.name) == nullptr) data.push_back(ToJson(one, /*declared=*/false));
  }
  return Ok({{"object", "list"},
             {"data", std::move(data)},
             {"has_more", more},
             {"last_id", limits.empty() ? Json(nullptr) : Json(limits.back().name)}});
}

LimitsHandler::Answer LimitsHandler::Put(const RoutedCall& call, const std::string& name) const {
  MEZZO_TRY(const tenancy::Limit limit, ParseLimit(call.request->body().text(), name));
  MEZZO_TRY(const tenancy::Limit put, ports_.store.Put(limit, Limit()));
  return Ok(ToJson(put, /*declared=*/false));
}

}  // namespace mezzo::api::platform
