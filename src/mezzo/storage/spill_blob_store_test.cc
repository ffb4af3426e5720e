#include "mezzo/storage/spill_blob_store.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/blob_store_suite.h"
#include "mezzo/storage/testing/faulty_blob_store.h"
#include "mezzo/storage/testing/memory_blob_store.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::storage {
namespace {

using runtime::Breaker;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::BlobFaults;
using testing::FaultyBlobStore;
using testing::MemoryBlobStore;

class SpillBlobStoreTest : public ::testing::Test {
 protected:
  SpillBlobStoreTest() { Restart(); }

  /// As after the process was killed: the stores keep what they have.
  void Restart(SpillBlobStore::Options options = {}) {
    store_ = nullptr;
    registry_ = std::make_unique<observe::Registry>();
    auto store = SpillBlobStore::Create(options, primary_, local_, clock_, *registry_, Soon());
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    store_ = *std::move(store);
  }
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + seconds(60); }

  Result<BlobFacts> Put(const BlobKey& key, std::string_view content, BlobWriteOptions options = {}) {
    return WriteBlob(*store_, key, AsBytes(content), std::move(options), Soon());
  }
  static std::string Content(BlobStore& store, const BlobKey& key) {
    auto content = ReadBlob(store, key, 1 << 20, kNever);
    return content.ok() ? *std::move(content) : "[" + content.error().reason() + "]";
  }
  std::string Get(const BlobKey& key) { return Content(*store_, key); }
  /// The primary fails until Heal().
  void Break() { primary_faults_.FailFrom(1); }
  void Heal() {
    primary_faults_.FailNone();
    clock_.Advance(minutes(2));  // Longer than the breaker's longest pause.
  }
  /// Calls MoveSome() until nothing is left to do.
  std::size_t MoveAll() {
    std::size_t moved = 0;
    for (int i = 0; i < 100; ++i) {
      const BlobMove move = store_->MoveSome(10, Soon());
      moved += move.moved;
      if (!move.more || move.moved == 0) break;
    }
    return moved;
  }
  static BlobKey Key(const std::string& name) { return *BlobKey::Parse("acme/job/1/" + name); }

  mezzo::testing::ManualClock clock_;
  MemoryBlobStore primary_memory_{clock_, 1 << 20};
  MemoryBlobStore local_memory_{clock_};
  BlobFaults primary_faults_;
  BlobFaults local_faults_;
  FaultyBlobStore primary_{primary_memory_, primary_faults_};
  FaultyBlobStore local_{local_memory_, local_faults_};
  std::unique_ptr<observe::Registry> registry_;
  std::unique_ptr<SpillBlobStore> store_;
  const BlobKey key_ = Key("object");
};

TEST_F(SpillBlobStoreTest, AHealthyPrimaryTakesEverything) {
  ASSERT_TRUE(Put(key_, "content").ok());
  EXPECT_EQ(Content(primary_memory_, key_), "content");
  EXPECT_EQ(Content(local_memory_, key_), "[blob_missing]");
  EXPECT_EQ(store_->local_objects(), 0U);
  EXPECT_EQ(store_->local_bytes(), 0U);
}

TEST_F(SpillBlobStoreTest, AWriteSucceedsAtWhateverCallThePrimaryFails) {
  for (std::size_t n = 1; n <= 4; ++n) {
    const BlobKey key = Key("n" + std::to_string(n));
    clock_.Advance(minutes(2));  // Whatever pause the failure before has begun.
    primary_faults_.FailOne(n);
    const auto facts = Put(key, "content");
    ASSERT_TRUE(facts.ok()) << n << facts.error().ToString();
    EXPECT_EQ(primary_faults_.hit(), n <= 3) << "open, append, commit";
    primary_faults_.FailNone();
    EXPECT_EQ(facts->sha256, Sha256Hex("content"));
    EXPECT_EQ(Get(key), "content");
    EXPECT_EQ(store_->Stat(key, Soon())->size, 7U);
  }
  EXPECT_EQ(store_->local_objects(), 3U);
  EXPECT_EQ(store_->local_bytes(), 21U);
}

TEST_F(SpillBlobStoreTest, KeptObjectsMoveWithAllTheirFacts) {
  Break();
  const WallTime expires = clock_.WallNow() + hours(100);
  const auto kept = Put(key_, "content", {.content_type = "video/mp4", .expires_at = expires});
  ASSERT_TRUE(kept.ok());
  Heal();

  const BlobMove move = store_->MoveSome(10, Soon());

  EXPECT_EQ(move.moved, 1U);
  EXPECT_FALSE(move.more);
  const auto facts = primary_memory_.Stat(key_, Soon());
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->content_type, "video/mp4");
  EXPECT_EQ(facts->expires_at, expires);
  EXPECT_EQ(facts->stored_at, kept->stored_at);
  EXPECT_EQ(Content(local_memory_, key_), "[blob_missing]");
  EXPECT_EQ(Get(key_), "content");
  EXPECT_EQ(store_->local_bytes(), 0U);
}

TEST_F(SpillBlobStoreTest, ABrokenPrimaryIsLeftAloneUntilItsPauseIsOver) {
  Break();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Put(Key("n" + std::to_string(i)), "x").ok());
  ASSERT_EQ(store_->breaker_state(), Breaker::State::kOpen);
  const std::size_t calls = primary_faults_.calls();

  ASSERT_TRUE(Put(key_, "content").ok());
  EXPECT_EQ(Get(key_), "content");
  const BlobMove move = store_->MoveSome(10, Soon());
  EXPECT_EQ(move.moved, 0U);
  EXPECT_TRUE(move.more);
  const auto missing = store_->Stat(Key("elsewhere"), Soon());
  EXPECT_EQ(missing.error().reason(), "blob_store_unavailable");
  EXPECT_TRUE(missing.error().retry_after());
  EXPECT_EQ(primary_faults_.calls(), calls) << "none of these asked the primary";

  clock_.Advance(seconds(2));
  EXPECT_EQ(store_->MoveSome(10, Soon()).failed, 1U) << "one probe, which fails";
  EXPECT_EQ(primary_faults_.calls(), calls + 1);
  EXPECT_EQ(store_->breaker_state(), Breaker::State::kOpen);

  Heal();
  EXPECT_EQ(MoveAll(), 4U);
  EXPECT_EQ(store_->breaker_state(), Breaker::State::kClosed);
}

TEST_F(SpillBlobStoreTest, MissingObjectsDoNotOpenTheBreaker) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Get(key_), "[blob_missing]");
  EXPECT_EQ(store_->breaker_state(), Breaker::State::kClosed);
}

TEST_F(SpillBlobStoreTest, CallersWithoutTimeDoNotOpenTheBreaker) {
  primary_faults_.SetError(DeadlineExceeded("blob_timeout", "slow"));
  Break();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(store_->Stat(key_, clock_.Now() + milliseconds(100)).error().reason(), "blob_timeout");
  }
  EXPECT_EQ(store_->breaker_state(), Breaker::State::kClosed);
}

TEST_F(SpillBlobStoreTest, WhatTheCallerDidWrongIsNotKept) {
  auto writer = store_->Write(key_, {}, Soon());
  const auto appended = (*writer)->Append(AsBytes(std::string((1 << 20) + 1, 'x')), Soon());
  ASSERT_FALSE(appended.ok());
  EXPECT_EQ(appended.error().reason(), "blob_too_large");
  EXPECT_EQ((*writer)->Commit(Soon()).error().reason(), "blob_writer_closed");
  writer->reset();
  EXPECT_EQ(store_->local_bytes(), 0U);
  EXPECT_EQ(store_->breaker_state(), Breaker::State::kClosed);
}

TEST_F(SpillBlobStoreTest, RefusedCredentialsLoseNothing) {
  primary_faults_.SetError(PermissionDenied("blob_access_denied", "expired"));
  Break();
  ASSERT_TRUE(Put(key_, "content").ok());
  EXPECT_EQ(Get(key_), "content");
}

TEST_F(SpillBlobStoreTest, AHungPrimaryLeavesTimeForTheLocalStore) {
  // Every failing call takes until the primary's share of the 60 s is over.
  const TimePoint deadline = Soon();
  primary_faults_.OnFault([this, deadline] { clock_.SetTo(std::max(clock_.Now(), deadline - seconds(5))); });
  primary_faults_.SetError(DeadlineExceeded("blob_timeout", "hung"));
  primary_faults_.FailOne(3);
  const auto facts = WriteBlob(*store_, key_, AsBytes("content"), {}, deadline);
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(Get(key_), "content");
}

TEST_F(SpillBlobStoreTest, AKeptKeyWrittenAgainStaysLocalAndTheNewestMoves) {
  ASSERT_TRUE(Put(key_, "oldest").ok());
  primary_faults_.FailOne(1);
  ASSERT_TRUE(Put(key_, "old").ok());
  ASSERT_TRUE(Put(key_, "new").ok())
      << "the primary would take it, but the mover would overwrite it with 'old'";
  EXPECT_EQ(Get(key_), "new");
  EXPECT_EQ(Content(primary_memory_, key_), "oldest");
  EXPECT_EQ(store_->local_bytes(), 3U);

  EXPECT_EQ(MoveAll(), 1U);
  EXPECT_EQ(Content(primary_memory_, key_), "new");
  EXPECT_EQ(Get(key_), "new");
}

TEST_F(SpillBlobStoreTest, AWriteThatBeganBeforeTheKeyWasKeptGoesLocalToo) {
  auto early = store_->Write(key_, {}, Soon());
  ASSERT_TRUE((*early)->Append(AsBytes("newest"), Soon()).ok());
  primary_faults_.FailOne(1);
  ASSERT_TRUE(Put(key_, "kept").ok());

  ASSERT_TRUE((*early)->Commit(Soon()).ok());

  EXPECT_EQ(Get(key_), "newest");
  EXPECT_EQ(Content(primary_memory_, key_), "[blob_missing]");
  EXPECT_EQ(MoveAll(), 1U);
  EXPECT_EQ(Content(primary_memory_, key_), "newest");
}

TEST_F(SpillBlobStoreTest, WhatThePrimaryHasAlreadyIsNotSentAgain) {
  primary_faults_.FailOne(3, BlobFaults::When::kAfter);  // The commit's answer is lost.
  ASSERT_TRUE(Put(key_, "content").ok());
  ASSERT_EQ(store_->local_objects(), 1U);
  primary_faults_.FailNone();

  EXPECT_EQ(MoveAll(), 1U);

  EXPECT_EQ(primary_faults_.calls(), 1U) << "one look at the facts";
  EXPECT_EQ(store_->local_objects(), 0U);
  EXPECT_EQ(Get(key_), "content");
}

/// Takes every object, but has something else afterwards.
class TamperingStore final : public FaultyBlobStore {
 public:
  using FaultyBlobStore::FaultyBlobStore;
  Result<BlobFacts> Stat(const BlobKey& key, TimePoint deadline) override {
    MEZZO_TRY(BlobFacts facts, FaultyBlobStore::Stat(key, deadline));
    facts.sha256 = Sha256Hex("something else");
    return facts;
  }
};

TEST_F(SpillBlobStoreTest, ALocalObjectIsKeptWhenThePrimaryHasSomethingElse) {
  TamperingStore tampering(primary_memory_, primary_faults_);
  observe::Registry registry;
  const auto store = *SpillBlobStore::Create({}, tampering, local_, clock_, registry, Soon());
  primary_faults_.FailOne(1);
  ASSERT_TRUE(WriteBlob(*store, key_, AsBytes("content"), {}, Soon()).ok());

  const BlobMove move = store->MoveSome(10, Soon());

  EXPECT_EQ(move.failed, 1U);
  EXPECT_EQ(move.error->reason(), "blob_corrupt");
  EXPECT_EQ(Content(local_memory_, key_), "content");
  EXPECT_EQ(Content(*store, key_), "content");
}

TEST_F(SpillBlobStoreTest, DamagedContentNeverReachesThePrimaryAndBlocksNobody) {
  Break();
  ASSERT_TRUE(Put(Key("a"), "damaged").ok());
  ASSERT_TRUE(Put(Key("b"), "whole").ok());
  local_memory_.Corrupt(Key("a"));
  Heal();

  const BlobMove move = store_->MoveSome(10, Soon());

  EXPECT_EQ(move.moved, 1U);
  EXPECT_EQ(move.failed, 1U);
  EXPECT_EQ(move.error->reason(), "blob_corrupt");
  EXPECT_EQ(Content(primary_memory_, Key("a")), "[blob_missing]");
  EXPECT_EQ(Content(primary_memory_, Key("b")), "whole");
  EXPECT_EQ(store_->breaker_state(), Breaker::State::kClosed) << "not the primary's fault";
  EXPECT_EQ(store_->MoveSome(10, Soon()).failed, 0U) << "not tried again";
  EXPECT_EQ(store_->local_objects(), 1U);
}

TEST_F(SpillBlobStoreTest, AnObjectThatThePrimaryRefusesDoesNotKeepTheOthersFromMoving) {
  Break();
  ASSERT_TRUE(Put(Key("a"), std::string((1 << 20) + 1, 'x')).ok()) << "the local store has no such limit";
  for (const char* name : {"b", "c", "d"}) ASSERT_TRUE(Put(Key(name), "x").ok());
  Heal();

  for (int round = 0; round < 6; ++round) (void)store_->MoveSome(1, Soon());

  EXPECT_EQ(store_->local_objects(), 1U);
  EXPECT_EQ(store_->MoveSome(10, Soon()).error->reason(), "blob_too_large");
  EXPECT_EQ(store_->breaker_state(), Breaker::State::kClosed);
}

TEST_F(SpillBlobStoreTest, WithoutRoomAWriteHasThePrimaryAlone) {
  Restart({.max_local_bytes = 10});
  ASSERT_TRUE(Put(Key("big"), "more than ten bytes").ok());
  EXPECT_EQ(Content(primary_memory_, Key("big")), "more than ten bytes");
  EXPECT_EQ(store_->local_bytes(), 0U);

  Break();
  const auto refused = Put(Key("big2"), "more than ten bytes");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(refused.error().reason(), "blob_spill_full");
  EXPECT_EQ(store_->local_bytes(), 0U);
  EXPECT_TRUE(Put(Key("small"), "ten bytes!").ok());
  EXPECT_EQ(Put(Key("one"), "1").error().reason(), "blob_spill_full");
  Heal();
  EXPECT_EQ(MoveAll(), 1U);
  Break();
  EXPECT_TRUE(Put(Key("one"), "1").ok()) << "there is room again";
}

TEST_F(SpillBlobStoreTest, TheNumberOfKeptObjectsIsBounded) {
  Restart({.max_local_objects = 2});
  Break();
  ASSERT_TRUE(Put(Key("a"), "1").ok());
  ASSERT_TRUE(Put(Key("b"), "1").ok());
  EXPECT_EQ(Put(Key("c"), "1").error().reason(), "blob_spill_full");
  EXPECT_TRUE(Put(Key("b"), "2").ok()) << "it replaces one of the two";
  EXPECT_EQ(store_->local_bytes(), 2U);
}

TEST_F(SpillBlobStoreTest, ABrokenLocalStoreDoesNotDisturbTheWrite) {
  local_faults_.FailFrom(1);
  ASSERT_TRUE(Put(key_, "content").ok());
  EXPECT_EQ(Content(primary_memory_, key_), "content");
  Break();
  const auto failed = Put(key_, "new");
  EXPECT_EQ(failed.error().reason(), "blob_store_unavailable");
  EXPECT_EQ(Content(primary_memory_, key_), "content");
}

TEST_F(SpillBlobStoreTest, DeletingAKeptObjectDeletesBothCopies) {
  ASSERT_TRUE(Put(key_, "old").ok());
  primary_faults_.FailOne(1);
  ASSERT_TRUE(Put(key_, "new").ok());

  ASSERT_TRUE(store_->Delete(key_, Soon()).ok());

  EXPECT_EQ(Get(key_), "[blob_missing]");
  EXPECT_EQ(store_->local_bytes(), 0U);
  EXPECT_EQ(Content(local_memory_, key_), "[blob_missing]");
  EXPECT_EQ(Content(primary_memory_, key_), "[blob_missing]");
}

TEST_F(SpillBlobStoreTest, DeletingWithoutThePrimaryFailsAndChangesNothing) {
  Break();
  ASSERT_TRUE(Put(key_, "content").ok());
  EXPECT_EQ(store_->Delete(key_, Soon()).error().reason(), "blob_store_unavailable");
  EXPECT_EQ(Get(key_), "content");
}

TEST_F(SpillBlobStoreTest, ListsBothStoresAsOne) {
  ASSERT_TRUE(Put(Key("b"), "22").ok());
  ASSERT_TRUE(Put(Key("d"), "4").ok());
  ASSERT_TRUE(Put(Key("e"), "5").ok());
  for (const char* name : {"a", "b", "c", "f"}) {
    primary_faults_.FailOne(1);
    ASSERT_TRUE(Put(Key(name), "1").ok());
    Heal();
  }
  for (const std::size_t limit : {1, 2, 3, 4, 6, 100}) {
    std::string names;
    std::string after;
    for (bool more = true; more;) {
      const auto page = store_->List(BlobPrefix::All(), after, limit, Soon());
      ASSERT_TRUE(page.ok()) << page.error().ToString();
      EXPECT_LE(page->entries.size(), limit);
      for (const BlobEntry& entry : page->entries)
        names += std::string(entry.key.name()) + std::to_string(entry.size);
      more = page->more;
      if (!page->entries.empty()) after = page->entries.back().key.text();
    }
    EXPECT_EQ(names, "a1b1c1d1e1f1") << limit;
  }
}

TEST_F(SpillBlobStoreTest, AListWithoutThePrimaryIsAnErrorAndNotAHalf) {
  ASSERT_TRUE(Put(Key("a"), "1").ok());
  Break();
  ASSERT_TRUE(Put(Key("b"), "1").ok());
  EXPECT_FALSE(store_->List(BlobPrefix::All(), "", 10, Soon()).ok());
}

TEST_F(SpillBlobStoreTest, ArchivesAfterTheMoveOnly) {
  primary_faults_.FailOne(1);
  ASSERT_TRUE(Put(key_, "content").ok());
  EXPECT_EQ(store_->Archive(key_, Soon()).error().reason(), "blob_not_moved");
  (void)MoveAll();
  EXPECT_TRUE(store_->Archive(key_, Soon()).ok());
  EXPECT_TRUE(store_->Stat(key_, Soon())->archived);
}

TEST_F(SpillBlobStoreTest, SweepsBothStoresWithinOneLimit) {
  const WallTime expires = clock_.WallNow() + hours(1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Put(Key("p" + std::to_string(i)), "x", {.expires_at = expires}).ok());
    primary_faults_.FailOne(1);
    ASSERT_TRUE(Put(Key("l" + std::to_string(i)), "x", {.expires_at = expires}).ok());
    Heal();
  }
  EXPECT_EQ(store_->SweepExpired(expires - seconds(1), 10, Soon())->removed, 0U);
  const auto first = store_->SweepExpired(expires, 4, Soon());
  EXPECT_EQ(first->removed, 4U);
  EXPECT_TRUE(first->more);
  EXPECT_EQ(store_->local_objects(), 0U);
  EXPECT_EQ(store_->SweepExpired(expires, 4, Soon())->removed, 2U);
}

TEST_F(SpillBlobStoreTest, ARestartFindsWhatIsKept) {
  Break();
  const WallTime expires = clock_.WallNow() + hours(1);
  ASSERT_TRUE(Put(Key("a"), "one").ok());
  ASSERT_TRUE(Put(Key("b"), "four", {.expires_at = expires}).ok());
  Restart();
  EXPECT_EQ(store_->local_objects(), 2U);
  EXPECT_EQ(store_->local_bytes(), 7U);
  EXPECT_EQ(Get(Key("a")), "one");
  Heal();
  EXPECT_EQ(store_->SweepExpired(expires, 10, Soon())->removed, 1U);
  EXPECT_EQ(MoveAll(), 1U);
}

TEST_F(SpillBlobStoreTest, WhatAProcessThatWasReplacedHasKeptIsFoundAndMoved) {
  observe::Registry registry;
  auto replaced = *SpillBlobStore::Create({}, primary_, local_, clock_, registry, Soon());
  primary_faults_.FailOne(1);
  ASSERT_TRUE(WriteBlob(*replaced, key_, AsBytes("content"), {}, Soon()).ok());
  replaced = nullptr;
  EXPECT_EQ(store_->MoveSome(10, Soon()).moved, 0U);
  EXPECT_EQ(Get(key_), "[blob_missing]");

  clock_.Advance(minutes(1));

  EXPECT_EQ(store_->MoveSome(10, Soon()).moved, 1U);
  EXPECT_EQ(Get(key_), "content");
  EXPECT_EQ(store_->local_bytes(), 0U);
}

TEST_F(SpillBlobStoreTest, AWriterThatDiesGivesItsRoomBack) {
  {
    auto writer = store_->Write(key_, {}, Soon());
    ASSERT_TRUE((*writer)->Append(AsBytes("12345"), Soon()).ok());
    EXPECT_EQ(store_->local_bytes(), 5U);
  }
  EXPECT_EQ(store_->local_bytes(), 0U);
}

TEST_F(SpillBlobStoreTest, ADeadProbeLetsTheNextOneThrough) {
  Break();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Put(Key("n" + std::to_string(i)), "x").ok());
  Heal();
  {
    auto probe = store_->Write(key_, {}, Soon());
  }
  EXPECT_EQ(MoveAll(), 3U);
}

/// The state that every scenario below begins with and what is done in it.
class SpillFaultTest : public SpillBlobStoreTest {
 protected:
  /// "old" in the primary; then an outage at which "new" is kept.
  void KeepNew() {
    ASSERT_TRUE(WriteBlob(primary_memory_, key_, AsBytes("old"), {}, Soon()).ok());
    Break();
    ASSERT_TRUE(Put(key_, "new").ok());
    Heal();
  }
  void Forget() {
    ASSERT_TRUE(primary_memory_.Delete(key_, Soon()).ok());
    ASSERT_TRUE(local_memory_.Delete(key_, Soon()).ok());
    clock_.Advance(minutes(2));
  }
  /// After everything is healthy again: the object is in the primary, and only there.
  void ExpectSettles(const std::string& content, const std::string& where) {
    primary_faults_.FailNone();
    local_faults_.FailNone();
    clock_.Advance(minutes(2));
    EXPECT_EQ(Get(key_), content) << where;
    (void)MoveAll();
    EXPECT_EQ(store_->local_objects(), 0U) << where;
    EXPECT_EQ(store_->local_bytes(), 0U) << where;
    EXPECT_EQ(Content(primary_memory_, key_), content) << where;
    EXPECT_EQ(Content(local_memory_, key_), "[blob_missing]") << where;
    EXPECT_EQ(Get(key_), content) << where;
  }
  static constexpr BlobFaults::When kWhens[] = {BlobFaults::When::kBefore, BlobFaults::When::kAfter};
};

TEST_F(SpillFaultTest, AMoveThatFailsAtAnyCallOfThePrimaryIsMadeUpFor) {
  for (const auto when : kWhens) {
    for (std::size_t n = 1, untouched = 0; untouched == 0; ++n) {
      ASSERT_LT(n, 50U);
      Restart();
      KeepNew();
      primary_faults_.FailOne(n, when);
      const BlobMove move = store_->MoveSome(10, Soon());
      untouched = primary_faults_.hit() ? 0 : 1;
      primary_faults_.FailNone();
      const std::string where = "call " + std::to_string(n) + (when == kWhens[0] ? " before" : " after");
      EXPECT_EQ(move.moved, untouched) << where;
      EXPECT_EQ(Get(key_), "new") << where;
      ExpectSettles("new", where);
      Forget();
    }
  }
}

TEST_F(SpillFaultTest, AMoveThatFailsAtAnyCallOfTheLocalStoreIsMadeUpFor) {
  for (const auto when : kWhens) {
    for (std::size_t n = 1, untouched = 0; untouched == 0; ++n) {
      ASSERT_LT(n, 50U);
      Restart();
      KeepNew();
      local_faults_.FailOne(n, when);
      const BlobMove move = store_->MoveSome(10, Soon());
      untouched = local_faults_.hit() ? 0 : 1;
      local_faults_.FailNone();
      const std::string where = "call " + std::to_string(n) + (when == kWhens[0] ? " before" : " after");
      EXPECT_EQ(move.moved == 1 && !move.error, untouched == 1) << where;
      EXPECT_EQ(store_->breaker_state(), Breaker::State::kClosed) << where;
      ExpectSettles("new", where);
      Forget();
    }
  }
}

TEST_F(SpillFaultTest, AnOutageThatBeginsAtAnyCallLosesNoWrite) {
  for (const auto when : kWhens) {
    for (std::size_t n = 1, untouched = 0; untouched == 0; ++n) {
      ASSERT_LT(n, 50U);
      Restart();
      ASSERT_TRUE(Put(key_, "old").ok());
      primary_faults_.FailFrom(n, when);
      const std::string where = "outage from call " + std::to_string(n);
      const auto written = Put(key_, "new");
      untouched = primary_faults_.hit() ? 0 : 1;
      EXPECT_TRUE(written.ok()) << where;
      if (untouched == 0) EXPECT_EQ(Get(key_), "new") << where;
      ExpectSettles("new", where);
      Forget();
    }
  }
}

TEST_F(SpillFaultTest, AfterAKillAtAnyCallWhatWasAcknowledgedIsThere) {
  // Both stores die at the same call, which is one of a write into an outage, of the move after it, or of a
  // second write.
  for (const auto when : kWhens) {
    for (std::size_t n = 1, untouched = 0; untouched == 0; ++n) {
      ASSERT_LT(n, 100U);
      BlobFaults kill;
      FaultyBlobStore primary(primary_, kill);
      FaultyBlobStore local(local_, kill);
      observe::Registry registry;
      auto dying = *SpillBlobStore::Create({}, primary, local, clock_, registry, Soon());
      kill.FailFrom(n, when);
      const std::string where = "killed at call " + std::to_string(n);
      std::string acknowledged = "[blob_missing]";
      std::string under_way = "first";  // May have been done without having been acknowledged.

      primary_faults_.FailFrom(1);
      if (WriteBlob(*dying, key_, AsBytes("first"), {}, Soon()).ok()) acknowledged = "first";
      primary_faults_.FailNone();
      clock_.Advance(minutes(2));
      (void)dying->MoveSome(10, Soon());
      if (acknowledged == "first") under_way = "second";
      if (WriteBlob(*dying, key_, AsBytes("second"), {}, Soon()).ok()) acknowledged = "second";

      untouched = kill.hit() ? 0 : 1;
      dying = nullptr;
      Restart();
      const std::string found = Get(key_);
      EXPECT_TRUE(found == acknowledged || found == under_way)
          << where << ": found " << found << ", acknowledged was " << acknowledged;
      if (found != "[blob_missing]") ExpectSettles(found, where);
      Forget();
    }
  }
}

TEST(SpillBlobStoreThreads, AFlappingPrimaryAndAMoverLoseNothing) {
  const RealClock clock;
  MemoryBlobStore primary_memory(clock);
  MemoryBlobStore local_memory(clock);
  BlobFaults faults;
  FaultyBlobStore primary(primary_memory, faults);
  observe::Registry registry;
  SpillBlobStore::Options options;
  options.breaker.first_cooldown = milliseconds(1);
  options.breaker.max_cooldown = milliseconds(2);
  const auto store = *SpillBlobStore::Create(options, primary, local_memory, clock, registry, kNever);
  const auto soon = [&] { return clock.Now() + seconds(60); };

  std::atomic<bool> stop{false};  // Written once by this thread; no partner.
  std::thread flapper([&] {
    while (!stop) {
      faults.FailFrom(1);
      std::this_thread::sleep_for(milliseconds(2));
      faults.FailNone();
      std::this_thread::sleep_for(milliseconds(2));
    }
  });
  std::thread mover([&] {
    while (!stop) (void)store->MoveSome(5, soon());
  });
  std::vector<std::thread> writers;
  for (int t = 0; t < 3; ++t) {
    writers.emplace_back([&, t] {
      for (int i = 0; i < 60; ++i) {
        // Twenty keys of its own, each written three times.
        const BlobKey key = *BlobKey::Parse("t/job" + std::to_string(t) + "/1/n" + std::to_string(i % 20));
        const std::string content = std::to_string(i);
        EXPECT_TRUE(WriteBlob(*store, key, AsBytes(content), {}, soon()).ok());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  stop = true;
  flapper.join();
  mover.join();
  faults.FailNone();
  for (const TimePoint end = soon(); store->local_objects() > 0 && clock.Now() < end;)
    (void)store->MoveSome(5, soon());

  EXPECT_EQ(store->local_bytes(), 0U);
  for (int t = 0; t < 3; ++t) {
    for (int i = 0; i < 20; ++i) {
      const BlobKey key = *BlobKey::Parse("t/job" + std::to_string(t) + "/1/n" + std::to_string(i));
      EXPECT_EQ(*ReadBlob(primary_memory, key, 100, soon()), std::to_string(40 + i));
    }
  }
}

}  // namespace

namespace testing {

/// The decorator over two healthy stores behaves like a store.
class SpillHarness {
 public:
  BlobStore& store() { return *store_; }
  std::string Fetch(const std::string& url) {
    auto content = ReadBlob(primary_, *BlobKey::Parse(url.substr(url.find(':') + 1)), 1 << 20, kNever);
    return content.ok() ? *std::move(content) : "";
  }

 private:
  const RealClock clock_;
  MemoryBlobStore primary_{clock_};
  MemoryBlobStore local_{clock_};
  observe::Registry registry_;
  const std::unique_ptr<SpillBlobStore> store_ =
      *SpillBlobStore::Create({}, primary_, local_, clock_, registry_, kNever);
};

MEZZO_BLOB_STORE_SUITE(Spill, SpillHarness);

}  // namespace testing
}  // namespace mezzo::storage
