#pragma once

#include <span>

#include "mezzo/storage/migrations.h"

namespace mezzo::jobs {

/// The tables of the queue, for storage::Migrate() under the module name "jobs".
std::span<const storage::Migration> Migrations();

}  // namespace mezzo::jobs
