#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::storage {

/// One step of a schema. Once released it never changes: what follows is a new step.
///
/// `sql` is a script in the SQL that both databases share (BIGINT, DOUBLE PRECISION, TEXT; CREATE, ALTER and
/// so on), where these words stand for what each calls differently:
/// - `{blob}`: BLOB in SQLite, BYTEA in PostgreSQL.
/// - `{identity}`: a primary key that counts up; an INTEGER in SQLite, a BIGINT in PostgreSQL.
/// - `{by_range_of_id}`, after a table's closing bracket: PARTITION BY RANGE (id) in PostgreSQL.
///
/// What only one of them has comes after it, in `sqlite` or `postgres`. Every statement ends in a semicolon.
struct Migration {
  std::int64_t version = 0;  ///< 1, 2, 3, ... within the module.
  std::string_view name;
  std::string_view sql;
  std::string_view sqlite;
  std::string_view postgres;
};

/// The script of `migration` for a dialect. Aborts on an unknown {word}: it is a mistake in code.
std::string MigrationScript(const Migration& migration, SqlDialect dialect);

/// Brings the tables of `module` up to date: forward only, each step in one transaction together with its row
/// in the table `schema_migrations` (module, version, name, checksum, applied_us). Safe when several hosts
/// and threads do it at once: the steps run under one lock of the database (PostgreSQL: a transaction's
/// advisory lock).
///
/// Errors: kFailedPrecondition "sql_schema_newer" when the database has steps that `migrations` lacks,
/// kFailedPrecondition "sql_schema_changed" when a step that ran has another name or text now, and those of
/// SqlDb::Transact(). Steps before a failed one stay. `clock` gives the times in the table.
Result<void> Migrate(SqlDb& db, std::string_view module, std::span<const Migration> migrations,
                     TimePoint deadline, const Clock& clock);

}  // namespace mezzo::storage
