#pragma once

#include <span>

#include "mezzo/storage/migrations.h"

namespace mezzo::tenancy {

/// The tables of usage and prices, for storage::Migrate() under the module name "usage".
std::span<const storage::Migration> UsageMigrations();

}  // namespace mezzo::tenancy
