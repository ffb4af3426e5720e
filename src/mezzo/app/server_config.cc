#include "mezzo/app/server_config.h"

#include <algorithm>
#include <set>

#include "mezzo/base/strings.h"
#include "mezzo/jobs/job.h"
#include "mezzo/jobs/webhook_signer.h"

namespace mezzo::app {
namespace {

Error Invalid(const std::string& tenant, const std::string& what) {
  return InvalidArgument("config_invalid_value", "tenant '" + tenant + "': " + what);
}

Result<std::size_t> ParseClass(const std::string& tenant, const std::string& name) {
  for (std::size_t i = 0; i < sched::kClassCount; ++i) {
    if (sched::ClassName(static_cast<sched::Class>(i)) == name) return i;
  }
  return Invalid(tenant, "class must be interactive, standard or bulk, not '" + Printable(name) + "'");
}

bool IsLoopback(std::string_view address) {
  return address == "localhost" || address == "::1" || address == "[::1]" || address.starts_with("127.");
}

tenancy::Directory::Contents Anonymous(bool from_anywhere) {
  tenancy::Tenant tenant;
  tenant.id = TenantId("anonymous");
  tenant.platform = true;
  tenancy::Directory::Contents contents;
  contents.tenants = {std::make_shared<const tenancy::Tenant>(std::move(tenant))};
  contents.anonymous = std::make_shared<const tenancy::Caller>(
      tenancy::Caller{.tenant = contents.tenants[0], .scopes = {tenancy::Scope::kAdmin}});
  contents.anonymous_from_anywhere = from_anywhere;
  return contents;
}

/// A tenant as declared, without its keys.
Result<tenancy::Caller> CallerOf(const TenantConfig& entry, std::size_t index) {
  tenancy::Tenant tenant;
  tenant.id = TenantId(entry.id);
  tenant.index = static_cast<std::uint32_t>(index);
  tenant.weight = entry.weight;
  tenant.classes = {false, false, false};
  for (const auto& name : entry.classes) {
    MEZZO_TRY(const std::size_t cls, ParseClass(entry.id, name));
    tenant.classes.at(cls) = true;
  }
  tenant.tiers = {false, false, false};
  for (const auto& name : entry.tiers) {
    const auto tier = jobs::ParseTier(name);
    if (!tier.ok()) return Invalid(entry.id, tier.error().message());
    tenant.tiers.at(static_cast<std::size_t>(*tier) - 1) = true;
  }
  tenancy::Caller caller;
  caller.scopes = {};
  for (const auto& name : entry.scopes) {
    const auto scope = tenancy::ParseScope(name);
    if (!scope.ok()) return Invalid(entry.id, scope.error().message());
    caller.scopes.Add(*scope);
  }
  tenant.platform = caller.scopes.reaches_others();
  if (tenant.platform) tenant.tiers = {true, true, true};
  caller.tenant = std::make_shared<const tenancy::Tenant>(std::move(tenant));
  return caller;
}

}  // namespace

Result<tenancy::Directory::Contents> CallersOf(const ServerConfig& config) {
  if (config.tenants.empty() && (config.oidc.empty() || config.insecure)) return Anonymous(config.insecure);
  tenancy::Directory::Contents contents;
  std::set<std::string> ids;
  std::set<Sha256Digest> digests;
  for (const TenantConfig& entry : config.tenants) {
    if (!ids.insert(entry.id).second) return Invalid(entry.id, "is declared twice");
    MEZZO_TRY(const tenancy::Caller declared, CallerOf(entry, contents.tenants.size()));
    contents.tenants.push_back(declared.tenant);
    for (const auto& text : entry.key_sha256) {
      const auto digest = ParseSha256(text);
      if (!digest) return Invalid(entry.id, "key_sha256 must be 64 lower-case hex digits");
      if (!digests.insert(*digest).second) return Invalid(entry.id, "key_sha256 is used by two tenants");
      tenancy::Caller caller = declared;
      caller.key_index = static_cast<std::uint32_t>(contents.keys.size() + 1);
      caller.key = KeyId(entry.id + "-" + text.substr(0, 8));
      contents.keys.push_back({.digest = *digest,
                               .caller = std::make_shared<const tenancy::Caller>(std::move(caller)),
                               .expires = {}});
    }
  }
  if (contents.keys.empty() && config.oidc.empty()) {
    return InvalidArgument("config_invalid_value", "tenants are declared, but none of them has a key_sha256");
  }
  return contents;
}

Result<std::vector<tenancy::Limit>> LimitsOf(const ServerConfig& config) {
  const auto read = [](const LimitConfig& entry) -> Result<tenancy::Limit> {
    std::string per;
    for (const std::string& word : entry.per) per += (per.empty() ? "" : ",") + word;
    tenancy::Limit limit{.name = entry.name,
                         .tenant = TenantId(entry.tenant),
                         .project = ProjectId(entry.project),
                         .key = KeyId(entry.key),
                         .model = ModelName(entry.model),
                         .rate = entry.rate,
                         .burst = entry.burst,
                         .amount = entry.amount};
    MEZZO_TRY(limit.per, tenancy::ParseLimitPer(per));
    MEZZO_TRY(limit.kind, tenancy::ParseLimitKind(entry.kind));
    return tenancy::CheckLimit(std::move(limit));
  };
  std::vector<tenancy::Limit> limits;
  std::set<std::string> names;
  for (const LimitConfig& entry : config.limits) {
    auto limit = read(entry);
    if (!limit.ok()) return InvalidArgument("config_invalid_value", "limits: " + limit.error().message());
    if (!names.insert(entry.name).second) {
      return InvalidArgument("config_invalid_value", "limits: '" + entry.name + "' is declared twice");
    }
    limits.push_back(*std::move(limit));
  }
  return limits;
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

bool ListensOnLoopbackOnly(const ServerConfig& config) {
  return (!config.http.enabled || IsLoopback(config.http.address)) &&
         (!config.grpc.enabled || IsLoopback(config.grpc.address));
}

Result<void> CheckExposure(const ServerConfig& config) {
  const bool has_keys = std::any_of(config.tenants.begin(), config.tenants.end(),
                                    [](const TenantConfig& tenant) { return !tenant.key_sha256.empty(); });
  // With a database there is always a key: the first start makes one.
  if (has_keys || !config.oidc.empty() || config.insecure || config.jobs.enabled) return {};
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
