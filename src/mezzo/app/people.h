#pragma once

#include <memory>

#include "mezzo/app/server_config.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/tenancy/oidc_provider.h"

namespace mezzo::app {

/// What `oidc` declares, without the transport. Fails with kInvalidArgument "config_invalid_value", naming
/// the issuer and the value.
Result<tenancy::OidcProvider::Options> OidcOptionsOf(const ServerConfig& config);

/// Who verifies the tokens of people, over real HTTP and not started; null when `oidc` is empty. What is
/// passed outlives it. Errors: OidcOptionsOf()'s.
Result<std::unique_ptr<tenancy::OidcProvider>> OpenPeople(const ServerConfig& config, const Clock& clock,
                                                          observe::Registry& registry, observe::Logger& log);

}  // namespace mezzo::app
