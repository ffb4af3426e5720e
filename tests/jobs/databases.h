#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "mezzo/base/clock.h"
#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/jobs/schema.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/testing/postgres_server.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::jobs {

/// The tables of the queue in an empty database: SQLite's in `folder`, or PostgreSQL's, where one server
/// serves all tests of the process in turn. `clock` is real and outlives the database.
inline std::unique_ptr<storage::SqlDb> OpenEmptyQueue(storage::SqlDialect dialect,
                                                      const storage::testing::TempDir& folder,
                                                      const Clock& clock) {
  const TimePoint deadline = clock.Now() + std::chrono::seconds(20);
  std::unique_ptr<storage::SqlDb> db;
  if (dialect == storage::SqlDialect::kSqlite) {
    auto opened = drivers::SqliteDb::Open({.path = folder.path() + "/mezzo.db"}, clock);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    db = std::move(*opened);
  } else {
    static storage::testing::PostgresServer server;
    auto opened = drivers::PostgresDb::Open({.connection = server.Url()}, clock);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    db = std::move(*opened);
    const auto emptied = db->Transact(
        [](storage::SqlSession& session) {
          return session.RunScript("DROP SCHEMA public CASCADE; CREATE SCHEMA public;");
        },
        deadline);
    EXPECT_TRUE(emptied.ok()) << emptied.error().ToString();
  }
  const auto migrated = storage::Migrate(*db, "jobs", Migrations(), deadline, clock);
  EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
  return db;
}

/// For INSTANTIATE_TEST_SUITE_P.
inline auto BothDatabases() {
  return ::testing::Values(storage::SqlDialect::kSqlite, storage::SqlDialect::kPostgres);
}
inline std::string DatabaseName(const ::testing::TestParamInfo<storage::SqlDialect>& info) {
  return info.param == storage::SqlDialect::kSqlite ? "Sqlite" : "Postgres";
}

}  // namespace mezzo::jobs
