#pragma once

#include <span>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::cache {

/// Of the module "cache_shared".
std::span<const storage::Migration> SharedSecretMigrations();

/// 256 random bits in hex digits that the hosts of one database have in common, made by the first that asks.
/// SharedTier proves with it that an entry was written by such a host; hosts of another database, whose
/// epochs are others, don't see its entries. Blocks. Errors: the database's, kInternal "cache_secret".
Result<std::string> LoadSharedSecret(storage::SqlDb& db, TimePoint deadline);

}  // namespace mezzo::cache
