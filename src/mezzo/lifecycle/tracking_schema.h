#pragma once

#include <span>

#include "mezzo/storage/migrations.h"

namespace mezzo::lifecycle {

/// The tables of TrackingStore, for storage::Migrate() under the module name "tracking".
std::span<const storage::Migration> TrackingMigrations();

}  // namespace mezzo::lifecycle
