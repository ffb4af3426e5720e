#pragma once

#include <array>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/tenancy/role.h"
#include "mezzo/tenancy/scope.h"

namespace mezzo::tenancy {

// Identities as the database has them.

/// What of a tenant may be set.
struct TenantSettings {
  std::string name;                                  ///< For people; empty: the id.
  double weight = 1;                                 ///< Of its share, (0, 1000].
  std::array<bool, 3> classes = {true, true, true};  ///< Allowed: interactive, standard, bulk.
  /// Allowed for jobs: paid, urgent, free. A platform tenant may use all of them, whatever stands here.
  std::array<bool, 3> tiers = {false, false, true};
  bool platform = false;   ///< See Tenant::platform.
  bool suspended = false;  ///< None of its keys and users is let in.
};
struct TenantRecord {
  TenantId id;
  TenantSettings settings;
  WallTime created;
};

struct ProjectRecord {
  TenantId tenant;
  ProjectId id;
  std::string name;
  WallTime created;
};

/// A person, known by who vouches for them (OIDC's issuer) and as whom (its subject).
struct UserRecord {
  TenantId tenant;
  std::string issuer;
  std::string subject;
  std::string name;
  Role role = Role::kViewer;
  WallTime created;
};

/// What of a key is asked for.
struct NewKey {
  TenantId tenant;
  ProjectId project;  ///< Empty: none.
  std::string name;   ///< For people.
  ScopeSet scopes;
  std::optional<WallTime> expires;
  std::string created_by;  ///< A key's id or a user's subject.
};
struct KeyRecord {
  KeyId id;
  NewKey facts;
  WallTime created;
  std::optional<WallTime> revoked;
  std::optional<WallTime> last_used;  ///< To about a minute.
};

/// A key as it is shown, once.
struct IssuedKey {
  KeyRecord record;
  std::string text;
};

/// What a role may do in a tenant; in a platform tenant more.
///
/// | role | in its tenant | in a platform tenant also |
/// |---|---|---|
/// | viewer | read | observe |
/// | developer | infer | observe |
/// | operator | infer, keys | operate |
/// | admin | infer, manage | admin |
ScopeSet ScopesOf(Role role, bool platform);

/// An id that people give: 1 to 64 characters of [a-z0-9-], beginning and ending with a letter or digit.
/// Fails with kInvalidArgument "id_invalid", naming `what`.
Result<void> CheckId(std::string_view what, std::string_view id);

}  // namespace mezzo::tenancy
