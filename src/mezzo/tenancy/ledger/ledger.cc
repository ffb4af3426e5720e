#include "mezzo/tenancy/ledger/ledger.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::tenancy {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kMaxText = 256;
constexpr Duration kPruneGap = std::chrono::hours(1);
/// A host that comes back after longer than this with a journal in hand would be charged again.
constexpr Duration kEpochsKept = std::chrono::hours(24 * 400);

std::int64_t ToMicros(Duration duration) {
  return std::chrono::floor<std::chrono::microseconds>(duration).count();
}

}  // namespace

struct Ledger::Metrics {
  Metrics(observe::Registry& registry, const Ledger& ledger)
      : journal_failures(registry.NewCounter("mezzo_tenancy_usage_journal_failures_total",
                                             "Writes of the usage journal that failed.")),
        post_failures(registry.NewCounter("mezzo_tenancy_usage_post_failures_total",
                                          "Transactions of usage that failed.")),
        flush_seconds(registry.NewHistogram("mezzo_tenancy_usage_flush_seconds",
                                            "Time to put what was used into the journal.")),
        post_seconds(registry.NewHistogram("mezzo_tenancy_usage_post_seconds",
                                           "Time to put usage from the journal into the database.")) {
    callbacks.push_back(
        registry.NewCallbackGauge("mezzo_tenancy_usage_accounts", "Accounts that work is charged to.",
                                  [&ledger] { return static_cast<double>(ledger.state().accounts); }));
    callbacks.push_back(registry.NewCallbackGauge(
        "mezzo_tenancy_usage_pending_bytes", "Usage that is not in the database yet.",
        [&ledger] { return static_cast<double>(ledger.state().pending_bytes); }));
    callbacks.push_back(registry.NewCallbackGauge(
        "mezzo_tenancy_usage_pending_limit_bytes", "Usage that may wait for the database as records.",
        [limit = static_cast<double>(ledger.options_.max_pending_bytes)] { return limit; }));
    callbacks.push_back(registry.NewCallbackGauge(
        "mezzo_tenancy_usage_degraded", "1 while usage can't be written to the journal or the database.",
        [&ledger] { return ledger.state().degraded() ? 1.0 : 0.0; }));
  }
  observe::Counter& journal_failures;
  observe::Counter& post_failures;
  observe::Histogram& flush_seconds;
  observe::Histogram& post_seconds;
  std::vector<observe::Callback> callbacks;
};

Ledger::Ledger(Options options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      store_(ports_.db),
      journal_(ports_.disk, ports_.folder, NewUuidV7(ports_.clock.WallNow()), options.segment_bytes),
      metrics_(std::make_unique<Metrics>(ports_.registry, *this)) {}

Ledger::~Ledger() {
  Stop(Duration::zero());
  metrics_->callbacks.clear();  // They read what is destroyed before them.
}

Result<std::unique_ptr<Ledger>> Ledger::Open(Options options, Ports ports) {
  std::unique_ptr<Ledger> ledger(new Ledger(options, std::move(ports)));
  MEZZO_TRY_VOID(ledger->Recover());
  ledger->TellHealth();
  return ledger;
}

Result<void> Ledger::Recover() {
  ByteCount torn = 0;
  MEZZO_TRY(auto recovered, journal_.Recover(torn));
  if (!recovered.empty() || torn > 0) {
    ports_.log.Info("usage that an earlier run left is taken over",
                    {{"records", recovered.size()}, {"torn_bytes", torn}});
  }
  MutexLock lock(mu_);
  for (UsageJournal::Recovered& one : recovered) {
    const ByteCount bytes = EncodeRecord(one.epoch, one.record).size();
    pending_bytes_ += bytes;
    pending_.push_back(std::make_shared<Pending>(Pending{.epoch = std::move(one.epoch),
                                                         .record = std::move(one.record),
                                                         .bytes = bytes,
                                                         .segment = std::move(one.segment)}));
  }
  return {};
}

// --- Accounts

Account& Ledger::AccountFor(UsageKey key) {
  for (const auto member : kKeyMembers) {
    std::string& text = key.*member;
    if (text.size() > kMaxText) text.resize(kMaxText);
    // The database takes UTF-8 without NUL alone, and one bad text would hold up all.
    if (std::any_of(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; })) {
      text = Printable(text, kMaxText);
    }
  }
  MutexLock lock(accounts_mu_);
  const auto found = accounts_.find(key);
  if (found != accounts_.end()) return found->second->account;
  if (accounts_.size() >= options_.max_accounts) {
    key.project.clear();
    key.key_id.clear();
    const bool far_over = accounts_.size() >= 2 * options_.max_accounts;
    if (far_over && !accounts_.contains(key)) key = {.tenant = "(other)", .kind = std::move(key.kind)};
  }
  return Intern(std::move(key));
}

Account& Ledger::Intern(UsageKey key) {
  auto& slot = accounts_[key];
  if (slot == nullptr) slot = std::make_unique<Slot>(std::move(key));
  return slot->account;
}

// --- Into the journal

Result<void> Ledger::Collect() {
  {
    MutexLock lock(mu_);
    const bool unwritten = !pending_.empty() && pending_.back()->segment == nullptr;
    if (unwritten || pending_bytes_ >= options_.max_pending_bytes) {
      return ResourceExhausted("usage_backlog", "usage stays in memory: " + FormatBytes(pending_bytes_) +
                                                    " wait for the journal or the database");
    }
  }
  std::vector<Slot*> changed;
  {
    MutexLock lock(accounts_mu_);
    for (const auto& [key, slot] : accounts_) {
      if (slot->account.TakeChanged()) changed.push_back(slot.get());
    }
  }
  const std::int64_t now_us = ToMicros(ports_.clock.WallNow().time_since_epoch());
  std::vector<PendingRef> made;
  PendingRef record;
  for (Slot* slot : changed) {
    const Usage total = slot->account.Total();
    const Usage fresh = total - slot->recorded;
    if (fresh.empty()) continue;
    if (record == nullptr || record->record.rows.size() >= options_.record_rows) {
      record = std::make_shared<Pending>();
      record->epoch = journal_.epoch();
      record->record.sequence = ++last_sequence_;
      record->record.hour_us = StartOf(now_us, kHourUs);
      made.push_back(record);
    }
    record->record.rows.push_back({.key = slot->account.key(), .usage = fresh});
    slot->recorded = total;
  }
  for (const PendingRef& one : made) one->bytes = EncodeRecord(one->epoch, one->record).size();
  MutexLock lock(mu_);
  for (PendingRef& one : made) {
    pending_bytes_ += one->bytes;
    pending_.push_back(std::move(one));
  }
  return {};
}

Result<void> Ledger::WritePending() {
  std::vector<PendingRef> unwritten;
  {
    MutexLock lock(mu_);
    for (auto it = pending_.rbegin(); it != pending_.rend() && (*it)->segment == nullptr; ++it)
      unwritten.push_back(*it);
  }
  std::reverse(unwritten.begin(), unwritten.end());
  for (const PendingRef& one : unwritten) {
    auto segment = journal_.Append(one->record);
    if (!segment.ok()) return std::move(segment).error();
    bool posted = false;
    {
      MutexLock lock(mu_);
      one->segment = *segment;
      posted = one->posted;
    }
    if (posted) journal_.Settle(*segment);  // The database was faster.
  }
  return {};
}

Result<void> Ledger::Flush() {
  MutexLock flush_lock(flush_mu_);
  const TimePoint started = ports_.clock.Now();
  // First what has its number already: the order of numbers is that of the journal.
  auto written = WritePending();
  Result<void> collected;
  if (written.ok()) {
    collected = Collect();
    written = WritePending();
  }
  metrics_->flush_seconds.Observe(ports_.clock.Now() - started);
  if (!written.ok()) metrics_->journal_failures.Add();
  bool turned = false;
  {
    MutexLock lock(mu_);
    turned = journal_ok_ != written.ok();
    journal_ok_ = written.ok();
    wake_.NotifyAll();
  }
  if (turned && !written.ok())
    ports_.log.Error("usage can't be written to the journal: a crash would lose it",
                     {{"error", written.error().ToString()}});
  if (turned && written.ok()) ports_.log.Info("usage is written to the journal again");
  if (turned) TellHealth();
  if (!written.ok()) return written;
  return collected;
}

// --- Into the database

std::vector<Ledger::PendingRef> Ledger::NextToPost() const {
  MutexLock lock(mu_);
  std::vector<PendingRef> next;
  std::size_t rows = 0;
  for (const PendingRef& one : pending_) {
    if (!next.empty() && (one->epoch != next.front()->epoch || rows >= options_.post_rows)) break;
    rows += one->record.rows.size();
    next.push_back(one);
  }
  return next;
}

void Ledger::TakePosted(const std::vector<PendingRef>& posted) {
  std::vector<UsageJournal::SegmentRef> settled;
  {
    MutexLock lock(mu_);
    for (const PendingRef& one : posted) {
      one->posted = true;
      if (one->segment != nullptr) settled.push_back(one->segment);
      pending_bytes_ -= one->bytes;
      pending_.pop_front();
    }
  }
  for (const auto& segment : settled) journal_.Settle(segment);
}

Result<void> Ledger::Post(TimePoint deadline) {
  MutexLock post_lock(post_mu_);
  Result<void> done;
  while (done.ok()) {
    const std::vector<PendingRef> next = NextToPost();
    if (next.empty()) break;
    std::vector<const UsageRecord*> records;
    records.reserve(next.size());
    for (const PendingRef& one : next) records.push_back(&one->record);
    const TimePoint started = ports_.clock.Now();
    done = store_.Post(next.front()->epoch, records, ports_.clock.WallNow(), deadline);
    metrics_->post_seconds.Observe(ports_.clock.Now() - started);
    if (done.ok()) TakePosted(next);
  }
  if (!done.ok()) metrics_->post_failures.Add();
  bool turned = false;
  {
    MutexLock lock(mu_);
    turned = database_ok_ != done.ok();
    database_ok_ = done.ok();
  }
  if (turned && !done.ok())
    ports_.log.Warn("usage waits for the database", {{"error", done.error().ToString()}});
  if (turned && done.ok()) ports_.log.Info("usage is written to the database again");
  if (turned) TellHealth();
  return done;
}

Result<void> Ledger::Settle(TimePoint deadline) {
  const auto flushed = Flush();
  MEZZO_TRY_VOID(Post(deadline));
  // A journal that was full has room again.
  if (!flushed.ok() && flushed.error().reason() == "usage_backlog") {
    MEZZO_TRY_VOID(Flush());
    return Post(deadline);
  }
  return flushed;
}

void Ledger::Prune() {
  const std::int64_t now_us = ToMicros(ports_.clock.WallNow().time_since_epoch());
  const auto pruned =
      store_.Prune(now_us - ToMicros(options_.hourly_retention), now_us - ToMicros(kEpochsKept),
                   AddSaturating(ports_.clock.Now(), options_.database_timeout));
  if (!pruned.ok()) ports_.log.Warn("old usage was not removed", {{"error", pruned.error().ToString()}});
}

std::string Ledger::Warning() const {
  const State now = state();
  std::string text;
  if (!now.journal_ok) text = "usage of this host is in its memory alone: the journal can't be written";
  if (!now.database_ok) {
    text += text.empty() ? "" : "; ";
    text += FormatBytes(now.pending_bytes) + " of usage of this host wait for the database";
  }
  return text;
}

void Ledger::TellHealth() {
  if (ports_.health == nullptr) return;
  const std::string warning = Warning();
  if (warning.empty()) {
    ports_.health->Ok();
  } else {
    ports_.health->Fail(warning);
  }
}

// --- Threads

void Ledger::Start() {
  flusher_ = std::thread([this] { FlushLoop(); });
  poster_ = std::thread([this] { PostLoop(); });
}

void Ledger::FlushLoop() {
  runtime::SetThreadName("usage-journal");
  while (true) {
    (void)Flush();  // It says itself what is wrong, and the next one makes up for it.
    const auto until = SteadyClock::now() + options_.flush;
    MutexLock lock(mu_);
    while (!stopping_ && SteadyClock::now() < until) wake_.WaitUntil(mu_, until);
    if (stopping_) return;
  }
}

void Ledger::PostLoop() {
  runtime::SetThreadName("usage-post");
  auto next_prune = SteadyClock::now();
  while (true) {
    {
      MutexLock lock(mu_);
      const auto until = SteadyClock::now() + (database_ok_ ? options_.flush : options_.post_pause);
      while (!stopping_ && SteadyClock::now() < until && (pending_.empty() || !database_ok_))
        wake_.WaitUntil(mu_, until);
      if (stopping_) return;
      if (pending_.empty() && SteadyClock::now() < next_prune) continue;
    }
    (void)Post(AddSaturating(ports_.clock.Now(), options_.database_timeout));
    if (SteadyClock::now() < next_prune) continue;
    next_prune = SteadyClock::now() + kPruneGap;
    Prune();
  }
}

void Ledger::Stop(Duration grace) {
  {
    MutexLock lock(mu_);
    if (stopping_) return;
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (flusher_.joinable()) flusher_.join();
  if (poster_.joinable()) poster_.join();
  (void)Flush();
  if (grace > Duration::zero()) (void)Post(AddSaturating(ports_.clock.Now(), grace));
}

Ledger::State Ledger::state() const {
  State state;
  {
    MutexLock lock(accounts_mu_);
    state.accounts = accounts_.size();
  }
  MutexLock lock(mu_);
  state.pending_records = pending_.size();
  state.pending_bytes = pending_bytes_;
  state.journal_ok = journal_ok_;
  state.database_ok = database_ok_;
  return state;
}

}  // namespace mezzo::tenancy
