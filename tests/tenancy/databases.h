#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "mezzo/base/clock.h"
#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/testing/postgres_server.h"
#include "mezzo/storage/testing/temp_dir.h"
#include "mezzo/tenancy/identity_schema.h"

namespace mezzo::tenancy {

/// A database, its folder, and where another process finds it.
struct TestDatabase {
  storage::testing::TempDir folder;
  std::string place;  ///< SQLite's file or PostgreSQL's URL.
  std::unique_ptr<storage::SqlDb> db;
};

/// The tables of identities in an empty database: SQLite's in a new folder, or PostgreSQL's, where one server
/// serves all tests of the process in turn. `clock` is real and outlives the database.
inline std::unique_ptr<TestDatabase> OpenEmptyDatabase(storage::SqlDialect dialect, const Clock& clock) {
  const TimePoint deadline = clock.Now() + std::chrono::seconds(60);
  auto database = std::make_unique<TestDatabase>();
  if (dialect == storage::SqlDialect::kSqlite) {
    database->place = database->folder.path() + "/mezzo.db";
    auto opened = drivers::SqliteDb::Open({.path = database->place}, clock);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    database->db = std::move(*opened);
  } else {
    static storage::testing::PostgresServer server;
    database->place = server.Url();
    auto opened = drivers::PostgresDb::Open({.connection = database->place}, clock);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    database->db = std::move(*opened);
    const auto emptied = database->db->Transact(
        [](storage::SqlSession& session) {
          return session.RunScript("DROP SCHEMA public CASCADE; CREATE SCHEMA public;");
        },
        deadline);
    EXPECT_TRUE(emptied.ok()) << emptied.error().ToString();
  }
  const auto migrated = storage::Migrate(*database->db, "tenancy", IdentityMigrations(), deadline, clock);
  EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
  return database;
}

/// For INSTANTIATE_TEST_SUITE_P.
inline auto BothDatabases() {
  return ::testing::Values(storage::SqlDialect::kSqlite, storage::SqlDialect::kPostgres);
}
inline std::string DatabaseName(const ::testing::TestParamInfo<storage::SqlDialect>& info) {
  return info.param == storage::SqlDialect::kSqlite ? "Sqlite" : "Postgres";
}

}  // namespace mezzo::tenancy
