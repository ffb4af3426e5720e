#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/tenancy/role.h"

namespace mezzo::tenancy {

/// Somebody whom an issuer vouches for, and what its claims make of them. Immutable; shared by the calls that
/// come with one token.
struct Person {
  std::string issuer;
  std::string subject;
  TenantId tenant;           ///< By claims or the issuer's settings; empty: neither says.
  std::optional<Role> role;  ///< The highest that the claims are mapped to.
  /// Whether the settings say that this issuer's claims may name a platform tenant.
  bool may_be_platform = false;
  WallTime expires;
};
using PersonRef = std::shared_ptr<const Person>;

}  // namespace mezzo::tenancy
