// Group commit: who shares a commit, who is told what, and what a broken disk does.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/drivers/sqlite/testing/fault_vfs.h"
#include "mezzo/storage/testing/sql_db_fixture.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::drivers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using storage::SqlDb;
using storage::SqlRows;
using storage::SqlSession;
using storage::testing::Inbox;
using storage::testing::Reason;
using storage::testing::TempDir;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kInsert = "INSERT INTO t (n) VALUES ($1)";

class GroupCommitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    db_ = Open();
    ASSERT_EQ(Reason(db_->Transact(
                  [](SqlSession& session) {
                    return session.RunScript(
                        "CREATE TABLE t (n BIGINT PRIMARY KEY);"
                        "CREATE TABLE child (parent BIGINT REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED);");
                  },
                  In(seconds(30)))),
              "");
  }
  std::unique_ptr<SqliteDb> Open() {
    auto opened =
        SqliteDb::Open({.path = folder_.path() + "/test.db",
                        .max_group_time = seconds(10),  // Whoever waits joins, however slow the machine.
                        .busy_timeout = seconds(2),
                        .max_notifications = 4,
                        .vfs = vfs_.name()},
                       clock_);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    return *std::move(opened);
  }
  [[nodiscard]] TimePoint In(Duration time) const { return clock_.Now() + time; }

  static SqlDb::Work Insert(std::int64_t n) {
    return [n](SqlSession& session) -> Result<void> {
      MEZZO_TRY_VOID(session.Run(kInsert, {n}));
      return {};
    };
  }
  std::string Do(const SqlDb::Work& work, Duration limit = seconds(30)) {
    return Reason(db_->Transact(work, In(limit)));
  }
  std::vector<std::int64_t> Stored() {
    std::vector<std::int64_t> all;
    const auto read = db_->Read(
        [&](SqlSession& session) -> Result<void> {
          MEZZO_TRY(const SqlRows rows, session.Run("SELECT n FROM t ORDER BY n", {}));
          for (std::size_t i = 0; i < rows.size(); ++i) all.push_back(rows.Int(i, 0));
          return {};
        },
        In(seconds(30)));
    EXPECT_EQ(Reason(read), "");
    return all;
  }
  void AwaitQueued(std::size_t count) {
    while (db_->queued() < count) std::this_thread::sleep_for(milliseconds(1));
  }
  /// Runs the works, in this order, in one group: the writer is kept busy until all of them wait in its
  /// queue.
  std::vector<std::string> Together(const std::vector<SqlDb::Work>& works) {
    std::promise<void> begun;
    std::promise<void> go;
    std::vector<std::string> reasons(works.size());
    std::vector<std::thread> threads;
    std::atomic<int> runs{0};
    threads.emplace_back([&] {
      Do([&](SqlSession&) -> Result<void> {
        if (runs++ == 0) {
          begun.set_value();
          go.get_future().wait();
        }
        return {};
      });
    });
    begun.get_future().wait();
    for (std::size_t i = 0; i < works.size(); ++i) {
      threads.emplace_back([&, i] { reasons[i] = Do(works[i]); });
      AwaitQueued(i + 1);
    }
    go.set_value();
    for (std::thread& thread : threads) thread.join();
    return reasons;
  }

  const TempDir folder_;
  const RealClock clock_;
  testing::FaultVfs vfs_;
  std::unique_ptr<SqliteDb> db_;
};

TEST_F(GroupCommitTest, ThreadsShareCommits) {
  constexpr int kThreads = 16;
  constexpr int kEach = 10;
  vfs_.SlowSyncs(milliseconds(20));
  const std::uint64_t before = db_->commits();

  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  std::atomic<int> failures{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) failures += Do(Insert(t * kEach + i)).empty() ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(failures, 0);
  EXPECT_EQ(Stored().size(), static_cast<std::size_t>(kThreads * kEach));
  EXPECT_LE(db_->commits() - before, static_cast<std::uint64_t>(kThreads * kEach / 4));
}

TEST_F(GroupCommitTest, FailedWorkRollsBackItselfOnly) {
  const std::uint64_t before = db_->commits();

  const auto reasons = Together({Insert(1),
                                 [](SqlSession& session) -> Result<void> {
                                   MEZZO_TRY_VOID(session.Run(kInsert, {2}));
                                   return NotFound("model_unknown", "on second thoughts");
                                 },
                                 Insert(1),
                                 [](SqlSession& session) -> Result<void> {
                                   MEZZO_TRY_VOID(session.Run(kInsert, {3}));
                                   MEZZO_TRY_VOID(session.Run(kInsert, {1}));
                                   return {};
                                 },
                                 Insert(4)});

  EXPECT_THAT(reasons, ElementsAre("", "model_unknown", "sql_unique", "sql_unique", ""));
  EXPECT_THAT(Stored(), ElementsAre(1, 4));
  EXPECT_EQ(db_->commits() - before, 1u);
}

TEST_F(GroupCommitTest, NobodyIsToldBeforeTheCommit) {
  Inbox inbox;
  const auto subscription = db_->Listen("jobs", inbox.Listener());
  inbox.Until("");
  inbox.Clear();
  std::atomic<int> told{0};
  vfs_.Hold();

  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      EXPECT_EQ(Do([i](SqlSession& session) -> Result<void> {
                  MEZZO_TRY_VOID(session.Run(kInsert, {i}));
                  return session.Notify({"jobs", "n" + std::to_string(i)});
                }),
                "");
      ++told;
    });
  }
  vfs_.AwaitHeldSync();
  std::this_thread::sleep_for(milliseconds(50));

  EXPECT_EQ(told, 0);
  EXPECT_THAT(inbox.Now(), IsEmpty());
  EXPECT_THAT(Stored(), IsEmpty());
  vfs_.Release();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Stored().size(), 4u);
}

TEST_F(GroupCommitTest, FailedCommitIsToldToAllOfItsGroup) {
  vfs_.FailSync();

  EXPECT_THAT(Together({Insert(1), Insert(2), Insert(3)}), Each("sql_commit_unknown"));

  EXPECT_TRUE(vfs_.failed());
  EXPECT_THAT(Stored(), IsEmpty());
  EXPECT_EQ(Do(Insert(4)), "");
  EXPECT_THAT(Stored(), ElementsAre(4));
}

TEST_F(GroupCommitTest, FullDiskFailsTheGroupAndPasses) {
  vfs_.FailOperation(1, SQLITE_FULL);

  EXPECT_THAT(Together({Insert(1), Insert(2)}), Each("sql_unavailable"));

  EXPECT_THAT(Stored(), IsEmpty());
  EXPECT_EQ(Do(Insert(3)), "");
}

TEST_F(GroupCommitTest, DeferredConstraintFailsItsOwnTransactionOnly) {
  const SqlDb::Work orphan = [](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.Run("INSERT INTO child (parent) VALUES (77)", {}));
    return {};
  };

  EXPECT_THAT(Together({Insert(1), orphan, Insert(2)}), ElementsAre("", "sql_constraint", ""));

  EXPECT_THAT(Stored(), ElementsAre(1, 2));
}

TEST_F(GroupCommitTest, InterruptedWriteDoesNotHarmTheOthers) {
  std::string interrupted;
  std::thread late;
  const SqlDb::Work endless = [](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(
        session.Run("WITH RECURSIVE c(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM c) "
                    "INSERT INTO t (n) SELECT n FROM c",
                    {}));
    return {};
  };
  std::atomic<int> runs{0};
  const SqlDb::Work first = [&](SqlSession& session) -> Result<void> {
    if (runs++ == 0) {
      late = std::thread([&] { interrupted = Do(endless, seconds(1)); });
      AwaitQueued(1);
    }
    MEZZO_TRY_VOID(session.Run(kInsert, {1}));
    return {};
  };

  EXPECT_EQ(Do(first), "");
  late.join();

  EXPECT_EQ(interrupted, "sql_timeout");
  EXPECT_EQ(runs, 2) << "the end of the transaction took its insert away";
  EXPECT_THAT(Stored(), ElementsAre(1));
}

TEST_F(GroupCommitTest, DeadlineDuringTheCommitLeavesTheOutcomeUnknown) {
  vfs_.Hold();

  EXPECT_EQ(Do(Insert(1), milliseconds(500)), "sql_commit_unknown");

  vfs_.Release();
  EXPECT_EQ(Do(Insert(2)), "");
  EXPECT_THAT(Stored(), ElementsAre(1, 2));
}

TEST_F(GroupCommitTest, LockOfAnotherProcessIsWaitedForUntilTheDeadline) {
  const auto other = Open();
  std::string in_vain;
  std::string in_time;
  std::thread waiting;
  EXPECT_EQ(Reason(other->Transact(
                [&](SqlSession& session) -> Result<void> {
                  MEZZO_TRY_VOID(session.Run(kInsert, {1}));
                  in_vain = Do(Insert(2), milliseconds(200));
                  waiting = std::thread([&] { in_time = Do(Insert(3)); });
                  std::this_thread::sleep_for(milliseconds(50));
                  return {};
                },
                In(seconds(30)))),
            "");
  waiting.join();
  EXPECT_EQ(in_vain, "sql_timeout");
  EXPECT_EQ(in_time, "");
  EXPECT_THAT(Stored(), ElementsAre(1, 3));
}

TEST_F(GroupCommitTest, SlowListenersAreToldThatTheyMissedSome) {
  std::promise<void> go;
  Inbox inbox;
  const auto record = inbox.Listener();
  std::atomic<int> calls{0};
  const auto subscription = db_->Listen("jobs", [&](std::string_view payload) {
    if (calls++ == 0) go.get_future().wait();
    record(payload);
  });
  while (calls == 0) std::this_thread::yield();  // The greeting hangs.
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(Do([&](SqlSession& session) { return session.Notify({"jobs", std::to_string(i)}); }), "");
  }
  go.set_value();
  EXPECT_THAT(inbox.Until("3"), ElementsAre("", "", "0", "1", "2", "3"));
}

// Fails every write and sync in turn: what was acknowledged is there afterwards, what was refused is not, and
// the file is sound.
TEST_F(GroupCommitTest, EveryFailureOfTheDiskKeepsItsPromises) {
  int n = 1;
  for (bool failed = true; failed && n < 500; ++n) {
    db_.reset();
    db_ = Open();
    ASSERT_EQ(Do([](SqlSession& session) -> Result<void> {
                MEZZO_TRY_VOID(session.Run("DELETE FROM t", {}));
                return {};
              }),
              "");
    testing::FaultVfs broken;
    auto opened =
        SqliteDb::Open({.path = folder_.path() + "/test.db", .readers = 1, .vfs = broken.name()}, clock_);
    ASSERT_TRUE(opened.ok());
    auto db = *std::move(opened);
    broken.FailOperation(n, n % 2 == 0 ? SQLITE_FULL : SQLITE_IOERR);
    std::vector<std::int64_t> acknowledged;
    std::vector<std::int64_t> possible;
    for (std::int64_t i = 1; i <= 5; ++i) {
      const std::string reason = Reason(db->Transact(Insert(i), In(seconds(30))));
      if (reason.empty()) acknowledged.push_back(i);
      if (reason.empty() || reason == "sql_commit_unknown") possible.push_back(i);
    }
    failed = broken.failed();
    db.reset();

    const std::vector<std::int64_t> stored = Stored();
    EXPECT_THAT(stored, ::testing::IsSupersetOf(acknowledged)) << "operation " << n;
    EXPECT_THAT(stored, ::testing::IsSubsetOf(possible)) << "operation " << n;
    EXPECT_GE(acknowledged.size(), 4u) << "one failure costs one transaction; operation " << n;
  }
  EXPECT_GT(n, 5) << "there were operations to fail";
  EXPECT_LT(n, 500) << "the last round passed untouched";
}

TEST_F(GroupCommitTest, AcknowledgedTransactionsSurviveAKilledProcess) {
  db_.reset();
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto db = Open();
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (std::int64_t i = t; i < 1'000'000; i += 4) {
          if (!db->Transact(Insert(i), In(seconds(30))).ok()) ::_exit(1);
          if (::write(pipe[1], &i, sizeof(i)) != sizeof(i)) ::_exit(1);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ::_exit(1);
  }
  ::close(pipe[1]);
  std::vector<std::int64_t> acknowledged;
  std::int64_t id = 0;
  while (acknowledged.size() < 200 && ::read(pipe[0], &id, sizeof(id)) == sizeof(id))
    acknowledged.push_back(id);
  ::kill(child, SIGKILL);
  while (::read(pipe[0], &id, sizeof(id)) == sizeof(id)) acknowledged.push_back(id);
  ::waitpid(child, nullptr, 0);
  ::close(pipe[0]);

  db_ = Open();
  EXPECT_GE(acknowledged.size(), 200u);
  EXPECT_THAT(Stored(), ::testing::IsSupersetOf(acknowledged));
}

}  // namespace
}  // namespace mezzo::drivers
