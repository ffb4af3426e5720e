#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/storage/testing/sql_db_fixture.h"

namespace mezzo::storage::testing {

/// Atomicity, isolation, errors and deadlines.
template <typename Harness>
class SqlTransactionSuite : public SqlDbFixture<Harness> {
 protected:
  void SetUp() override {
    const auto made = this->Script(
        "CREATE TABLE owner (id BIGINT PRIMARY KEY);"
        "CREATE TABLE account (id BIGINT PRIMARY KEY, name TEXT NOT NULL, balance BIGINT NOT NULL DEFAULT 0 "
        "CONSTRAINT balance_not_negative CHECK (balance >= 0), owner BIGINT REFERENCES owner (id), "
        "CONSTRAINT account_name UNIQUE (name));"
        "INSERT INTO account (id, name, balance) VALUES (1, 'a', 100), (2, 'b', 100);");
    ASSERT_TRUE(made.ok()) << made.error().ToString();
  }
  Result<void> Transact(const SqlDb::Work& work) { return this->db().Transact(work, this->Soon()); }
  std::int64_t Balance(std::int64_t id) {
    return this->Query("SELECT balance FROM account WHERE id = $1", {id}).Int(0, 0);
  }
  /// Each thread adds 1 to both accounts, `rounds` times, beginning with account `first(thread)`. Returns how
  /// many transactions failed.
  int AddInThreads(int count, int rounds, const std::function<std::int64_t(int)>& first) {
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    threads.reserve(static_cast<std::size_t>(count));
    for (int t = 0; t < count; ++t) {
      threads.emplace_back([&, from = first(t)] {
        for (int i = 0; i < rounds; ++i) {
          const auto added = Transact([&](SqlSession& session) -> Result<void> {
            MEZZO_TRY_VOID(session.Run(kAdd, {from, 1}));
            MEZZO_TRY_VOID(session.Run(kAdd, {3 - from, 1}));
            return {};
          });
          if (!added.ok()) ++failures;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return failures;
  }
  static constexpr std::string_view kAdd = "UPDATE account SET balance = balance + $2 WHERE id = $1";
  static constexpr std::string_view kInsert = "INSERT INTO account (id, name) VALUES ($1, $2)";
  static constexpr std::string_view kEndless =
      "WITH RECURSIVE t(n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM t) "
      "SELECT count(*) FROM t WHERE n < 0";
};
TYPED_TEST_SUITE_P(SqlTransactionSuite);

TYPED_TEST_P(SqlTransactionSuite, FailedWorkLeavesNothingAndReturnsItsError) {
  const auto failed = this->Transact([&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.Run(this->kAdd, {1, -30}));
    MEZZO_TRY_VOID(session.Run(this->kAdd, {2, 30}));
    return NotFound("model_unknown", "on second thoughts");
  });
  EXPECT_EQ(Reason(failed), "model_unknown");
  EXPECT_EQ(this->Balance(1), 100);
  EXPECT_EQ(this->Balance(2), 100);
}

TYPED_TEST_P(SqlTransactionSuite, UniqueErrorNamesWhatIsUnique) {
  const auto failed = this->Run(this->kInsert, {3, std::string("a")});
  ASSERT_EQ(Reason(failed), "sql_unique");
  EXPECT_EQ(failed.error().code(), Code::kAlreadyExists);
  EXPECT_THAT(Message(failed), ::testing::HasSubstr(this->postgres() ? "account_name" : "account.name"));
  EXPECT_EQ(Reason(this->Run(this->kInsert, {1, std::string("new")})), "sql_unique");
}

TYPED_TEST_P(SqlTransactionSuite, OtherConstraintsAreToldApart) {
  const auto check = this->Run(this->kAdd, {1, -101});
  EXPECT_EQ(Reason(check), "sql_constraint");
  EXPECT_THAT(Message(check), ::testing::HasSubstr("balance_not_negative"));
  const auto null = this->Run(this->kInsert, {3, std::monostate()});
  EXPECT_EQ(Reason(null), "sql_constraint");
  EXPECT_THAT(Message(null), ::testing::HasSubstr("name"));
  EXPECT_EQ(Reason(this->Run("UPDATE account SET owner = 5 WHERE id = 1")), "sql_constraint");
}

TYPED_TEST_P(SqlTransactionSuite, NothingCanBeDoneAfterAnError) {
  std::vector<std::string> reasons;
  const auto failed = this->Transact([&](SqlSession& session) -> Result<void> {
    reasons.push_back(Reason(session.Run(this->kAdd, {1, 5})));
    reasons.push_back(Reason(session.Run(this->kInsert, {3, std::string("a")})));
    reasons.push_back(Reason(session.Run(this->kAdd, {2, 5})));
    reasons.push_back(Reason(session.Notify({"channel", "payload"})));
    return {};
  });
  EXPECT_THAT(reasons, ::testing::ElementsAre("", "sql_unique", "sql_failed", "sql_failed"));
  EXPECT_EQ(Reason(failed), "sql_unique") << "a work that hides an error must not commit";
  EXPECT_EQ(this->Balance(1), 100);
}

TYPED_TEST_P(SqlTransactionSuite, WrongStatementsFailAndHarmNobody) {
  for (const std::string_view wrong :
       {"SELEC 1", "SELECT 1 FROM nowhere", "SELECT 1; SELECT 2", "SELECT \"no_string\"", "", "COMMIT",
        "rollback", " BEGIN", "SAVEPOINT x"}) {
    EXPECT_EQ(Reason(this->Run(wrong)), "sql_failed") << wrong;
    EXPECT_EQ(Reason(this->Run(this->kAdd, {1, 0})), "") << wrong;
  }
  EXPECT_EQ(Reason(this->Run(this->kAdd, {1})), "sql_failed");
}

TYPED_TEST_P(SqlTransactionSuite, ScriptCannotEndTheTransaction) {
  EXPECT_EQ(Reason(this->Script("UPDATE account SET balance = 7 WHERE id = 1; COMMIT; SELECT 1;")),
            "sql_failed");
  EXPECT_EQ(Reason(this->Run(this->kAdd, {2, 1})), "");
  EXPECT_EQ(this->Balance(2), 101);
}

TYPED_TEST_P(SqlTransactionSuite, RunAllGivesTheRowsOfEachAndStopsAtAnError) {
  const std::vector<SqlStatement> good = {{this->kAdd, {1, 1}},
                                          {"SELECT balance FROM account WHERE id = $1", {1}}};
  std::vector<SqlRows> rows;
  ASSERT_EQ(Reason(this->Transact([&](SqlSession& session) -> Result<void> {
              MEZZO_TRY(rows, session.RunAll(good));
              return {};
            })),
            "");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].affected(), 1);
  EXPECT_EQ(rows[1].Int(0, 0), 101);

  const std::vector<SqlStatement> bad = {
      {this->kAdd, {1, 1}}, {this->kAdd, {1, -1000}}, {this->kAdd, {1, 5}}};
  EXPECT_EQ(Reason(this->Transact([&](SqlSession& session) -> Result<void> {
              MEZZO_TRY_VOID(session.RunAll(bad));
              return {};
            })),
            "sql_constraint");
  EXPECT_EQ(this->Balance(1), 101);
}

TYPED_TEST_P(SqlTransactionSuite, TransactAllIsAllOrNothing) {
  const std::vector<SqlStatement> good = {{this->kAdd, {1, -30}}, {this->kAdd, {2, 30}}};
  const auto rows = this->db().TransactAll(good, {}, this->Soon());
  ASSERT_TRUE(rows.ok()) << rows.error().ToString();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[1].affected(), 1);

  const std::vector<SqlStatement> bad = {{this->kAdd, {2, 30}}, {this->kAdd, {1, -1000}}};
  EXPECT_EQ(Reason(this->db().TransactAll(bad, {}, this->Soon())), "sql_constraint");
  EXPECT_EQ(this->Balance(1), 70);
  EXPECT_EQ(this->Balance(2), 130);
}

TYPED_TEST_P(SqlTransactionSuite, ReadSeesOneSnapshotThatWritersDoNotDisturb) {
  std::vector<std::int64_t> seen;
  const auto read = this->db().Read(
      [&](SqlSession& session) -> Result<void> {
        MEZZO_TRY(const SqlRows before, session.Run("SELECT balance FROM account WHERE id = 1", {}));
        std::thread writer([&] { EXPECT_EQ(Reason(this->Run(this->kAdd, {1, 11})), ""); });
        writer.join();
        MEZZO_TRY(const SqlRows after, session.Run("SELECT balance FROM account WHERE id = 1", {}));
        seen = {before.Int(0, 0), after.Int(0, 0)};
        return {};
      },
      this->Soon());
  EXPECT_EQ(Reason(read), "");
  EXPECT_THAT(seen, ::testing::ElementsAre(100, 100));
  EXPECT_EQ(this->Balance(1), 111);
}

TYPED_TEST_P(SqlTransactionSuite, ReadersDoNotWaitForAWriter) {
  std::int64_t seen = 0;
  EXPECT_EQ(Reason(this->Transact([&](SqlSession& session) -> Result<void> {
              MEZZO_TRY_VOID(session.Run(this->kAdd, {1, 11}));
              std::thread reader([&] { seen = this->Balance(1); });
              reader.join();
              return {};
            })),
            "");
  EXPECT_EQ(seen, 100);
}

TYPED_TEST_P(SqlTransactionSuite, ReadCannotWriteOrNotify) {
  const auto written = this->db().Read(
      [&](SqlSession& session) -> Result<void> {
        MEZZO_TRY_VOID(session.Run(this->kAdd, {1, 5}));
        return {};
      },
      this->Soon());
  EXPECT_EQ(Reason(written), "sql_failed");
  const auto notified =
      this->db().Read([](SqlSession& session) { return session.Notify({"channel", "x"}); }, this->Soon());
  EXPECT_EQ(Reason(notified), "sql_failed");
  EXPECT_EQ(this->Balance(1), 100);
}

TYPED_TEST_P(SqlTransactionSuite, ConcurrentCountersLoseNothing) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 40;
  EXPECT_EQ(this->AddInThreads(kThreads, kRounds, [](int) { return 1; }), 0);
  EXPECT_EQ(this->Balance(1), 100 + kThreads * kRounds);
  EXPECT_EQ(this->Balance(2), 100 + kThreads * kRounds);
}

TYPED_TEST_P(SqlTransactionSuite, WorkMaySayThatItConflicts) {
  int runs = 0;
  EXPECT_EQ(Reason(this->Transact([&](SqlSession& session) -> Result<void> {
              MEZZO_TRY_VOID(session.Run(this->kAdd, {1, 1}));
              if (++runs == 1) return Error(Code::kAborted, "sql_conflict", "what was read is no longer so");
              return {};
            })),
            "");
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(this->Balance(1), 101);
}

// PostgreSQL finds deadlocks here, and the transactions that it ends run again.
TYPED_TEST_P(SqlTransactionSuite, OppositeOrdersOfWritingBothSucceed) {
  constexpr int kRounds = 40;
  EXPECT_EQ(this->AddInThreads(2, kRounds, [](int thread) { return thread + 1; }), 0);
  EXPECT_EQ(this->Balance(1) + this->Balance(2), 200 + 2 * kRounds * 2);
}

TYPED_TEST_P(SqlTransactionSuite, DeadlineEndsAStatementAndHarmsNobody) {
  const auto endless = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.Run(this->kEndless, {}));
    return {};
  };
  const TimePoint began = this->clock_.Now();
  EXPECT_EQ(Reason(this->db().Read(endless, this->In(std::chrono::milliseconds(150)))), "sql_timeout");
  EXPECT_EQ(Reason(this->db().Transact(endless, this->In(std::chrono::milliseconds(150)))), "sql_timeout");
  EXPECT_LT(this->clock_.Now() - began, std::chrono::seconds(10));
  EXPECT_EQ(Reason(this->Run(this->kAdd, {1, 1})), "");
  EXPECT_EQ(this->Balance(1), 101);
}

TYPED_TEST_P(SqlTransactionSuite, PassedDeadlineRunsNothing) {
  const auto late = this->db().Transact(
      [&](SqlSession& session) -> Result<void> {
        MEZZO_TRY_VOID(session.Run(this->kAdd, {1, 1}));
        return {};
      },
      this->In(-std::chrono::seconds(1)));
  EXPECT_EQ(Reason(late), "sql_timeout");
  EXPECT_EQ(this->Balance(1), 100);
}

TYPED_TEST_P(SqlTransactionSuite, DeadlineEndsTheWaitForALock) {
  std::string waited;
  EXPECT_EQ(Reason(this->Transact([&](SqlSession& session) -> Result<void> {
              MEZZO_TRY_VOID(session.Run(this->kAdd, {1, 1}));
              std::thread other([&] {
                const std::vector<SqlStatement> add = {{this->kAdd, {1, 1}}};
                waited = Reason(this->db().TransactAll(add, {}, this->In(std::chrono::milliseconds(200))));
              });
              other.join();
              return {};
            })),
            "");
  EXPECT_EQ(waited, "sql_timeout");
  EXPECT_EQ(this->Balance(1), 101);
}

TYPED_TEST_P(SqlTransactionSuite, ManyDifferentStatementsRun) {
  for (int i = 0; i < 400; ++i) {
    EXPECT_EQ(this->Query("SELECT $1 + " + std::to_string(i % 300), {std::int64_t{1}}).Int(0, 0),
              i % 300 + 1);
  }
}

REGISTER_TYPED_TEST_SUITE_P(SqlTransactionSuite, FailedWorkLeavesNothingAndReturnsItsError,
                            UniqueErrorNamesWhatIsUnique, OtherConstraintsAreToldApart,
                            NothingCanBeDoneAfterAnError, WrongStatementsFailAndHarmNobody,
                            ScriptCannotEndTheTransaction, RunAllGivesTheRowsOfEachAndStopsAtAnError,
                            TransactAllIsAllOrNothing, ReadSeesOneSnapshotThatWritersDoNotDisturb,
                            ReadersDoNotWaitForAWriter, ReadCannotWriteOrNotify,
                            ConcurrentCountersLoseNothing, WorkMaySayThatItConflicts,
                            OppositeOrdersOfWritingBothSucceed, DeadlineEndsAStatementAndHarmsNobody,
                            PassedDeadlineRunsNothing, DeadlineEndsTheWaitForALock,
                            ManyDifferentStatementsRun);

}  // namespace mezzo::storage::testing
