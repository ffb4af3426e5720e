#include "mezzo/tenancy/directory.h"

#include <algorithm>

#include "mezzo/base/strings.h"

namespace mezzo::tenancy {
namespace {

constexpr std::string_view kBearer = "bearer ";
constexpr std::size_t kMaxCredential = 512;

}  // namespace

Directory::Directory(std::vector<TenantRef> tenants, std::vector<KeyEntry> keys, bool insecure)
    : tenants_(std::move(tenants)), insecure_(insecure) {
  MEZZO_CHECK(!tenants_.empty());
  for (auto& key : keys) keys_.emplace(std::move(key.sha256), std::move(key.tenant));
}

Result<TenantRef> Directory::Authenticate(std::string_view credential, bool from_loopback) const {
  if (keys_.empty()) {
    if (from_loopback || insecure_) return tenants_.front();
    return Unauthenticated("key_missing", "callers from other hosts need an API key, and none is configured");
  }
  if (credential.size() >= kBearer.size() &&
      EqualsIgnoreCase(credential.substr(0, kBearer.size()), kBearer)) {
    credential.remove_prefix(kBearer.size());
  }
  credential = Trim(credential);
  if (credential.empty()) {
    return Unauthenticated("key_missing", "an API key is needed: send 'Authorization: Bearer <key>'");
  }
  if (credential.size() > kMaxCredential) return Unauthenticated("key_unknown", "the API key is not known");
  const auto found = keys_.find(Sha256Hex(credential));
  if (found == keys_.end()) return Unauthenticated("key_unknown", "the API key is not known");
  return found->second;
}

Result<TenantRef> Directory::Find(const TenantId& id) const {
  const auto found = std::find_if(tenants_.begin(), tenants_.end(),
                                  [&id](const TenantRef& tenant) { return tenant->id == id; });
  if (found != tenants_.end()) return *found;
  return FailedPrecondition("tenant_unknown", "tenant '" + id.str() + "' does not exist any more");
}

Result<TenantRef> Admit(const Directory& directory, std::string_view credential, bool from_loopback,
                        Scope scope) {
  MEZZO_TRY(TenantRef tenant, directory.Authenticate(credential, from_loopback));
  MEZZO_TRY_VOID(Demand(*tenant, scope));
  return tenant;
}

Result<void> Demand(const Tenant& tenant, Scope scope) {
  if (tenant.Has(scope)) return {};
  return PermissionDenied("scope_missing", "the API key of tenant '" + tenant.id.str() + "' has no scope '" +
                                               std::string(ScopeName(scope)) + "'");
}

std::string_view ScopeName(Scope scope) {
  switch (scope) {
    case Scope::kInfer:
      return "infer";
    case Scope::kObserve:
      return "observe";
    case Scope::kAdmin:
      return "admin";
  }
  return "infer";
}

}  // namespace mezzo::tenancy
