#pragma once

#include <span>

#include "mezzo/storage/migrations.h"

namespace mezzo::tenancy {

/// The tables of tenants, projects, users and keys, for storage::Migrate() under the module name "tenancy".
std::span<const storage::Migration> IdentityMigrations();

}  // namespace mezzo::tenancy
