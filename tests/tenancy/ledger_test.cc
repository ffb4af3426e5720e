// The ledger on real databases, with faults at every call of the disk and of the database.

#include "mezzo/tenancy/ledger/ledger.h"

#include <atomic>
#include <random>
#include <thread>

#include "databases.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/observe/health.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/tenancy/ledger/testing/faulty_disk.h"
#include "mezzo/tenancy/ledger/usage_report.h"
#include "mezzo/tenancy/ledger/usage_schema.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::tenancy {
namespace {

using namespace std::chrono_literals;
using storage::SqlDialect;
using testing::FaultyDisk;
using ::testing::IsEmpty;

/// A database whose transactions fail when they are told to: before they begin, or after they have committed.
class FaultyDb final : public storage::SqlDb {
 public:
  enum class Fault : std::uint8_t { kNone, kBefore, kAfter };
  explicit FaultyDb(storage::SqlDb& db) : db_(db) {}
  Fault next = Fault::kNone;
  bool gone = false;
  std::size_t transactions = 0;

  [[nodiscard]] storage::SqlDialect dialect() const override { return db_.dialect(); }
  Result<void> Transact(const Work& work, TimePoint deadline) override {
    ++transactions;
    const Fault fault = std::exchange(next, Fault::kNone);
    if (gone || fault == Fault::kBefore) return Unavailable("sql_unavailable", "gone, as it was told to");
    MEZZO_TRY_VOID(db_.Transact(work, deadline));
    if (fault == Fault::kAfter) return Unavailable("sql_commit_unknown", "the answer was lost");
    return {};
  }
  Result<void> Read(const Work& work, TimePoint deadline) override { return db_.Read(work, deadline); }
  std::shared_ptr<void> Listen(std::string channel, Listener listener) override {
    return db_.Listen(std::move(channel), std::move(listener));
  }

 private:
  storage::SqlDb& db_;
};

/// The wall's hands are moved by the test; deadlines are those of the database.
class HandClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override { return real_.Now(); }
  [[nodiscard]] WallTime WallNow() const override { return wall_.WallNow(); }
  void Advance(Duration duration) { wall_.Advance(duration); }

 private:
  RealClock real_;
  mezzo::testing::ManualClock wall_;
};

class LedgerTest : public ::testing::TestWithParam<SqlDialect> {
 protected:
  LedgerTest() {
    const auto migrated = storage::Migrate(*database_->db, "usage", UsageMigrations(), Soon(), clock_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
  }
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + 60s; }

  /// One run of a server. Destroying it without Stop() is not a crash, which this is: nothing more is
  /// written.
  struct Run {
    observe::Registry registry;
    observe::Health health;
    observe::HealthCheck check = health.NewCheck("usage", observe::HealthKind::kDegraded);
    std::unique_ptr<Ledger> ledger;
  };
  std::unique_ptr<Run> Open(Ledger::Options options = {}) {
    auto run = std::make_unique<Run>();
    auto opened = Ledger::Open(options, {.db = db_,
                                         .disk = disk_,
                                         .folder = folder_.path() + "/usage",
                                         .clock = wall_,
                                         .registry = run->registry,
                                         .log = log_,
                                         .health = &run->check});
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    run->ledger = *std::move(opened);
    return run;
  }
  /// As kill -9 or a loss of power leaves it: the disk takes nothing more from the old run.
  void Crash(std::unique_ptr<Run> run) {
    disk_.FailAt(1, /*for_good=*/true);
    db_.gone = true;
    run.reset();
    disk_.LoseUnsynced();
    disk_.FailAt(0, false);
    db_.gone = false;
    db_.next = FaultyDb::Fault::kNone;
  }
  std::vector<UsageRow> Read(bool by_hour, std::set<std::size_t> group = {0, 3}) {
    UsageReader reader(*database_->db);
    UsageQuery query{.by_hour = by_hour, .from_us = 0, .to_us = INT64_MAX, .group = std::move(group)};
    auto rows = reader.Read(query, Soon());
    EXPECT_TRUE(rows.ok()) << rows.error().ToString();
    return rows.ok() ? *std::move(rows) : std::vector<UsageRow>();
  }
  Usage Total(bool by_hour) {
    Usage total;
    for (const UsageRow& row : Read(by_hour, {})) total += row.usage;
    return total;
  }

  RealClock clock_;  // Of the database.
  HandClock wall_;   // Of the ledger.
  observe::Logger log_{{.level = observe::LogLevel::kOff}, clock_};
  storage::testing::TempDir folder_;
  std::unique_ptr<TestDatabase> database_ = OpenEmptyDatabase(GetParam(), clock_);
  FaultyDb db_{*database_->db};
  FaultyDisk disk_;
};

UsageKey Key(const std::string& tenant, const std::string& model = "m") {
  return {
      .tenant = tenant, .project = "p", .key_id = "k", .model = model, .version = "1", .kind = "inference"};
}

TEST_P(LedgerTest, WhatIsAddedIsInHoursAndDays) {
  auto run = Open();
  Account& account = run->ledger->AccountFor(Key("a"));
  EXPECT_EQ(&account, &run->ledger->AccountFor(Key("a")));
  account.Add({.requests = 2,
               .failed = 1,
               .device_ns = 1500,
               .images = 3,
               .video_ms = 4,
               .bytes_in = 5,
               .bytes_out = 6,
               .cache_hits = 7,
               .saved_ns = 8});
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
  wall_.Advance(1h);
  account.Add({.requests = 10});
  run->ledger->AccountFor(Key("b", "n")).Add({.requests = 1});
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());

  const auto hours = Read(true);
  ASSERT_EQ(hours.size(), 3U);
  EXPECT_EQ(hours[0].usage, (Usage{.requests = 2,
                                   .failed = 1,
                                   .device_ns = 1500,
                                   .images = 3,
                                   .video_ms = 4,
                                   .bytes_in = 5,
                                   .bytes_out = 6,
                                   .cache_hits = 7,
                                   .saved_ns = 8}));
  EXPECT_EQ(TimeText(hours[0].start_us), "2023-11-14T22:00:00Z");
  EXPECT_EQ(hours[1].usage, Usage{.requests = 10});
  EXPECT_EQ(TimeText(hours[1].start_us), "2023-11-14T23:00:00Z");
  EXPECT_EQ(hours[2].key.tenant, "b");
  const auto days = Read(false);
  ASSERT_EQ(days.size(), 2U);
  EXPECT_EQ(days[0].usage.requests, 12);
  EXPECT_EQ(TimeText(days[0].start_us), "2023-11-14T00:00:00Z");
  EXPECT_EQ(run->ledger->state().pending_bytes, 0U);
}

TEST_P(LedgerTest, ReportsFilterGroupAndRefuseTooMuch) {
  auto run = Open();
  for (int i = 0; i < 5; ++i)
    run->ledger->AccountFor(Key("t" + std::to_string(i), i < 2 ? "m" : "n")).Add({.requests = i + 1});
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
  UsageReader reader(*database_->db);
  UsageQuery query{.from_us = 0, .to_us = INT64_MAX, .group = {3}};
  auto rows = reader.Read(query, Soon());
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ((*rows)[0].key, (UsageKey{.model = "m"}));
  EXPECT_EQ((*rows)[0].usage.requests, 3);
  EXPECT_EQ((*rows)[1].usage.requests, 12);
  query.only = {{0, "t4"}};
  EXPECT_EQ(reader.Read(query, Soon())->at(0).usage.requests, 5);
  query.only = {{0, "nobody"}};
  EXPECT_THAT(*reader.Read(query, Soon()), IsEmpty());
  query = {.from_us = 0, .to_us = INT64_MAX, .group = {0}, .max_rows = 4};
  EXPECT_EQ(reader.Read(query, Soon()).error().reason(), "usage_too_much");

  PriceStore prices(*database_->db);
  const auto book = PriceBook::Make({{.model = "*", .amount_micros = 7, .currency = "EUR"},
                                     {.model = "n", .amount_micros = 100, .currency = "EUR"}});
  ASSERT_TRUE(prices.Replace(*book, Soon()).ok());
  EXPECT_EQ(prices.Load(Soon())->prices().size(), 2U);
  const auto report = MakeReport(reader, prices, {.from_us = 0, .to_us = INT64_MAX}, Soon());
  ASSERT_TRUE(report.ok());
  ASSERT_EQ(report->rows.size(), 1U);
  EXPECT_EQ(report->rows[0].cost_micros, 3 * 7 + 12 * 100);
  EXPECT_EQ(report->currency, "EUR");
  ASSERT_TRUE(prices.Replace(PriceBook(), Soon()).ok());
  EXPECT_TRUE(prices.Load(Soon())->prices().empty());
}

TEST_P(LedgerTest, ACommitWhoseAnswerIsLostCountsOnce) {
  auto run = Open();
  run->ledger->AccountFor(Key("a")).Add({.requests = 1});
  ASSERT_TRUE(run->ledger->Flush().ok());
  db_.next = FaultyDb::Fault::kAfter;
  EXPECT_EQ(run->ledger->Post(Soon()).error().reason(), "sql_commit_unknown");
  EXPECT_TRUE(run->ledger->state().degraded());
  run->ledger->AccountFor(Key("a")).Add({.requests = 1});
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
  EXPECT_FALSE(run->ledger->state().degraded());
  EXPECT_EQ(Total(true).requests, 2);
  EXPECT_EQ(Total(false).requests, 2);
}

TEST_P(LedgerTest, WhateverCallOfTheDiskFailsEverythingIsCountedOnceInTheEnd) {
  // With the whole run going on, and with a crash after it: then what was not synced may be missing.
  for (const bool crash : {false, true}) {
    for (std::size_t fail_at = 1; fail_at <= 14; ++fail_at) {
      const Usage before = Total(true);
      auto run = Open({.segment_bytes = 100});
      Account& account = run->ledger->AccountFor(Key("a", crash ? "c" : "d"));
      disk_.FailAt(fail_at, false);
      std::int64_t safe = 0;
      std::int64_t added = 0;
      for (int i = 0; i < 5; ++i) {
        account.Add({.requests = 1});
        ++added;
        if (run->ledger->Flush().ok()) safe = added;
        if (i % 2 == 0) (void)run->ledger->Post(Soon());
      }
      if (crash) {
        Crash(std::move(run));
        run = Open();
      }
      disk_.FailAt(0, false);
      ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
      const std::int64_t counted = (Total(true) - before).requests;
      EXPECT_GE(counted, crash ? safe : added) << fail_at;
      EXPECT_LE(counted, added) << fail_at;
    }
  }
}

TEST_P(LedgerTest, RandomFaultsAndCrashesLoseNothingThatWasSyncedAndCountNothingTwice) {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U, 5U, 6U}) {
    std::mt19937_64 random(seed);
    const Usage before = Total(true);
    std::int64_t most = 0;   // All that was added.
    std::int64_t least = 0;  // What was synced, or in a run that went on.
    auto run = Open({.record_rows = 3, .post_rows = 5, .segment_bytes = 400});
    std::int64_t unsynced = 0;
    for (int step = 0; step < 120; ++step) {
      for (int i = 0; i < 4; ++i) {
        const std::string tenant = "t" + std::to_string(random() % 7);
        run->ledger->AccountFor(Key(tenant, "s" + std::to_string(seed)))
            .Add({.requests = 1, .device_ns = 10});
        ++most;
        ++unsynced;
      }
      if (random() % 5 == 0) disk_.FailAt(1 + random() % 6, random() % 4 == 0);
      if (random() % 4 == 0)
        db_.next = random() % 2 == 0 ? FaultyDb::Fault::kBefore : FaultyDb::Fault::kAfter;
      db_.gone = random() % 6 == 0;
      if (run->ledger->Flush().ok()) {
        least += unsynced;
        unsynced = 0;
      }
      (void)run->ledger->Post(Soon());
      if (random() % 8 == 0) disk_.FailAt(0, false);
      if (random() % 12 == 0) {
        Crash(std::move(run));
        run = Open({.record_rows = 3, .post_rows = 5, .segment_bytes = 400});
        unsynced = 0;  // Some of it may be there all the same.
      }
    }
    disk_.FailAt(0, false);
    db_.gone = false;
    db_.next = FaultyDb::Fault::kNone;
    ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
    least += unsynced;
    const Usage counted = Total(true) - before;
    EXPECT_GE(counted.requests, least) << "seed " << seed;
    EXPECT_LE(counted.requests, most) << "seed " << seed;
    EXPECT_EQ(counted.device_ns, 10 * counted.requests) << "seed " << seed;
    EXPECT_EQ(Total(false), Total(true)) << "seed " << seed;
    EXPECT_EQ(run->ledger->state().pending_records, 0U);
  }
}

TEST_P(LedgerTest, WithoutADatabaseTheJournalStopsAtItsBoundAndNothingIsLost) {
  auto run = Open({.max_pending_bytes = 2000});
  Account& account = run->ledger->AccountFor(Key("a"));
  db_.gone = true;
  bool full = false;
  for (int i = 0; i < 100; ++i) {
    account.Add({.requests = 1});
    const auto flushed = run->ledger->Flush();
    full = !flushed.ok();
    if (full) EXPECT_EQ(flushed.error().reason(), "usage_backlog");
    EXPECT_FALSE(run->ledger->Post(Soon()).ok());
  }
  EXPECT_TRUE(full);
  EXPECT_LE(run->ledger->state().pending_bytes, 2500U);
  db_.gone = false;
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
  EXPECT_EQ(Total(true).requests, 100);
}

TEST_P(LedgerTest, WithoutADiskTheDatabaseGetsItAllTheSame) {
  auto run = Open();
  disk_.FailAt(1, /*for_good=*/true);
  Account& account = run->ledger->AccountFor(Key("a"));
  for (int i = 0; i < 10; ++i) {
    account.Add({.requests = 1});
    EXPECT_FALSE(run->ledger->Flush().ok());
    EXPECT_TRUE(run->ledger->state().degraded());
    ASSERT_TRUE(run->ledger->Post(Soon()).ok());
    EXPECT_EQ(Total(true).requests, i + 1);
  }
}

TEST_P(LedgerTest, HealthAndTheWarningSayWhatCannotBeWritten) {
  auto run = Open();
  const auto health = [&run] { return run->health.Report().at(0); };
  EXPECT_TRUE(health().ok);
  EXPECT_EQ(run->ledger->Warning(), "");

  disk_.FailAt(1, /*for_good=*/true);
  run->ledger->AccountFor(Key("a")).Add({.requests = 1});
  EXPECT_FALSE(run->ledger->Flush().ok());
  EXPECT_FALSE(health().ok);
  EXPECT_NE(health().reason.find("the journal can't be written"), std::string::npos) << health().reason;
  EXPECT_TRUE(run->health.ready()) << "it serves all the same";

  db_.gone = true;
  EXPECT_FALSE(run->ledger->Post(Soon()).ok());
  EXPECT_NE(health().reason.find("wait for the database"), std::string::npos) << health().reason;
  EXPECT_EQ(run->ledger->Warning(), health().reason);

  disk_.FailAt(0, false);
  db_.gone = false;
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
  EXPECT_TRUE(health().ok);
  EXPECT_EQ(run->ledger->Warning(), "");
}

TEST_P(LedgerTest, TheThreadsDoItByThemselvesAndStopWritesTheRest) {
  auto run = Open({.flush = 10ms});
  run->ledger->Start();
  run->ledger->AccountFor(Key("a")).Add({.requests = 1});
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (Total(true).requests < 1 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_EQ(Total(true).requests, 1);
  run->ledger->AccountFor(Key("a")).Add({.requests = 5});
  run->ledger->Stop(20s);
  EXPECT_EQ(Total(true).requests, 6);
}

TEST_P(LedgerTest, WhatIsAddedWhileItIsWrittenIsCountedOnce) {
  auto run = Open();
  constexpr int kEach = 200'000;
  std::vector<std::thread> threads;
  std::atomic<int> busy = 2;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      Account& account = run->ledger->AccountFor(Key("a"));
      for (int i = 0; i < kEach; ++i) account.Add({.requests = 1, .device_ns = 2});
      --busy;
    });
  }
  while (busy > 0) {
    ASSERT_TRUE(run->ledger->Flush().ok());
    ASSERT_TRUE(run->ledger->Post(Soon()).ok());
  }
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
  EXPECT_EQ(Total(true), (Usage{.requests = 2 * kEach, .device_ns = 4 * kEach}));
}

TEST_P(LedgerTest, TooManyAccountsAreChargedTogether) {
  auto run = Open({.max_accounts = 4});
  for (int i = 0; i < 40; ++i) {
    UsageKey key = Key("t" + std::to_string(i % 20), "m" + std::to_string(i / 20));
    key.project = "p" + std::to_string(i);
    run->ledger->AccountFor(std::move(key)).Add({.requests = 1});
  }
  EXPECT_LE(run->ledger->state().accounts, 9U);
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
  EXPECT_EQ(Total(true).requests, 40);
}

TEST_P(LedgerTest, TextsThatNoDatabaseTakesHoldNothingUp) {
  auto run = Open();
  run->ledger->AccountFor(Key(std::string("a\0\xff", 3), std::string(5000, 'x'))).Add({.requests = 1});
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
  EXPECT_EQ(Total(true).requests, 1);
}

TEST_P(LedgerTest, OldHoursGoAndDaysStay) {
  auto run = Open();
  run->ledger->AccountFor(Key("a")).Add({.requests = 1});
  ASSERT_TRUE(run->ledger->Settle(Soon()).ok());
  UsageStore store(*database_->db);
  ASSERT_TRUE(store.Prune(INT64_MAX, 0, Soon()).ok());
  EXPECT_EQ(Total(true).requests, 0);
  EXPECT_EQ(Total(false).requests, 1);
}

INSTANTIATE_TEST_SUITE_P(On, LedgerTest, BothDatabases(), DatabaseName);

}  // namespace
}  // namespace mezzo::tenancy
