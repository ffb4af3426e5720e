#include "mezzo/app/server_config.h"

#include <algorithm>
#include <set>

#include "mezzo/base/strings.h"
#include "mezzo/jobs/webhook_signer.h"

namespace mezzo::app {
namespace {

Error Invalid(const std::string& tenant, const std::string& what) {
  return InvalidArgument("config_invalid_value", "tenant '" + tenant + "': " + what);
}

Result<tenancy::Scope> ParseScope(const std::string& tenant, const std::string& name) {
  for (const auto scope : {tenancy::Scope::kInfer, tenancy::Scope::kObserve, tenancy::Scope::kAdmin}) {
    if (tenancy::ScopeName(scope) == name) return scope;
  }
  return Invalid(tenant, "scope must be infer, observe or admin, not '" + Printable(name) + "'");
}

Result<std::size_t> ParseClass(const std::string& tenant, const std::string& name) {
  for (std::size_t i = 0; i < sched::kClassCount; ++i) {
    if (sched::ClassName(static_cast<sched::Class>(i)) == name) return i;
  }
  return Invalid(tenant, "class must be interactive, standard or bulk, not '" + Printable(name) + "'");
}

bool IsDigest(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool IsLoopback(std::string_view address) {
  return address == "localhost" || address == "::1" || address == "[::1]" || address.starts_with("127.");
}

tenancy::TenantRef Anonymous() {
  tenancy::Tenant tenant;
  tenant.id = TenantId("anonymous");
  tenant.scopes = {tenancy::Scope::kAdmin};
  return std::make_shared<const tenancy::Tenant>(std::move(tenant));
}

}  // namespace

Result<tenancy::Directory> MakeDirectory(const ServerConfig& config) {
  std::vector<tenancy::TenantRef> tenants;
  std::vector<tenancy::Directory::KeyEntry> keys;
  std::set<std::string> ids;
  std::set<std::string> digests;
  for (const TenantConfig& entry : config.tenants) {
    if (!ids.insert(entry.id).second) return Invalid(entry.id, "is declared twice");
    tenancy::Tenant tenant;
    tenant.id = TenantId(entry.id);
    tenant.index = static_cast<std::uint32_t>(tenants.size());
    tenant.weight = entry.weight;
    tenant.classes = {false, false, false};
    for (const auto& name : entry.classes) {
      MEZZO_TRY(const std::size_t cls, ParseClass(entry.id, name));
      tenant.classes.at(cls) = true;
    }
    tenant.scopes.clear();
    for (const auto& name : entry.scopes) {
      MEZZO_TRY(const tenancy::Scope scope, ParseScope(entry.id, name));
      tenant.scopes.push_back(scope);
    }
    tenants.push_back(std::make_shared<const tenancy::Tenant>(std::move(tenant)));
    for (const auto& digest : entry.key_sha256) {
      if (!IsDigest(digest)) return Invalid(entry.id, "key_sha256 must be 64 lower-case hex digits");
      if (!digests.insert(digest).second) return Invalid(entry.id, "key_sha256 is used by two tenants");
      keys.push_back({.sha256 = digest, .tenant = tenants.back()});
    }
  }
  if (!tenants.empty() && keys.empty()) {
    return InvalidArgument("config_invalid_value", "tenants are declared, but none of them has a key_sha256");
  }
  if (tenants.empty()) tenants.push_back(Anonymous());
  return tenancy::Directory(std::move(tenants), std::move(keys), config.insecure);
}

Result<WebhookSecrets> MakeWebhookSecrets(const ServerConfig& config) {
  WebhookSecrets all;
  for (const TenantConfig& tenant : config.tenants) {
    if (tenant.webhook_secrets.empty()) continue;
    std::vector<std::string>& secrets = all[TenantId(tenant.id)];
    for (const config::Secret& secret : tenant.webhook_secrets) secrets.push_back(secret.Reveal());
    if (const auto signer = jobs::WebhookSigner::Create(secrets); !signer.ok()) {
      return Invalid(tenant.id, "webhook_secrets: " + signer.error().message());
    }
  }
  return all;
}

Result<void> CheckExposure(const ServerConfig& config) {
  const bool has_keys = std::any_of(config.tenants.begin(), config.tenants.end(),
                                    [](const TenantConfig& tenant) { return !tenant.key_sha256.empty(); });
  if (has_keys || config.insecure) return {};
  const auto check = [](std::string_view key, bool enabled, const std::string& address) -> Result<void> {
    if (!enabled || IsLoopback(address)) return {};
    return FailedPrecondition("insecure_listener",
                              std::string(key) + " is " + address +
                                  ", which other hosts can reach: declare tenants with keys, "
                                  "or say --insecure");
  };
  MEZZO_TRY_VOID(check("http.address", config.http.enabled, config.http.address));
  return check("grpc.address", config.grpc.enabled, config.grpc.address);
}

}  // namespace mezzo::app
