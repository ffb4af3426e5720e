#include "mezzo/storage/spill_blob_store.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/storage/blob_checks.h"
#include "mezzo/storage/internal/spill_state.h"

namespace mezzo::storage {

using internal::IsStoreFailure;
using internal::StoreGate;

/// Feeds both stores. A side that fails is given up; the write goes on with the other one.
class SpillBlobStore::Writer final : public BlobWriter {
 public:
  Writer(State& state, BlobKey key, BlobWriteOptions options)
      : state_(state), key_(std::move(key)), options_(std::move(options)) {}
  ~Writer() override { GiveUpLocal(); }

  /// Opens both sides. Fails when the fault is the caller's or neither side takes the object.
  Result<void> Open(TimePoint deadline) {
    // A key that is kept locally stays there until it is moved: the primary would get a second truth.
    if (!state_.index.Contains(key_)) OpenPrimary(ForPrimary(deadline));
    if (refusal_) return *refusal_;
    auto local = state_.local.Write(key_, options_, deadline);
    if (local.ok()) {
      local_ = *std::move(local);
    } else {
      NoteFailure(std::move(local).error());
    }
    return CheckAlive();
  }

  Result<void> Append(BytesView bytes, TimePoint deadline) override {
    if (std::exchange(closed_, true)) return BlobWriterClosed();
    if (primary_) {
      if (auto appended = primary_->Append(bytes, ForPrimary(deadline)); !appended.ok()) {
        GiveUpPrimary(std::move(appended).error());
      }
    }
    if (refusal_) return *refusal_;
    if (local_) AppendLocal(bytes, deadline);
    MEZZO_TRY_VOID(CheckAlive());
    closed_ = false;
    return {};
  }

  Result<BlobFacts> Commit(TimePoint deadline) override {
    if (std::exchange(closed_, true)) return BlobWriterClosed();
    MEZZO_TRY(const internal::KeyLocks::Lease lease, state_.locks.Acquire(key_, state_.clock, deadline));
    if (state_.index.Contains(key_)) primary_ = nullptr;  // Kept by another writer since Open().
    if (primary_) {
      auto committed = primary_->Commit(ForPrimary(deadline));
      if (committed.ok()) {
        attempt_->Succeed();
        return committed;
      }
      GiveUpPrimary(std::move(committed).error());
    }
    if (refusal_) return *refusal_;
    return CommitLocal(deadline);
  }

 private:
  /// The primary has the time up to the local store's share, which is half of what is left at most.
  [[nodiscard]] TimePoint ForPrimary(TimePoint deadline) const {
    const Duration left = std::max<Duration>(Duration::zero(), deadline - state_.clock.Now());
    return deadline - std::min<Duration>(state_.options.local_reserve, left / 2);
  }

  void OpenPrimary(TimePoint deadline) {
    auto attempt = state_.gate.Enter(deadline);
    if (!attempt.ok()) return NoteFailure(std::move(attempt).error());
    attempt_.emplace(*std::move(attempt));
    auto primary = state_.primary.Write(key_, options_, deadline);
    if (!primary.ok()) return GiveUpPrimary(std::move(primary).error());
    primary_ = *std::move(primary);
  }

  void GiveUpPrimary(Error error) {
    primary_ = nullptr;
    attempt_->Fail(error);
    if (!IsStoreFailure(error)) {
      refusal_ = std::move(error);
      return;
    }
    NoteFailure(std::move(error));
  }

  void AppendLocal(BytesView bytes, TimePoint deadline) {
    if (!state_.index.Reserve(bytes.size())) {
      GiveUpLocal();
      state_.metrics.full.Add();
      return NoteFailure(Full());
    }
    reserved_ += bytes.size();
    auto appended = local_->Append(bytes, deadline);
    if (appended.ok()) return;
    GiveUpLocal();
    NoteFailure(std::move(appended).error());
  }

  void GiveUpLocal() {
    local_ = nullptr;
    state_.index.Release(std::exchange(reserved_, 0));
  }

  Result<BlobFacts> CommitLocal(TimePoint deadline) {
    MEZZO_TRY_VOID(CheckAlive());
    if (!state_.index.HasRoomFor(key_)) {
      state_.metrics.full.Add();
      return Full();
    }
    MEZZO_TRY(BlobFacts facts, local_->Commit(deadline));
    state_.index.Add(key_, {.size = facts.size, .expires_at = facts.expires_at}, std::exchange(reserved_, 0));
    state_.metrics.kept.Add();
    return facts;
  }

  [[nodiscard]] Error Full() const {
    return ResourceExhausted("blob_spill_full",
                             "object '" + key_.text() +
                                 "' can't be kept locally: the objects that wait for the store "
                                 "have reached their limit");
  }
  /// The last failure of a side is what the caller hears of when both have failed.
  void NoteFailure(Error error) { failure_ = std::move(error); }
  [[nodiscard]] Result<void> CheckAlive() const {
    if (primary_ || local_) return {};
    return *failure_;
  }

  State& state_;
  const BlobKey key_;
  const BlobWriteOptions options_;
  std::optional<StoreGate::Attempt> attempt_;  ///< There whenever primary_ is.
  std::unique_ptr<BlobWriter> primary_;
  std::unique_ptr<BlobWriter> local_;
  ByteCount reserved_ = 0;
  std::optional<Error> failure_;
  std::optional<Error> refusal_;  ///< The caller's fault: the other store would refuse it too.
  bool closed_ = false;
};

SpillBlobStore::SpillBlobStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
SpillBlobStore::~SpillBlobStore() = default;

Result<std::unique_ptr<SpillBlobStore>> SpillBlobStore::Create(Options options, BlobStore& primary,
                                                               BlobStore& local, const Clock& clock,
                                                               observe::Registry& registry,
                                                               TimePoint deadline) {
  auto state = std::make_unique<State>(options, primary, local, clock, registry);
  MEZZO_TRY_VOID(state->Recover(deadline));
  return std::unique_ptr<SpillBlobStore>(new SpillBlobStore(std::move(state)));  // A private constructor.
}

Result<std::unique_ptr<BlobWriter>> SpillBlobStore::Write(const BlobKey& key, BlobWriteOptions options,
                                                          TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock, deadline));
  MEZZO_TRY_VOID(CheckContentType(options.content_type));
  if (!options.stored_at) options.stored_at = state_->clock.WallNow();  // The same on both sides.
  auto writer = std::make_unique<Writer>(*state_, key, std::move(options));
  MEZZO_TRY_VOID(writer->Open(deadline));
  return std::unique_ptr<BlobWriter>(std::move(writer));
}

Result<std::unique_ptr<BlobReader>> SpillBlobStore::Read(const BlobKey& key, ByteRange range,
                                                         TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock, deadline));
  if (state_->index.Contains(key)) {
    auto kept = state_->local.Read(key, range, deadline);
    // Missing: it was moved just now.
    if (kept.ok() || kept.error().code() != Code::kNotFound) return kept;
  }
  MEZZO_TRY(StoreGate::Attempt attempt, state_->gate.Enter(deadline));
  auto reader = state_->primary.Read(key, range, deadline);
  attempt.ReportResult(reader);
  return reader;
}

Result<BlobFacts> SpillBlobStore::Stat(const BlobKey& key, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock, deadline));
  if (state_->index.Contains(key)) {
    auto kept = state_->local.Stat(key, deadline);
    if (kept.ok() || kept.error().code() != Code::kNotFound) return kept;
  }
  MEZZO_TRY(StoreGate::Attempt attempt, state_->gate.Enter(deadline));
  auto facts = state_->primary.Stat(key, deadline);
  attempt.ReportResult(facts);
  return facts;
}

Result<void> SpillBlobStore::Delete(const BlobKey& key, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock, deadline));
  MEZZO_TRY(const internal::KeyLocks::Lease lease, state_->locks.Acquire(key, state_->clock, deadline));
  MEZZO_TRY(StoreGate::Attempt attempt, state_->gate.Enter(deadline));
  // The primary first: were it to fail after the local object is gone, an older one there would come to
  // light.
  const auto deleted = state_->primary.Delete(key, deadline);
  attempt.ReportResult(deleted);
  MEZZO_TRY_VOID(deleted);
  if (!state_->index.Contains(key)) return {};
  MEZZO_TRY_VOID(state_->local.Delete(key, deadline));
  state_->index.Erase(key);
  return {};
}

Result<BlobPage> SpillBlobStore::List(const BlobPrefix& prefix, const std::string& after, std::size_t limit,
                                      TimePoint deadline) {
  MEZZO_TRY_VOID(CheckListArguments(after, limit));
  MEZZO_TRY_VOID(CheckDeadline(state_->clock, deadline));
  // Kept objects first: one that is moved meanwhile is then seen twice, and merged, rather than not at all.
  const std::vector<BlobEntry> kept = state_->index.List(prefix, after, limit + 1);
  MEZZO_TRY(StoreGate::Attempt attempt, state_->gate.Enter(deadline));
  auto page = state_->primary.List(prefix, after, limit, deadline);
  attempt.ReportResult(page);
  MEZZO_TRY_VOID(page);

  BlobPage merged{.entries = {}, .more = page->more};
  auto there = page->entries.begin();
  for (const BlobEntry& entry : kept) {
    while (there != page->entries.end() && there->key < entry.key) merged.entries.push_back(*there++);
    // Behind a page that has a next one the order of the two stores is not known.
    if (there == page->entries.end() && page->more) break;
    if (there != page->entries.end() && there->key == entry.key) ++there;
    merged.entries.push_back(entry);
  }
  merged.entries.insert(merged.entries.end(), there, page->entries.end());
  if (merged.entries.size() > limit) {
    merged.entries.erase(merged.entries.begin() + static_cast<std::ptrdiff_t>(limit), merged.entries.end());
    merged.more = true;
  }
  return merged;
}

Result<std::string> SpillBlobStore::SignUrl(const BlobKey& key, const BlobUrlOptions& options) {
  return state_->index.Contains(key) ? state_->local.SignUrl(key, options)
                                     : state_->primary.SignUrl(key, options);
}

Result<void> SpillBlobStore::Archive(const BlobKey& key, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock, deadline));
  MEZZO_TRY(const internal::KeyLocks::Lease lease, state_->locks.Acquire(key, state_->clock, deadline));
  if (state_->index.Contains(key)) {
    return Unavailable("blob_not_moved", "object '" + key.text() + "' has not been moved to its store yet");
  }
  MEZZO_TRY(StoreGate::Attempt attempt, state_->gate.Enter(deadline));
  const auto archived = state_->primary.Archive(key, deadline);
  attempt.ReportResult(archived);
  return archived;
}

Result<BlobSweep> SpillBlobStore::SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock, deadline));
  BlobSweep sweep;
  for (const BlobKey& key : state_->index.Expired(now, limit)) {
    const auto lease = state_->locks.TryAcquire(key);
    if (!lease) continue;  // In use: it is found again.
    const auto facts = state_->local.Stat(key, deadline);
    if (!facts.ok() || !facts->expires_at || *facts->expires_at > now) continue;
    MEZZO_TRY_VOID(state_->local.Delete(key, deadline));
    state_->index.Erase(key);
    ++sweep.removed;
  }
  if (sweep.removed == limit) {
    sweep.more = true;
    return sweep;
  }
  MEZZO_TRY(StoreGate::Attempt attempt, state_->gate.Enter(deadline));
  auto swept = state_->primary.SweepExpired(now, limit - sweep.removed, deadline);
  attempt.ReportResult(swept);
  MEZZO_TRY_VOID(swept);
  return BlobSweep{.removed = sweep.removed + swept->removed, .more = swept->more};
}

ByteCount SpillBlobStore::local_bytes() const { return state_->index.bytes(); }
std::size_t SpillBlobStore::local_objects() const { return state_->index.objects(); }
runtime::Breaker::State SpillBlobStore::breaker_state() const { return state_->gate.state(); }

}  // namespace mezzo::storage
