// What happens to transactions and listeners when the server or the network fails.

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/storage/testing/postgres_server.h"
#include "mezzo/storage/testing/sql_db_fixture.h"
#include "mezzo/storage/testing/tcp_proxy.h"

namespace mezzo::drivers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using storage::SqlDb;
using storage::SqlNotification;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlStatement;
using storage::testing::Inbox;
using storage::testing::PostgresServer;
using storage::testing::Reason;
using storage::testing::TcpProxy;
using ::testing::Contains;
using ::testing::ElementsAre;

const std::string kCommit("COMMIT\0", 7);  // As the statement is sent; not "READ COMMITTED".

class PostgresFaultsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    direct_ = Open(server_.port());
    db_ = Open(proxy_.port());
    ASSERT_EQ(
        Reason(direct_->Transact(
            [](SqlSession& session) { return session.RunScript("CREATE TABLE t (n BIGINT PRIMARY KEY);"); },
            In(seconds(30)))),
        "");
  }
  std::unique_ptr<PostgresDb> Open(std::uint16_t port) {
    auto opened = PostgresDb::Open(
        {.connection = server_.Url(port), .connect_timeout = seconds(2), .cancel_grace = milliseconds(300)},
        clock_);
    EXPECT_TRUE(opened.ok());
    return *std::move(opened);
  }
  [[nodiscard]] TimePoint In(Duration time) const { return clock_.Now() + time; }

  std::string Insert(std::int64_t n, Duration limit = seconds(30)) {
    return Reason(db_->Transact(
        [&](SqlSession& session) -> Result<void> {
          ++runs_;
          MEZZO_TRY_VOID(session.Run("INSERT INTO t (n) VALUES ($1)", {n}));
          return {};
        },
        In(limit)));
  }
  std::string InsertKnown(std::int64_t n, Duration limit = seconds(30)) {
    const std::vector<SqlStatement> one = {{"INSERT INTO t (n) VALUES ($1)", {n}}};
    return Reason(db_->TransactAll(one, {}, In(limit)));
  }
  std::vector<std::int64_t> Stored() {
    std::vector<std::int64_t> all;
    const auto read = direct_->Read(
        [&](SqlSession& session) -> Result<void> {
          MEZZO_TRY(const SqlRows rows, session.Run("SELECT n FROM t ORDER BY n", {}));
          all.clear();
          for (std::size_t i = 0; i < rows.size(); ++i) all.push_back(rows.Int(i, 0));
          return {};
        },
        In(seconds(30)));
    EXPECT_EQ(Reason(read), "");
    return all;
  }
  /// Ends the connections of `db_`; returns how many.
  std::int64_t TerminateOthers() {
    std::int64_t count = 0;
    EXPECT_EQ(Reason(direct_->Transact(
                  [&](SqlSession& session) -> Result<void> {
                    MEZZO_TRY(const SqlRows rows,
                              session.Run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                          "application_name = 'mezzo' AND pid <> pg_backend_pid()",
                                          {}));
                    count = static_cast<std::int64_t>(rows.size());
                    return {};
                  },
                  In(seconds(30)))),
              "");
    return count;
  }

  const RealClock clock_;
  PostgresServer server_;
  TcpProxy proxy_{server_.port()};
  std::unique_ptr<PostgresDb> direct_;
  std::unique_ptr<PostgresDb> db_;  ///< Through the proxy.
  std::atomic<int> runs_{0};
};

TEST_F(PostgresFaultsTest, RestartOfTheServerCostsNothingThatWasCommitted) {
  EXPECT_EQ(Insert(1), "");
  server_.Restart();
  EXPECT_EQ(Insert(2), "");
  server_.Kill();
  server_.Start();
  EXPECT_EQ(InsertKnown(3), "");
  EXPECT_THAT(Stored(), ElementsAre(1, 2, 3));
}

TEST_F(PostgresFaultsTest, StoppedServerIsUnavailableSoon) {
  server_.Stop();
  const TimePoint began = clock_.Now();
  EXPECT_EQ(Insert(1), "sql_unavailable");
  EXPECT_LT(clock_.Now() - began, seconds(10));
  server_.Start();
  EXPECT_EQ(Insert(1), "");
}

TEST_F(PostgresFaultsTest, TransactionWhoseConnectionIsKilledRunsAgain) {
  std::atomic<int> runs{0};
  EXPECT_EQ(Reason(db_->Transact(
                [&](SqlSession& session) -> Result<void> {
                  MEZZO_TRY_VOID(session.Run("INSERT INTO t (n) VALUES (1)", {}));
                  if (runs++ == 0) EXPECT_EQ(TerminateOthers(), 1);
                  MEZZO_TRY_VOID(session.Run("INSERT INTO t (n) VALUES (2)", {}));
                  return {};
                },
                In(seconds(30)))),
            "");
  EXPECT_EQ(runs, 2);
  EXPECT_THAT(Stored(), ElementsAre(1, 2));
}

TEST_F(PostgresFaultsTest, IdleConnectionsThatWereKilledAreReplaced) {
  EXPECT_EQ(InsertKnown(1), "");
  EXPECT_EQ(TerminateOthers(), 1);
  std::this_thread::sleep_for(milliseconds(500));  // The news travels.
  EXPECT_EQ(InsertKnown(2), "");
  EXPECT_EQ(db_->counts().connects, 2u);
}

TEST_F(PostgresFaultsTest, LostAnswerToCommitIsUnknownAndNotTriedAgain) {
  proxy_.LoseAnswerTo(kCommit);
  EXPECT_EQ(Insert(1), "sql_commit_unknown");
  EXPECT_EQ(runs_, 1);
  EXPECT_THAT(Stored(), ElementsAre(1)) << "this time it was committed";

  proxy_.LoseAnswerTo(kCommit);
  EXPECT_EQ(InsertKnown(2), "sql_commit_unknown");
}

TEST_F(PostgresFaultsTest, ConnectionLostBeforeTheCommitIsTriedAgain) {
  proxy_.LoseAnswerTo("INSERT INTO t");
  EXPECT_EQ(Insert(1), "");
  EXPECT_EQ(runs_, 2);
  EXPECT_THAT(Stored(), ElementsAre(1));
}

TEST_F(PostgresFaultsTest, KilledDuringAPipelineBeforeItsCommitIsTriedAgain) {
  std::string outcome;
  std::thread victim;
  EXPECT_EQ(Reason(direct_->Transact(
                [&](SqlSession& session) -> Result<void> {
                  MEZZO_TRY_VOID(session.Run("SELECT pg_advisory_xact_lock(7)", {}));
                  victim = std::thread([&] {
                    const std::vector<SqlStatement> blocked = {{"INSERT INTO t (n) VALUES (1)", {}},
                                                               {"SELECT pg_advisory_xact_lock(7)", {}}};
                    outcome = Reason(db_->TransactAll(blocked, {}, In(seconds(30))));
                  });
                  SqlRows killed;
                  while (killed.empty()) {
                    MEZZO_TRY(killed, session.Run("SELECT pg_terminate_backend(pid) FROM pg_locks "
                                                  "WHERE locktype = 'advisory' AND NOT granted",
                                                  {}));
                  }
                  return {};
                },
                In(seconds(30)))),
            "");
  victim.join();
  EXPECT_EQ(outcome, "");
  EXPECT_EQ(db_->counts().connects, 2u);
  EXPECT_THAT(Stored(), ElementsAre(1));
}

TEST_F(PostgresFaultsTest, SilentNetworkEndsAtTheDeadline) {
  EXPECT_EQ(Insert(1), "");
  proxy_.Hold(true);
  const TimePoint began = clock_.Now();
  EXPECT_EQ(Insert(2, milliseconds(300)), "sql_timeout");
  EXPECT_EQ(InsertKnown(3, milliseconds(300)), "sql_timeout") << "the connection was not even made";
  EXPECT_LT(clock_.Now() - began, seconds(5));
  proxy_.Hold(false);
  EXPECT_EQ(Insert(4), "");
  EXPECT_THAT(Stored(), Contains(4));
}

TEST_F(PostgresFaultsTest, SilenceDuringTheCommitLeavesTheOutcomeUnknown) {
  EXPECT_EQ(Insert(0), "");
  const auto outcome = db_->Transact(
      [&](SqlSession& session) -> Result<void> {
        MEZZO_TRY_VOID(session.Run("INSERT INTO t (n) VALUES (1)", {}));
        proxy_.Hold(true);
        return {};
      },
      In(seconds(2)));
  EXPECT_EQ(Reason(outcome), "sql_commit_unknown");
  proxy_.Hold(false);
}

TEST_F(PostgresFaultsTest, PipelineTakesOneDelayOfTheNetwork) {
  EXPECT_EQ(InsertKnown(0), "");
  proxy_.Delay(milliseconds(50));
  std::vector<SqlStatement> many;
  for (std::int64_t n = 1; n <= 40; ++n) many.push_back({"INSERT INTO t (n) VALUES ($1)", {n}});
  const TimePoint began = clock_.Now();
  EXPECT_EQ(Reason(db_->TransactAll(many, {}, In(seconds(30)))), "");
  EXPECT_GE(clock_.Now() - began, milliseconds(100));
  EXPECT_LT(clock_.Now() - began, milliseconds(1000)) << "one by one they would take 4 s";
}

TEST_F(PostgresFaultsTest, ListenersAreToldAfterAReconnect) {
  Inbox inbox;
  const auto subscription = db_->Listen("jobs", inbox.Listener());
  EXPECT_THAT(inbox.Until(""), ElementsAre(""));
  for (const bool server_too : {false, true}) {
    inbox.Clear();
    if (server_too) {
      server_.Restart();
    } else {
      proxy_.Cut();
    }
    EXPECT_THAT(inbox.Until(""), ElementsAre(""));
    const std::vector<SqlNotification> news = {{"jobs", "after"}};
    EXPECT_EQ(Reason(direct_->TransactAll({}, news, In(seconds(30)))), "");
    EXPECT_THAT(inbox.Until("after"), ElementsAre("", "after"));
  }
}

TEST_F(PostgresFaultsTest, EndsWhileItCannotConnect) {
  Inbox inbox;
  server_.Stop();
  const auto subscription = db_->Listen("jobs", inbox.Listener());
  std::this_thread::sleep_for(milliseconds(300));
  const TimePoint began = clock_.Now();
  db_.reset();
  EXPECT_LT(clock_.Now() - began, seconds(3));
}

}  // namespace
}  // namespace mezzo::drivers
