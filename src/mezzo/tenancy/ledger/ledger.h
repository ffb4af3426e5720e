#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/health.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/tenancy/ledger/journal.h"
#include "mezzo/tenancy/ledger/usage.h"
#include "mezzo/tenancy/ledger/usage_store.h"

namespace mezzo::tenancy {

/// Charges work: accounts in memory that count up, written five times a second to a journal on this host and
/// from there into the database (docs/adr/0034-usage-ledger.md).
///
/// A crash loses what was added since the last write of the journal. What is in the journal is counted once,
/// however often the process dies between. While the database can't be reached the journal grows to a bound;
/// from then on the accounts, which always have everything, are written in fewer and larger records.
///
/// Two threads of its own. Thread-safe.
class Ledger {
 public:
  struct Options {
    Duration flush = std::chrono::milliseconds(200);  ///< What a crash may lose.
    Duration post_pause = std::chrono::seconds(1);    ///< After the database has failed.
    Duration database_timeout = std::chrono::seconds(10);
    std::size_t max_accounts = 100'000;
    std::size_t record_rows = 500;                            ///< In one record, at most.
    std::size_t post_rows = 2000;                             ///< In one transaction, about.
    ByteCount max_pending_bytes = ByteCount{64} << 20;        ///< In the journal and not in the database.
    ByteCount segment_bytes = ByteCount{1} << 20;             ///< Of one file of the journal.
    Duration hourly_retention = std::chrono::hours(24 * 90);  ///< Days are kept for good.
  };
  /// All outlive the ledger.
  struct Ports {
    storage::SqlDb& db;
    JournalDisk& disk;
    std::string folder;  ///< Of the journal; this ledger's alone.
    const Clock& clock;
    observe::Registry& registry;
    observe::Logger& log;
    observe::HealthCheck* health = nullptr;  ///< Told of every change of State::degraded(); null: nobody.
  };

  /// Reads what earlier runs have left in the journal. Fails with "usage_journal" when it can't.
  static Result<std::unique_ptr<Ledger>> Open(Options options, Ports ports);
  /// Stops without patience.
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// The account of `key`; the same for the same key, and there as long as the ledger. Texts of the key that
  /// are too long are cut. When there are as many accounts as may be, work is charged without project and
  /// API key, and in the end to the tenant "(other)".
  Account& AccountFor(UsageKey key) EXCLUDES(accounts_mu_);

  void Start();
  /// Writes everything once more; what the database has not taken after `grace` is left to the next start.
  void Stop(Duration grace) EXCLUDES(mu_);

  /// One step of the first thread: what has been added since is in the journal when it succeeds. Fails with
  /// "usage_journal", and then comes again with the next step, and with "usage_backlog" (kResourceExhausted)
  /// while the journal may not grow.
  Result<void> Flush() EXCLUDES(mu_, accounts_mu_, flush_mu_);
  /// One step of the second: everything that is pending is in the database when it succeeds.
  Result<void> Post(TimePoint deadline) EXCLUDES(mu_, post_mu_);
  /// Both: reports then have everything that was added before. For whoever has just used something.
  Result<void> Settle(TimePoint deadline);

  struct State {
    std::size_t accounts = 0;
    std::size_t pending_records = 0;
    ByteCount pending_bytes = 0;
    bool journal_ok = true;
    bool database_ok = true;
    [[nodiscard]] bool degraded() const { return !journal_ok || !database_ok; }
  };
  [[nodiscard]] State state() const EXCLUDES(mu_, accounts_mu_);
  /// What reports lack or a crash would lose just now, for people; empty: nothing.
  [[nodiscard]] std::string Warning() const EXCLUDES(mu_, accounts_mu_);

 private:
  /// A record on its way; shared by both threads.
  struct Pending {
    std::string epoch;
    UsageRecord record;
    ByteCount bytes = 0;
    UsageJournal::SegmentRef segment;  ///< Null: not in the journal yet.
    bool posted = false;
  };
  using PendingRef = std::shared_ptr<Pending>;
  struct Slot {
    explicit Slot(UsageKey key) : account(std::move(key)) {}
    Account account;
    Usage recorded;  // Flush() only: what has a record.
  };
  struct Metrics;

  Ledger(Options options, Ports ports);
  Result<void> Recover();
  /// Makes records of what has been added, as far as there is room.
  Result<void> Collect() EXCLUDES(mu_, accounts_mu_) REQUIRES(flush_mu_);
  Result<void> WritePending() EXCLUDES(mu_) REQUIRES(flush_mu_);
  [[nodiscard]] std::vector<PendingRef> NextToPost() const EXCLUDES(mu_);
  void TakePosted(const std::vector<PendingRef>& posted) EXCLUDES(mu_);
  void TellHealth() EXCLUDES(mu_, accounts_mu_);
  void FlushLoop() EXCLUDES(mu_);
  void PostLoop() EXCLUDES(mu_);
  void Prune();
  Account& Intern(UsageKey key) REQUIRES(accounts_mu_);

  const Options options_;
  const Ports ports_;
  UsageStore store_;
  UsageJournal journal_;
  std::unique_ptr<Metrics> metrics_;

  mutable Mutex accounts_mu_;
  std::map<UsageKey, std::unique_ptr<Slot>> accounts_ GUARDED_BY(accounts_mu_);

  Mutex flush_mu_;  // One Flush() at a time; before mu_ and accounts_mu_.
  std::int64_t last_sequence_ GUARDED_BY(flush_mu_) = 0;
  Mutex post_mu_;  // One Post() at a time; before mu_.

  mutable Mutex mu_;
  CondVar wake_;
  std::deque<PendingRef> pending_ GUARDED_BY(mu_);
  ByteCount pending_bytes_ GUARDED_BY(mu_) = 0;
  bool journal_ok_ GUARDED_BY(mu_) = true;
  bool database_ok_ GUARDED_BY(mu_) = true;
  bool stopping_ GUARDED_BY(mu_) = false;

  std::thread flusher_;  // Last: they use everything above.
  std::thread poster_;
};

}  // namespace mezzo::tenancy
