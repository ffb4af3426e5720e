#pragma once

#include <tuple>

#include "mezzo/app/oidc_config.h"
#include "mezzo/config/schema.h"

/// The documentation and bounds of the section `oidc` of mezzo.yaml.
namespace mezzo::config {

template <>
struct Schema<app::OidcConfig> {
  static auto Fields() {
    using C = app::OidcConfig;
    return std::tuple{
        Field("issuer", &C::issuer, "The issuer, exactly as its tokens name it (iss).", Required{},
              Length(8, 256)),
        Field("audience", &C::audience, "Who the tokens are for (aud); one of them is enough.", Required{},
              Length(1, 16)),
        Field(
            "jwks_url", &C::jwks_url,
            "Where the issuer's public keys are. Empty: as <issuer>/.well-known/openid-configuration says."),
        Field("roles_claim", &C::roles_claim,
              "Where tokens name groups, as a dotted path (realm_access.roles). Empty: roles come from the "
              "users of tenants alone."),
        Field("role_map", &C::role_map,
              "The role (viewer, developer, operator, admin) of each group; of several the highest."),
        Field("tenant_claim", &C::tenant_claim, "Where tokens name the tenant's id, as a dotted path."),
        Field("tenant", &C::tenant, "The tenant of everybody whose token names none."),
        Field("tenants", &C::tenants,
              "Tenants that tokens may name, platform tenants among them. Empty: any but platform tenants."),
        Field("client_id", &C::client_id,
              "The public client (authorization code with PKCE, redirect to <server>/console/) with which "
              "the console "
              "signs people in. Empty: they paste a token."),
        Field("console_scope", &C::console_scope,
              "What the console asks the issuer for when it signs people in."),
        Field("allow_http", &C::allow_http, "Let keys be fetched over http://; for tests and loopback only."),
        Field("ca_file", &C::ca_file,
              "PEM file of authorities for the issuer's certificate, instead of the system's.")};
  }
};

}  // namespace mezzo::config
