#include "mezzo/api/platform/tenants_handler.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/page_limit.h"
#include "mezzo/api/platform/identity_json.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using net::Method;
using tenancy::Scope;

constexpr std::size_t kUsualPage = 100;

enum RouteId : int {
  kListTenants,
  kCreateTenant,
  kGetTenant,
  kChangeTenant,
  kListProjects,
  kCreateProject,
  kListUsers,
  kPutUser,
  kRemoveUser,
  kListKeys,
  kCreateKey,
  kRotateKey,
  kRevokeKey
};

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kMaxBody = ByteCount{16} << 10;
constexpr std::array<Route, 13> kRoutes = {
    Route{Method::kGet, "/v1/tenants", Scope::kAdmin, kIgnoredBody, kListTenants},
    Route{Method::kPost, "/v1/tenants", Scope::kAdmin, kMaxBody, kCreateTenant},
    Route{Method::kGet, "/v1/tenants/*", Scope::kRead, kIgnoredBody, kGetTenant},
    Route{Method::kPatch, "/v1/tenants/*", Scope::kAdmin, kMaxBody, kChangeTenant},
    Route{Method::kGet, "/v1/tenants/*/projects", Scope::kRead, kIgnoredBody, kListProjects},
    Route{Method::kPost, "/v1/tenants/*/projects", Scope::kManage, kMaxBody, kCreateProject},
    Route{Method::kGet, "/v1/tenants/*/users", Scope::kManage, kIgnoredBody, kListUsers},
    Route{Method::kPost, "/v1/tenants/*/users", Scope::kManage, kMaxBody, kPutUser},
    Route{Method::kDelete, "/v1/tenants/*/users", Scope::kManage, kIgnoredBody, kRemoveUser},
    Route{Method::kGet, "/v1/tenants/*/keys", Scope::kKeys, kIgnoredBody, kListKeys},
    Route{Method::kPost, "/v1/tenants/*/keys", Scope::kKeys, kMaxBody, kCreateKey},
    Route{Method::kPost, "/v1/tenants/*/keys/*/rotate", Scope::kKeys, kMaxBody, kRotateKey},
    Route{Method::kDelete, "/v1/tenants/*/keys/*", Scope::kKeys, kIgnoredBody, kRevokeKey}};

net::HttpResponse Ok(const Json& json, int status = 200) {
  return net::HttpResponse::Json(status, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}
constexpr int kCreated = 201;
net::HttpResponse Created(const Json& json) { return Ok(json, kCreated); }

template <typename Records>
Json ListJson(const Records& records) {
  Json data = Json::array();
  for (const auto& record : records) data.push_back(ToJson(record));
  return {{"object", "list"}, {"data", std::move(data)}};
}

/// A page, with where the next one begins.
template <typename Records>
Json PageJson(Records records, std::size_t limit) {
  const bool more = records.size() > limit;
  if (more) records.resize(limit);
  Json json = ListJson(records);
  json["has_more"] = more;
  json["last_id"] = records.empty() ? Json(nullptr) : Json(records.back().id.str());
  return json;
}

/// The path's tenant, if the caller may know of it.
Result<TenantId> TenantOf(const RoutedCall& call) {
  TenantId tenant{std::string(call.captures[0])};
  if (tenant == call.caller->tenant->id || call.caller->Has(Scope::kAdmin)) return tenant;
  return NotFound("tenant_unknown", "there is no tenant '" + Printable(tenant.str(), 64) + "'");
}

}  // namespace

std::span<const Route> TenantsHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> TenantsHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  const auto work = [this, &call]() -> Answer {
    Answer answer = Dispatch(call);
    if (answer.ok() && call.request->method() != Method::kGet && ports_.catch_up) ports_.catch_up();
    return answer;
  };
  Answer answer = co_await runtime::Offload(ports_.pool, work);
  co_return ResponseOf(std::move(answer));
}

TenantsHandler::Answer TenantsHandler::Dispatch(const RoutedCall& call) const {
  if (call.route == kListTenants) return ListTenants(call);
  if (call.route == kCreateTenant) return CreateTenant(call);
  MEZZO_TRY(const TenantId tenant, TenantOf(call));
  switch (call.route) {
    case kGetTenant: {
      MEZZO_TRY(const auto found, ports_.store.GetTenant(tenant, Limit()));
      return Ok(ToJson(found));
    }
    case kChangeTenant:
      return ChangeTenant(call, tenant);
    case kListProjects: {
      MEZZO_TRY(const auto found, ports_.store.ListProjects(tenant, Limit()));
      return Ok(ListJson(found));
    }
    case kCreateProject:
      return CreateProject(call, tenant);
    case kListUsers: {
      MEZZO_TRY(const auto found, ports_.store.ListUsers(tenant, Limit()));
      return Ok(ListJson(found));
    }
    case kPutUser:
      return PutUser(call, tenant);
    case kRemoveUser:
      return RemoveUser(call, tenant);
    case kListKeys:
      return ListKeys(call, tenant);
    case kCreateKey:
      return CreateKey(call, tenant);
    case kRotateKey:
      return RotateKey(call, tenant);
    default:
      return RevokeKey(call, tenant);
  }
}

TenantsHandler::Answer TenantsHandler::ListTenants(const RoutedCall& call) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page));
  const TenantId after{std::string(call.request->QueryValue("after").value_or(""))};
  MEZZO_TRY(auto tenants, ports_.store.ListTenants(after, limit + 1, Limit()));
  return Ok(PageJson(std::move(tenants), limit));
}

TenantsHandler::Answer TenantsHandler::CreateTenant(const RoutedCall& call) const {
  MEZZO_TRY(const TenantRequest request, ParseTenant(call.request->body().text(), {}, /*with_id=*/true));
  MEZZO_TRY(const auto made, ports_.store.CreateTenant(TenantId(request.id), request.settings, Limit()));
  return Created(ToJson(made));
}

TenantsHandler::Answer TenantsHandler::ChangeTenant(const RoutedCall& call, const TenantId& tenant) const {
  MEZZO_TRY(const tenancy::TenantRecord now, ports_.store.GetTenant(tenant, Limit()));
  MEZZO_TRY(const TenantRequest request,
            ParseTenant(call.request->body().text(), now.settings, /*with_id=*/false));
  if (tenant == call.caller->tenant->id && (request.settings.suspended || !request.settings.platform)) {
    return FailedPrecondition("tenant_own",
                              "an admin can't suspend the own tenant, or take its platform rights");
  }
  MEZZO_TRY(const auto changed, ports_.store.ChangeTenant(tenant, request.settings, Limit()));
  return Ok(ToJson(changed));
}

TenantsHandler::Answer TenantsHandler::CreateProject(const RoutedCall& call, const TenantId& tenant) const {
  MEZZO_TRY(const ProjectRequest request, ParseProject(call.request->body().text()));
  MEZZO_TRY(const auto made,
            ports_.store.CreateProject(tenant, ProjectId(request.id), request.name, Limit()));
  return Created(ToJson(made));
}

TenantsHandler::Answer TenantsHandler::PutUser(const RoutedCall& call, const TenantId& tenant) const {
  MEZZO_TRY(tenancy::UserRecord user, ParseUser(call.request->body().text()));
  MEZZO_TRY(const tenancy::TenantRecord of, ports_.store.GetTenant(tenant, Limit()));
  const tenancy::ScopeSet scopes = tenancy::ScopesOf(user.role, of.settings.platform);
  if (!call.caller->scopes.HasAll(scopes)) {
    return PermissionDenied("scope_not_yours", "the role '" + std::string(tenancy::RoleName(user.role)) +
                                                   "' may do what you may not");
  }
  user.tenant = tenant;
  MEZZO_TRY(const auto put, ports_.store.PutUser(std::move(user), Limit()));
  return Ok(ToJson(put));
}

TenantsHandler::Answer TenantsHandler::RemoveUser(const RoutedCall& call, const TenantId& tenant) const {
  const auto issuer = call.request->QueryValue("issuer");
  const auto subject = call.request->QueryValue("subject");
  if (!issuer || !subject) {
    return InvalidArgument("query_value", "query parameters 'issuer' and 'subject' say which user");
  }
  MEZZO_TRY_VOID(ports_.store.RemoveUser(tenant, std::string(*issuer), std::string(*subject), Limit()));
  return Ok({{"object", "user"}, {"subject", std::string(*subject)}, {"deleted", true}});
}

TenantsHandler::Answer TenantsHandler::ListKeys(const RoutedCall& call, const TenantId& tenant) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page));
  const KeyId after{std::string(call.request->QueryValue("after").value_or(""))};
  MEZZO_TRY(auto keys, ports_.store.ListKeys(tenant, after, limit + 1, Limit()));
  return Ok(PageJson(std::move(keys), limit));
}

TenantsHandler::Answer TenantsHandler::CreateKey(const RoutedCall& call, const TenantId& tenant) const {
  MEZZO_TRY(const tenancy::TenantRecord of, ports_.store.GetTenant(tenant, Limit()));
  MEZZO_TRY(tenancy::NewKey key,
            ParseKey(call.request->body().text(), of.settings.platform, ports_.clock.WallNow()));
  if (!call.caller->scopes.HasAll(key.scopes)) {
    return PermissionDenied("scope_not_yours", "a key can't have a scope that you have not");
  }
  if (!of.settings.platform && key.scopes.reaches_others()) {
    return InvalidArgument("scope_not_here",
                           "tenant '" + tenant.str() +
                               "' is no platform tenant: its keys can't have observe, operate "
                               "or admin");
  }
  key.tenant = tenant;
  key.created_by = NameOf(*call.caller);
  MEZZO_TRY(const auto issued, ports_.store.CreateKey(key, Limit()));
  return Created(ToJson(issued));
}

Result<KeyId> TenantsHandler::KeyOf(const RoutedCall& call, const TenantId& tenant) const {
  MEZZO_TRY(const tenancy::KeyRecord key,
            ports_.store.GetKey(tenant, KeyId(std::string(call.captures[1])), Limit()));
  if (call.caller->scopes.HasAll(key.facts.scopes)) return key.id;
  return PermissionDenied("scope_not_yours", "key '" + key.id.str() + "' has scopes that you have not");
}

TenantsHandler::Answer TenantsHandler::RotateKey(const RoutedCall& call, const TenantId& tenant) const {
  MEZZO_TRY(const KeyId key, KeyOf(call, tenant));
  MEZZO_TRY(const Duration overlap, ParseRotation(call.request->body().text()));
  MEZZO_TRY(const auto issued, ports_.store.RotateKey(tenant, key, overlap, NameOf(*call.caller), Limit()));
  return Created(ToJson(issued));
}

TenantsHandler::Answer TenantsHandler::RevokeKey(const RoutedCall& call, const TenantId& tenant) const {
  MEZZO_TRY(const KeyId key, KeyOf(call, tenant));
  MEZZO_TRY(const auto revoked, ports_.store.RevokeKey(tenant, key, Limit()));
  return Ok(ToJson(revoked));
}

}  // namespace mezzo::api::platform
