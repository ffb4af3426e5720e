#pragma once

#include <span>

#include "mezzo/storage/migrations.h"

namespace mezzo::lifecycle {

/// The tables of models and versions, for storage::Migrate() under the module name "registry".
std::span<const storage::Migration> RegistryMigrations();
/// Of the module "retirement": who retires what, and which versions have calls. On top of the registry's.
std::span<const storage::Migration> RetirementMigrations();

}  // namespace mezzo::lifecycle
