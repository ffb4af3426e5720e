#include "mezzo/drivers/postgres/postgres_db.h"

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/storage/testing/postgres_server.h"
#include "mezzo/storage/testing/sql_db_suite.h"

namespace mezzo::storage::testing {

class PostgresHarness {
 public:
  PostgresHarness() : db_(OpenAnother()) {
    const auto emptied = db_->Transact(
        [](SqlSession& session) {
          return session.RunScript("DROP SCHEMA public CASCADE; CREATE SCHEMA public;");
        },
        clock_.Now() + std::chrono::seconds(30));
    EXPECT_TRUE(emptied.ok()) << emptied.error().ToString();
  }
  SqlDb& db() { return *db_; }
  std::unique_ptr<SqlDb> OpenAnother() {
    static PostgresServer server;  // For all tests of this process.
    auto opened = drivers::PostgresDb::Open({.connection = server.Url()}, clock_);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    return *std::move(opened);
  }

 private:
  const RealClock clock_;
  std::unique_ptr<SqlDb> db_;
};

MEZZO_SQL_DB_SUITE(Postgres, PostgresHarness);

}  // namespace mezzo::storage::testing

namespace mezzo::drivers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using storage::SqlDb;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlStatement;
using storage::SqlValue;
using storage::testing::Message;
using storage::testing::PostgresServer;
using storage::testing::Reason;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// What only PostgreSQL has, on a server that is well.
class PostgresDbTest : public ::testing::Test {
 protected:
  static PostgresServer& server() {
    static PostgresServer server;  // For all tests of this process.
    return server;
  }
  void SetUp() override {
    db_ = Open({});
    ASSERT_EQ(Script("DROP TABLE IF EXISTS t; CREATE TABLE t (n BIGINT PRIMARY KEY, v BIGINT, w TEXT);"
                     "INSERT INTO t (n, v) VALUES (1, 0), (2, 0), (3, 0);"),
              "");
  }
  std::unique_ptr<PostgresDb> Open(PostgresDb::Options options) {
    if (options.connection.empty()) options.connection = server().Url();
    auto opened = PostgresDb::Open(std::move(options), clock_);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    return *std::move(opened);
  }
  [[nodiscard]] TimePoint In(Duration time) const { return clock_.Now() + time; }
  std::string Script(std::string_view script) {
    return Reason(
        db_->Transact([&](SqlSession& session) { return session.RunScript(script); }, In(seconds(30))));
  }
  SqlRows Run(PostgresDb& db, std::string_view sql, std::vector<SqlValue> params = {}) {
    const std::vector<SqlStatement> one = {{sql, std::move(params)}};
    auto rows = db.TransactAll(one, {}, In(seconds(30)));
    EXPECT_TRUE(rows.ok()) << rows.error().ToString();
    return rows.ok() ? std::move(rows->front()) : SqlRows();
  }
  static SqlDb::Work Select(std::string_view sql, SqlRows& rows) {
    return [sql, &rows](SqlSession& session) -> Result<void> {
      MEZZO_TRY(rows, session.Run(sql, {}));
      return {};
    };
  }

  const RealClock clock_;
  std::unique_ptr<PostgresDb> db_;
};

TEST_F(PostgresDbTest, KnownTransactionsAreOneRoundTrip) {
  std::vector<SqlStatement> many;
  many.reserve(50);
  for (std::int64_t i = 0; i < 50; ++i) many.push_back({"UPDATE t SET v = v + $1 WHERE n = 1", {i}});
  const auto all_at_once = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.RunAll(many));
    return {};
  };
  EXPECT_EQ(Reason(db_->TransactAll(many, {}, In(seconds(30)))), "");

  const std::uint64_t start = db_->counts().round_trips;
  EXPECT_EQ(Reason(db_->TransactAll(many, {}, In(seconds(30)))), "");
  const std::uint64_t known = db_->counts().round_trips;
  EXPECT_EQ(Reason(db_->Transact(all_at_once, In(seconds(30)))), "");
  const std::uint64_t worked = db_->counts().round_trips;

  EXPECT_EQ(known - start, 1u);
  EXPECT_EQ(worked - known, 2u) << "BEGIN travels with the statements, COMMIT alone";
}

TEST_F(PostgresDbTest, LargePipelineDoesNotBlockItself) {
  const std::string large(20'000, 'x');
  const std::vector<SqlStatement> many(1000, {"SELECT $1", {large}});  // 20 MB each way.
  const auto rows = db_->TransactAll(many, {}, In(seconds(30)));
  ASSERT_TRUE(rows.ok()) << rows.error().ToString();
  EXPECT_EQ(rows->back().Text(0, 0), large);
}

TEST_F(PostgresDbTest, SkipLockedGivesEveryoneAnotherRow) {
  constexpr std::string_view kClaim = "SELECT n FROM t ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED";
  std::vector<std::int64_t> claimed;
  const auto first = db_->Transact(
      [&](SqlSession& session) -> Result<void> {
        MEZZO_TRY(const SqlRows mine, session.Run(kClaim, {}));
        const SqlRows other = std::async(std::launch::async, [&] { return Run(*db_, kClaim); }).get();
        claimed = {mine.Int(0, 0), other.Int(0, 0)};
        return {};
      },
      In(seconds(30)));
  EXPECT_EQ(Reason(first), "");
  EXPECT_THAT(claimed, ElementsAre(1, 2));
}

TEST_F(PostgresDbTest, DeadlocksAreRetried) {
  std::atomic<int> runs{0};
  std::atomic<int> holders{0};
  const auto move = [&](std::int64_t from, std::int64_t to) {
    return Reason(db_->Transact(
        [&, from, to](SqlSession& session) -> Result<void> {
          ++runs;
          MEZZO_TRY_VOID(session.Run("UPDATE t SET v = v + 1 WHERE n = $1", {from}));
          ++holders;
          while (holders < 2) std::this_thread::yield();
          MEZZO_TRY_VOID(session.Run("UPDATE t SET v = v + 1 WHERE n = $1", {to}));
          return {};
        },
        In(seconds(30))));
  };
  auto other = std::async(std::launch::async, [&] { return move(2, 1); });
  EXPECT_EQ(move(1, 2), "");
  EXPECT_EQ(other.get(), "");
  EXPECT_GE(runs, 3);
  EXPECT_EQ(Run(*db_, "SELECT sum(v) FROM t").Int(0, 0), 4);
}

TEST_F(PostgresDbTest, PassedDeadlineEndsTheStatementOnTheServerAndKeepsTheConnection) {
  const auto db = Open({.max_connections = 1});
  SqlRows rows;
  EXPECT_EQ(Reason(db->Read(Select("SELECT 1", rows), In(seconds(30)))), "");
  EXPECT_EQ(Reason(db->Read(Select("SELECT pg_sleep(30)", rows), In(milliseconds(500)))), "sql_timeout");
  EXPECT_EQ(Run(*db_,
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%sleep(30)' "
                "AND pid <> pg_backend_pid()")
                .Int(0, 0),
            0);
  EXPECT_EQ(Reason(db->Read(Select("SELECT 1", rows), In(seconds(30)))), "");
  EXPECT_EQ(db->counts().cancels, 1u);
  EXPECT_LE(db->counts().connects, 2u);
}

TEST_F(PostgresDbTest, ServerHasLimitsOfItsOwn) {
  SqlRows rows;
  constexpr std::string_view kShow =
      "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')";
  EXPECT_EQ(Reason(db_->Read(Select(kShow, rows), In(seconds(3)))), "");
  EXPECT_EQ(rows.Text(0, 0), "4s");
  EXPECT_EQ(rows.Text(0, 1), "4s");
  EXPECT_EQ(Reason(db_->Read(Select(kShow, rows), kNever)), "");
  EXPECT_EQ(rows.Text(0, 0), "1024s") << "max_transaction_time bounds what has no deadline";
}

TEST_F(PostgresDbTest, NothingIsCompiledForOneUse) {
  SqlRows rows;
  EXPECT_EQ(Reason(db_->Read(Select("SELECT current_setting('jit')", rows), In(seconds(30)))), "");
  EXPECT_EQ(rows.Text(0, 0), "off");
}

TEST_F(PostgresDbTest, PreparedStatementsAreReusedAndBounded) {
  const auto db = Open({.max_connections = 1, .max_statements = 8});
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(Run(*db, "SELECT " + std::to_string(i)).Int(0, 0), i);
      const std::string typo = "SELECT nothing" + std::to_string(i);
      const std::vector<SqlStatement> wrong = {{typo, {}}};
      EXPECT_EQ(Reason(db->TransactAll(wrong, {}, In(seconds(30)))), "sql_failed");
    }
  }
  constexpr std::string_view kCount =
      "SELECT count(*), max(generic_plans + custom_plans) FROM pg_prepared_statements";
  const SqlRows counted = Run(*db, kCount);
  EXPECT_LE(counted.Int(0, 0), 8);
  EXPECT_GE(counted.Int(0, 1), 100) << "BEGIN and COMMIT were prepared once";
}

TEST_F(PostgresDbTest, NullsDoNotMultiplyPreparedStatements) {
  const auto db = Open({.max_connections = 1});
  constexpr std::string_view kInsert = "INSERT INTO t (n, v, w) VALUES ($1, $2, $3)";
  for (std::int64_t i = 10; i < 40; ++i) {
    const SqlValue v = i % 2 == 0 ? SqlValue() : SqlValue(i);
    const SqlValue w = i % 3 == 0 ? SqlValue() : SqlValue(std::to_string(i));
    Run(*db, kInsert, {i, v, w});
  }
  EXPECT_EQ(Run(*db, "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'INSERT%'").Int(0, 0),
            1);
  EXPECT_EQ(Run(*db, "SELECT count(v), count(w) FROM t WHERE n >= 10").Int(0, 0), 15);
}

TEST_F(PostgresDbTest, ConnectionsAreBoundedAndWaitedFor) {
  const auto db = Open({.max_connections = 2});
  std::vector<std::future<void>> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.push_back(std::async(std::launch::async, [&] { Run(*db, "SELECT pg_sleep(0.02)"); }));
  }
  for (auto& thread : threads) thread.get();
  EXPECT_EQ(db->counts().connects, 2u);

  const auto nested = db->Read(
      [&](SqlSession&) -> Result<void> {
        return std::async(std::launch::async,
                          [&] {
                            return db->Read(
                                [&](SqlSession&) -> Result<void> {
                                  return std::async(std::launch::async,
                                                    [&] {
                                                      SqlRows rows;
                                                      return db->Read(Select("SELECT 1", rows),
                                                                      In(milliseconds(100)));
                                                    })
                                      .get();
                                },
                                In(seconds(30)));
                          })
            .get();
      },
      In(seconds(30)));
  EXPECT_EQ(Reason(nested), "sql_timeout");
  EXPECT_THAT(Message(nested), HasSubstr("none of 2 connections"));
}

TEST_F(PostgresDbTest, IdleAndOldConnectionsAreClosed) {
  const auto db = Open({.max_lifetime = Duration::zero()});
  Run(*db, "SELECT 1");
  Run(*db, "SELECT 1");
  EXPECT_EQ(db->counts().connects, 2u) << "an old connection is not used again";

  const auto two_at_once = [&](PostgresDb& used) {
    EXPECT_EQ(Reason(used.Read(
                  [&](SqlSession& session) -> Result<void> {
                    MEZZO_TRY_VOID(session.Run("SELECT 1", {}));
                    std::async(std::launch::async, [&] { Run(used, "SELECT 1"); }).get();
                    return {};
                  },
                  In(seconds(30)))),
              "");
  };
  const auto kept = Open({});
  const auto dropped = Open({.idle_timeout = Duration::zero()});
  for (int i = 0; i < 3; ++i) {
    two_at_once(*kept);
    two_at_once(*dropped);
  }
  EXPECT_EQ(kept->counts().connects, 2u);
  EXPECT_EQ(dropped->counts().connects, 6u);
}

TEST_F(PostgresDbTest, WrongCredentialsAreRefusedWithoutShowingThem) {
  const std::string host =
      "host=127.0.0.1 port=" + std::to_string(server().port()) + " dbname=postgres user=mezzo";
  SqlRows rows;
  const auto wrong =
      Open({.connection = host, .password = "hunter2"})->Read(Select("SELECT 1", rows), In(seconds(30)));
  EXPECT_EQ(Reason(wrong), "sql_refused");
  EXPECT_THAT(Message(wrong), HasSubstr("28P01"));
  EXPECT_THAT(Message(wrong), Not(HasSubstr("hunter2")));
  const auto right = Open({.connection = host + " password=hunter2", .password = PostgresServer::kPassword});
  EXPECT_EQ(Reason(right->Read(Select("SELECT 1", rows), In(seconds(30)))), "");
  const auto no_database = Open({.connection = host + "x", .password = PostgresServer::kPassword});
  EXPECT_EQ(Reason(no_database->Read(Select("SELECT 1", rows), In(seconds(30)))), "sql_refused");
}

TEST_F(PostgresDbTest, UnreadableConnectionStringsAreRefusedWithoutShowingThem) {
  for (const std::string& bad :
       {std::string("postgresql://mezzo@host:hunter2/db?hunter2"), std::string("password hunter2"),
        std::string("nosuch=hunter2"), std::string("host='hunter2")}) {
    const auto refused = PostgresDb::Open({.connection = bad}, clock_);
    EXPECT_EQ(Reason(refused), "sql_bad_connection") << bad;
    EXPECT_THAT(Message(refused), Not(HasSubstr("hunter2")));
  }
}

TEST_F(PostgresDbTest, ServerThatOnlyReadsIsUnavailableForWriting) {
  const auto db = Open({.connection = server().Url() + "?options=-c%20default_transaction_read_only%3Don"});
  const std::vector<SqlStatement> write = {{"UPDATE t SET v = 1", {}}};
  EXPECT_EQ(Reason(db->TransactAll(write, {}, In(seconds(30)))), "sql_unavailable");
  SqlRows rows;
  EXPECT_EQ(Reason(db->Read(Select("SELECT 1", rows), In(seconds(30)))), "");
}

}  // namespace
}  // namespace mezzo::drivers
