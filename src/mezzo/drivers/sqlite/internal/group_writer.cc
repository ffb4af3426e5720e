#include "mezzo/drivers/sqlite/internal/group_writer.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/drivers/sqlite/internal/sqlite_session.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::drivers::internal {

using Control = SqliteConnection::Control;

GroupWriter::GroupWriter(std::unique_ptr<SqliteConnection> connection, Options options, const Clock& clock,
                         std::function<void(std::vector<storage::Notification>)> committed)
    : connection_(std::move(connection)),
      options_(options),
      clock_(clock),
      committed_(std::move(committed)),
      thread_([this] { Work(); }) {}

GroupWriter::~GroupWriter() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  arrived_.NotifyOne();
  thread_.join();
}

Result<void> GroupWriter::Transact(const storage::SqlDb::Work& work, TimePoint deadline) {
  MEZZO_CHECK(std::this_thread::get_id() != thread_.get_id());
  auto pending = std::make_shared<Pending>();
  pending->work = &work;
  pending->deadline = deadline;

  MutexLock lock(mu_);
  queue_.push_back(pending);
  if (queue_.size() == 1) arrived_.NotifyOne();
  while (pending->stage != Stage::kDone) {
    if (pending->overdue) {
      pending->changed.Wait(mu_);
    } else if (pending->changed.WaitUntil(mu_, deadline)) {
      continue;
    }
    switch (pending->stage) {
      case Stage::kQueued:
        std::erase(queue_, pending);
        return DeadlineExceeded("sql_timeout", "SQLite: the deadline passed in the queue of the writer");
      case Stage::kRunning:
        pending->overdue = true;  // The work uses what its caller holds. SQLite ends it now.
        break;
      case Stage::kWaiting:
        pending->work = nullptr;  // Should it have to run again, it can't.
        return Unavailable("sql_commit_unknown", "SQLite: the deadline passed during the commit");
      case Stage::kDone:
        break;
    }
  }
  return std::move(pending->result);
}

std::size_t GroupWriter::queued() const {
  MutexLock lock(mu_);
  return queue_.size();
}

bool GroupWriter::WaitForWork() {
  MutexLock lock(mu_);
  while (queue_.empty() && !stopping_) arrived_.Wait(mu_);
  return !queue_.empty();
}

void GroupWriter::Work() {
  runtime::SetThreadName("sqlite-writer");
  while (WaitForWork()) {
    connection_->SetDeadline(kNever);
    if (auto begun = connection_->Do(Control::kBegin); begun.ok()) {
      RunGroup();
    } else {
      FailQueued(begun.error());
    }
  }
}

GroupWriter::PendingPtr GroupWriter::TakeNext(const Group& group) {
  MutexLock lock(mu_);
  if (queue_.empty() || (queue_.front()->alone && !group.empty())) return nullptr;
  PendingPtr next = std::move(queue_.front());
  queue_.pop_front();
  next->stage = Stage::kRunning;
  return next;
}

void GroupWriter::RunGroup() {
  Group group;
  const TimePoint closes = clock_.Now() + options_.max_group_time;
  while (group.size() < options_.max_group) {
    const PendingPtr next = TakeNext(group);
    if (next == nullptr) break;
    const Ran ran = RunOne(next);
    if (ran == Ran::kTransactionLost) return PutBack(group);
    if (ran == Ran::kKept) group.push_back(next);
    if (next->alone || clock_.Now() >= closes) break;
  }
  if (group.empty()) return RollBack();
  Commit(group);
}

GroupWriter::Ran GroupWriter::RunOne(const PendingPtr& pending) {
  pending->notifications.clear();
  Result<void> result = connection_->Do(Control::kSavepoint);
  if (result.ok()) {
    SqliteSession session(*connection_, &pending->notifications);
    connection_->SetDeadline(pending->deadline);
    result = session.failure().Outcome((*pending->work)(session));
    connection_->SetDeadline(kNever);
  }
  if (!connection_->in_transaction()) {
    if (result.ok()) result = Internal("sql_failed", "SQLite: a statement ended the transaction");
    Finish({&pending, 1}, result);
    return Ran::kTransactionLost;
  }
  if (result.ok()) result = connection_->Do(Control::kRelease);
  if (result.ok()) {
    MutexLock lock(mu_);
    pending->stage = Stage::kWaiting;
    if (pending->overdue) pending->changed.NotifyOne();
    return Ran::kKept;
  }
  const bool undone = connection_->Do(Control::kRollbackTo).ok() && connection_->Do(Control::kRelease).ok();
  if (!undone) RollBack();
  Finish({&pending, 1}, result);
  return undone ? Ran::kRolledBack : Ran::kTransactionLost;
}

void GroupWriter::Commit(const Group& group) {
  const Result<void> committed = connection_->Do(Control::kCommit);
  if (!committed.ok()) {
    RollBack();
    if (committed.error().reason() == "sql_constraint" && group.size() > 1) {
      for (const PendingPtr& pending : group) pending->alone = true;
      return PutBack(group);
    }
  } else {
    commits_.fetch_add(1, std::memory_order_relaxed);
    std::vector<storage::Notification> notifications;
    for (const PendingPtr& pending : group) {
      std::move(pending->notifications.begin(), pending->notifications.end(),
                std::back_inserter(notifications));
    }
    committed_(std::move(notifications));
  }
  Finish(group, committed);
}

void GroupWriter::PutBack(const Group& group) {
  MutexLock lock(mu_);
  for (auto it = group.rbegin(); it != group.rend(); ++it) {
    if ((*it)->work == nullptr) continue;  // Its caller has left.
    (*it)->stage = Stage::kQueued;
    queue_.push_front(*it);
  }
}

void GroupWriter::Finish(std::span<const PendingPtr> all, const Result<void>& result) {
  {
    MutexLock lock(mu_);
    for (const PendingPtr& pending : all) {
      pending->result = result;
      pending->stage = Stage::kDone;
    }
  }
  for (const PendingPtr& pending : all) pending->changed.NotifyOne();
}

void GroupWriter::FailQueued(const Error& error) {
  std::deque<PendingPtr> queued;
  {
    MutexLock lock(mu_);
    queued.swap(queue_);
  }
  const Group failed(queued.begin(), queued.end());
  Finish(failed, error);
}

void GroupWriter::RollBack() {
  if (!connection_->in_transaction()) return;
  const Result<void> rolled_back = connection_->Do(Control::kRollback);
  MEZZO_CHECK(rolled_back.ok() || !connection_->in_transaction());
}

}  // namespace mezzo::drivers::internal
