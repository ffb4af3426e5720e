#include <vector>

#include "mezzo/storage/internal/spill_state.h"

namespace mezzo::storage {
namespace {

constexpr std::size_t kRecoverPage = 1000;
constexpr std::size_t kBufferBytes = 256 << 10;

/// All that a move must carry over.
bool Same(const BlobFacts& a, const BlobFacts& b) {
  return a.size == b.size && a.sha256 == b.sha256 && a.content_type == b.content_type &&
         a.expires_at == b.expires_at;
}

bool IsMissing(const Error& error) { return error.code() == Code::kNotFound; }

template <typename T>
Error PrimaryFailure(internal::StoreGate::Attempt& attempt, Result<T> failed) {
  attempt.Fail(failed.error());
  return std::move(failed).error();
}

}  // namespace

Result<void> SpillBlobStore::State::RecoverAgain(TimePoint deadline) {
  {
    MutexLock lock(mu_);
    if (clock.Now() < next_scan_) return {};
  }
  return Recover(deadline);
}

Result<void> SpillBlobStore::State::Recover(TimePoint deadline) {
  {
    MutexLock lock(mu_);
    next_scan_ = AddSaturating(clock.Now(), options.rescan_interval);
  }
  std::string after;
  for (bool more = true; more;) {
    MEZZO_TRY(const BlobPage page, local.List(BlobPrefix::All(), after, kRecoverPage, deadline));
    for (const BlobEntry& entry : page.entries) {
      // What is removed between the list and here becomes an entry without an object, which the next move
      // drops.
      if (index.Contains(entry.key)) continue;
      const Result<BlobFacts> facts = local.Stat(entry.key, deadline);
      if (!facts.ok() && IsMissing(facts.error())) continue;
      const bool damaged = !facts.ok() && facts.error().code() == Code::kDataLoss;
      if (!facts.ok() && !damaged) return facts.error();
      if (damaged) metrics.damaged.Add();
      index.Add(
          entry.key,
          {.size = entry.size, .expires_at = damaged ? std::nullopt : facts->expires_at, .damaged = damaged},
          0);
    }
    more = page.more;
    if (!page.entries.empty()) after = page.entries.back().key.text();
  }
  return {};
}

Error SpillBlobStore::State::LocalFailure(const BlobKey& key, Error error) {
  if (error.code() == Code::kDataLoss) {
    index.MarkDamaged(key);
    metrics.damaged.Add();
  }
  return error;
}

Result<BlobFacts> SpillBlobStore::State::Upload(const BlobFacts& facts, internal::StoreGate::Attempt& attempt,
                                                TimePoint deadline) {
  auto reader = local.Read(facts.key, {}, deadline);
  if (!reader.ok()) return LocalFailure(facts.key, std::move(reader).error());
  BlobWriteOptions write{
      .content_type = facts.content_type, .expires_at = facts.expires_at, .stored_at = facts.stored_at};
  auto writer = primary.Write(facts.key, std::move(write), deadline);
  if (!writer.ok()) return PrimaryFailure(attempt, std::move(writer));
  std::vector<std::byte> buffer(kBufferBytes);
  while (true) {
    // The reader verifies at its end: damaged content never gets as far as the commit.
    auto got = (*reader)->Read(buffer, deadline);
    if (!got.ok()) return LocalFailure(facts.key, std::move(got).error());
    if (*got == 0) break;
    auto appended = (*writer)->Append(std::span(buffer).first(*got), deadline);
    if (!appended.ok()) return PrimaryFailure(attempt, std::move(appended));
  }
  auto committed = (*writer)->Commit(deadline);
  if (!committed.ok()) return PrimaryFailure(attempt, std::move(committed));
  auto there = primary.Stat(facts.key, deadline);
  if (!there.ok()) return PrimaryFailure(attempt, std::move(there));
  return there;
}

Result<void> SpillBlobStore::State::Move(const BlobKey& key, internal::StoreGate::Attempt& attempt,
                                         TimePoint deadline) {
  auto facts = local.Stat(key, deadline);
  if (!facts.ok() && IsMissing(facts.error())) {
    index.Erase(key);  // An earlier move deleted it, and the answer was lost.
    return {};
  }
  if (!facts.ok()) return LocalFailure(key, std::move(facts).error());
  // It may be there: a commit whose answer was lost, or a move that was killed before its end.
  auto there = primary.Stat(key, deadline);
  if (!there.ok() && !IsMissing(there.error())) return PrimaryFailure(attempt, std::move(there));
  if (!there.ok() || !Same(*facts, *there)) {
    there = Upload(*facts, attempt, deadline);
    if (!there.ok()) return std::move(there).error();
    if (!Same(*facts, *there)) {
      Error wrong = Error(Code::kDataLoss, "blob_corrupt",
                          "the primary store does not have what was moved to '" + key.text() + "'");
      attempt.Fail(wrong);
      return wrong;
    }
  }
  attempt.Succeed();
  MEZZO_TRY_VOID(local.Delete(key, deadline));
  index.Erase(key);
  return {};
}

BlobMove SpillBlobStore::MoveSome(std::size_t limit, TimePoint deadline) {
  BlobMove move;
  if (auto found = state_->RecoverAgain(deadline); !found.ok()) move.error = std::move(found).error();
  for (const BlobKey& key : state_->index.NextToMove(limit)) {
    const auto lease = state_->locks.TryAcquire(key);
    if (!lease || !state_->index.Contains(key)) continue;
    auto attempt = state_->gate.Enter(deadline);
    if (!attempt.ok()) {
      if (!move.error) move.error = std::move(attempt).error();
      break;
    }
    Result<void> moved = state_->Move(key, *attempt, deadline);
    if (moved.ok()) {
      ++move.moved;
      state_->metrics.moved.Add();
    } else {
      ++move.failed;
      state_->metrics.move_failures.Add();
      if (!move.error) move.error = std::move(moved).error();
    }
  }
  move.more = state_->index.objects() > 0;
  return move;
}

}  // namespace mezzo::storage
