#pragma once

#include <span>

#include "mezzo/storage/migrations.h"

namespace mezzo::lifecycle {

/// The tables of models and versions, for storage::Migrate() under the module name "registry".
std::span<const storage::Migration> RegistryMigrations();

}  // namespace mezzo::lifecycle
