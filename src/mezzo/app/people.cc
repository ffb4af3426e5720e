#include "mezzo/app/people.h"

#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/strings.h"
#include "mezzo/tenancy/identity.h"
#include "mezzo/tenancy/role.h"

namespace mezzo::app {
namespace {

using tenancy::OidcProvider;

Error Invalid(const std::string& issuer, const std::string& what) {
  return InvalidArgument("config_invalid_value", "oidc issuer '" + Printable(issuer) + "': " + what);
}

Result<OidcProvider::Issuer> IssuerOf(const OidcConfig& entry) {
  OidcProvider::Issuer issuer{.issuer = entry.issuer,
                              .audiences = entry.audience,
                              .jwks_url = entry.jwks_url,
                              .roles_claim = entry.roles_claim,
                              .role_map = {},
                              .tenant_claim = entry.tenant_claim,
                              .tenant = TenantId(entry.tenant),
                              .tenants = {}};
  for (const auto& [group, name] : entry.role_map) {
    const auto role = tenancy::ParseRole(name);
    if (!role) {
      return Invalid(entry.issuer, "role_map: '" + Printable(group) +
                                       "' must be viewer, developer, operator or admin, not '" +
                                       Printable(name) + "'");
    }
    issuer.role_map.emplace(group, *role);
  }
  for (const std::string& tenant : entry.tenants) issuer.tenants.emplace_back(tenant);
  if (!entry.role_map.empty() && entry.tenant.empty() && entry.tenant_claim.empty()) {
    return Invalid(entry.issuer, "role_map needs tenant or tenant_claim: a role is one in a tenant");
  }
  if (!entry.allow_http && (entry.issuer.starts_with("http://") || entry.jwks_url.starts_with("http://"))) {
    return Invalid(entry.issuer,
                   "its keys would come over http://, where anybody on the way can change "
                   "them: use https://, or say allow_http");
  }
  return issuer;
}

}  // namespace

Result<OidcProvider::Options> OidcOptionsOf(const ServerConfig& config) {
  OidcProvider::Options options;
  for (const OidcConfig& entry : config.oidc) {
    MEZZO_TRY(OidcProvider::Issuer issuer, IssuerOf(entry));
    options.issuers.push_back(std::move(issuer));
  }
  return options;
}

Result<std::unique_ptr<OidcProvider>> OpenPeople(const ServerConfig& config, const Clock& clock,
                                                 observe::Registry& registry, observe::Logger& log) {
  if (config.oidc.empty()) return std::unique_ptr<OidcProvider>();
  MEZZO_TRY(OidcProvider::Options options, OidcOptionsOf(config));
  options.seed = static_cast<std::uint64_t>(clock.WallNow().time_since_epoch().count());
  std::vector<tenancy::OidcTransport> transports;
  transports.reserve(config.oidc.size());
  for (const OidcConfig& entry : config.oidc) {
    transports.push_back({.allow_http = entry.allow_http, .ca_file = entry.ca_file});
  }
  auto provider = OidcProvider::Create(
      std::move(options),
      {.clock = clock, .registry = registry, .log = log, .fetch = tenancy::MakeOidcFetch(transports, clock)});
  if (!provider.ok()) return InvalidArgument("config_invalid_value", provider.error().message());
  return provider;
}

}  // namespace mezzo::app
