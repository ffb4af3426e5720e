#pragma once

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/storage/migrations.h"
#include "mezzo/storage/testing/sql_db_fixture.h"

namespace mezzo::storage::testing {

/// Migrate() on a real database.
template <typename Harness>
class SqlMigrationSuite : public SqlDbFixture<Harness> {
 protected:
  static constexpr std::array kSteps = {
      Migration{.version = 1,
                .name = "events",
                .sql = "CREATE TABLE event (seq {identity}, body {blob} NOT NULL, meta TEXT DEFAULT '{}');",
                .sqlite = "CREATE INDEX event_only_sqlite ON event (meta);",
                .postgres = "CREATE INDEX event_only_postgres ON event (meta);"},
      Migration{.version = 2,
                .name = "kinds",
                .sql = "ALTER TABLE event ADD COLUMN kind TEXT; CREATE TABLE kind (id BIGINT);"},
      Migration{.version = 3, .name = "first kind", .sql = "INSERT INTO kind (id) VALUES (1);"},
  };
  [[nodiscard]] static std::span<const Migration> Steps(std::size_t count) {
    return std::span<const Migration>(kSteps).first(count);
  }
  Result<void> Migrate(std::span<const Migration> steps, std::string_view module = "test") {
    return storage::Migrate(this->db(), module, steps, this->Soon(), this->clock_);
  }
};
TYPED_TEST_SUITE_P(SqlMigrationSuite);

TYPED_TEST_P(SqlMigrationSuite, RunsEachStepOnce) {
  EXPECT_EQ(Reason(this->Migrate(this->Steps(1))), "");
  EXPECT_EQ(Reason(this->Migrate(this->Steps(3))), "");
  EXPECT_EQ(Reason(this->Migrate(this->Steps(3))), "");
  EXPECT_EQ(this->Count("kind"), 1);
  const SqlRows rows =
      this->Query("SELECT version, name FROM schema_migrations WHERE module = 'test' ORDER BY 1");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows.Text(1, 1), "kinds");
}

TYPED_TEST_P(SqlMigrationSuite, WordsMeanTheSameEverywhere) {
  ASSERT_EQ(Reason(this->Migrate(this->Steps(3))), "");
  const std::string insert = "INSERT INTO event (body) VALUES ($1) RETURNING seq, meta";
  EXPECT_EQ(this->Run(insert, {SqlBlob{"a"}})->Int(0, 0), 1);
  const auto second = this->Run(insert, {SqlBlob{std::string("\0\xff", 2)}});
  EXPECT_EQ(second->Int(0, 0), 2);
  EXPECT_EQ(second->Text(0, 1), "{}");
  EXPECT_EQ(this->Query("SELECT body FROM event WHERE seq = 2").Blob(0, 0), std::string("\0\xff", 2));
}

TYPED_TEST_P(SqlMigrationSuite, HostsThatStartTogetherRunEachStepOnce) {
  const auto second = this->harness().OpenAnother();
  std::array<std::string, 8> reasons;
  std::vector<std::thread> hosts;
  hosts.reserve(reasons.size());
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    hosts.emplace_back([&, i] {
      SqlDb& db = i % 2 == 0 ? this->db() : *second;
      reasons[i] = Reason(storage::Migrate(db, "test", this->Steps(3), this->Soon(), this->clock_));
    });
  }
  for (std::thread& host : hosts) host.join();
  EXPECT_THAT(reasons, ::testing::Each(""));
  EXPECT_EQ(this->Count("kind"), 1);
  EXPECT_EQ(this->Count("schema_migrations"), 3);
}

TYPED_TEST_P(SqlMigrationSuite, OlderProgramRefusesANewerDatabase) {
  ASSERT_EQ(Reason(this->Migrate(this->Steps(2))), "");
  const auto refused = this->Migrate(this->Steps(1));
  EXPECT_EQ(Reason(refused), "sql_schema_newer");
  EXPECT_THAT(Message(refused), ::testing::HasSubstr("'kinds'"));
}

TYPED_TEST_P(SqlMigrationSuite, StepThatChangedAfterwardsIsRefused) {
  ASSERT_EQ(Reason(this->Migrate(this->Steps(2))), "");
  std::vector<Migration> changed(this->kSteps.begin(), this->kSteps.end());
  changed[1].sql = "ALTER TABLE event ADD COLUMN sort TEXT;";
  EXPECT_EQ(Reason(this->Migrate(changed)), "sql_schema_changed");
  changed[1] = this->kSteps[1];
  changed[1].name = "sorts";
  EXPECT_EQ(Reason(this->Migrate(changed)), "sql_schema_changed");
  EXPECT_EQ(this->Count("schema_migrations"), 2);
}

TYPED_TEST_P(SqlMigrationSuite, FailedStepLeavesNoTraceAndThoseBeforeItStay) {
  std::vector<Migration> steps(this->kSteps.begin(), this->kSteps.end());
  steps[1].sql =
      "CREATE TABLE kind (id BIGINT); INSERT INTO kind (id) VALUES (1); SELECT nothing FROM nowhere;";
  const auto failed = this->Migrate(steps);
  EXPECT_EQ(Reason(failed), "sql_failed");
  EXPECT_THAT(Message(failed), ::testing::HasSubstr("step 2 'kinds' of 'test'"));
  EXPECT_EQ(this->Count("schema_migrations"), 1);
  EXPECT_EQ(Reason(this->Run("SELECT id FROM kind")), "sql_failed") << "the table must not be there";
  EXPECT_EQ(Reason(this->Migrate(this->Steps(3))), "");
}

TYPED_TEST_P(SqlMigrationSuite, ModulesAreIndependent) {
  constexpr std::array<Migration, 1> kOther = {
      Migration{.version = 1, .name = "o", .sql = "CREATE TABLE o (id BIGINT);"}};
  EXPECT_EQ(Reason(this->Migrate(this->Steps(3))), "");
  EXPECT_EQ(Reason(this->Migrate(kOther, "other")), "");
  EXPECT_EQ(Reason(this->Migrate(this->Steps(3))), "");
  EXPECT_EQ(this->Count("schema_migrations"), 4);
}

TYPED_TEST_P(SqlMigrationSuite, PreparedStatementsOutliveAChangeOfTheSchema) {
  ASSERT_EQ(Reason(this->Migrate(this->Steps(1))), "");
  EXPECT_EQ(this->Query("SELECT * FROM event").size(), 0u);
  EXPECT_TRUE(this->Run("SELECT * FROM event").ok());
  ASSERT_EQ(Reason(this->Migrate(this->Steps(2))), "");
  EXPECT_TRUE(this->Run("INSERT INTO event (body) VALUES ($1)", {SqlBlob{"a"}}).ok());
  EXPECT_TRUE(this->Run("SELECT * FROM event").ok());
  EXPECT_TRUE(this->Query("SELECT * FROM event").IsNull(0, 3));
}

REGISTER_TYPED_TEST_SUITE_P(SqlMigrationSuite, RunsEachStepOnce, WordsMeanTheSameEverywhere,
                            HostsThatStartTogetherRunEachStepOnce, OlderProgramRefusesANewerDatabase,
                            StepThatChangedAfterwardsIsRefused, FailedStepLeavesNoTraceAndThoseBeforeItStay,
                            ModulesAreIndependent, PreparedStatementsOutliveAChangeOfTheSchema);

}  // namespace mezzo::storage::testing
