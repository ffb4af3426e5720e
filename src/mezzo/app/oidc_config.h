#pragma once

#include <map>
#include <string>
#include <vector>

namespace mezzo::app {

/// One of the section `oidc` of mezzo.yaml; see oidc_schema.h.
struct OidcConfig {
  std::string issuer;
  std::vector<std::string> audience;
  std::string jwks_url;
  std::string roles_claim;
  std::map<std::string, std::string> role_map;
  std::string tenant_claim;
  std::string tenant;
  std::vector<std::string> tenants;
  std::string client_id;
  std::string console_scope = "openid profile";
  bool allow_http = false;
  std::string ca_file;
};

}  // namespace mezzo::app
