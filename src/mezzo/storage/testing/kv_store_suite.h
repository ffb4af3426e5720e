#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/storage/kv_store.h"
#include "mezzo/storage/testing/sql_db_fixture.h"

namespace mezzo::storage::testing {

/// What every KvStore must do. A driver's test instantiates it, in namespace mezzo::storage::testing, with a
/// harness that every test makes anew:
///
///     struct MyHarness {
///       KvStore& store();           // Empty.
///       KvStore& another();         // The same store, as another host would see it.
///       void Pass(Duration time);   // Lets time pass for the store.
///       void Lose();                // Empties it.
///     };
///     MEZZO_KV_STORE_SUITE(My, MyHarness);
template <typename Harness>
class KvStoreSuite : public ::testing::Test {
 protected:
  using Values = std::vector<std::optional<std::string>>;
  static constexpr Duration kLong = std::chrono::minutes(1);
  static constexpr Duration kShort = std::chrono::milliseconds(60);

  KvStore& store() { return harness_.store(); }
  KvStore& another() { return harness_.another(); }
  void Pass(Duration time) { harness_.Pass(time); }
  void Lose() { harness_.Lose(); }
  static runtime::Context Ctx() { return runtime::Context(); }

  Values Get(KvStore& store, std::vector<std::string> keys) {
    auto got = runtime::SyncWait(store.Get(Ctx(), std::move(keys)));
    EXPECT_EQ(Reason(got), "");
    return got.ok() ? *std::move(got) : Values();
  }
  std::string Set(std::string key, std::string value, Duration lifetime = kLong) {
    return Reason(runtime::SyncWait(store().Set(Ctx(), std::move(key), std::move(value), lifetime)));
  }
  KvStore::Lease Acquire(KvStore& store, std::string key, std::string owner, Duration lifetime = kLong) {
    const auto lease = runtime::SyncWait(store.Acquire(Ctx(), std::move(key), std::move(owner), lifetime));
    EXPECT_EQ(Reason(lease), "");
    return lease.ok() ? *lease : KvStore::Lease();
  }
  bool SetAndRelease(KvStore& store, std::string value, std::uint64_t fence) {
    const auto done =
        runtime::SyncWait(store.SetAndRelease(Ctx(), "v", std::move(value), kLong, "lease", fence));
    EXPECT_EQ(Reason(done), "");
    return done.ok() && *done;
  }
  bool Release(KvStore& store, std::uint64_t fence) {
    const auto done = runtime::SyncWait(store.Release(Ctx(), "lease", fence));
    EXPECT_EQ(Reason(done), "");
    return done.ok() && *done;
  }

 private:
  Harness harness_;
};
TYPED_TEST_SUITE_P(KvStoreSuite);

TYPED_TEST_P(KvStoreSuite, GetsWhatWasSetInTheOrderOfTheKeys) {
  std::string bytes = "with\r\n";
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(this->Set("a", "1"), "");
  EXPECT_EQ(this->Set("b", bytes), "");
  EXPECT_EQ(this->Set("c", ""), "");

  EXPECT_THAT(this->Get(this->another(), {"b", "missing", "a", "c", "a"}),
              ::testing::ElementsAre(bytes, std::nullopt, "1", "", "1"));
  EXPECT_THAT(this->Get(this->store(), {}), ::testing::IsEmpty());
}

TYPED_TEST_P(KvStoreSuite, TheNewestValueAndLifetimeCount) {
  EXPECT_EQ(this->Set("a", "old", this->kShort), "");
  EXPECT_EQ(this->Set("a", "new"), "");
  EXPECT_EQ(this->Set("b", "new"), "");
  EXPECT_EQ(this->Set("b", "newest", this->kShort), "");
  EXPECT_THAT(this->Get(this->store(), {"a", "b"}), ::testing::ElementsAre("new", "newest"));

  this->Pass(2 * this->kShort);

  EXPECT_THAT(this->Get(this->store(), {"a", "b"}), ::testing::ElementsAre("new", std::nullopt));
}

TYPED_TEST_P(KvStoreSuite, LifetimesOutOfRangeCountAsTheNearest) {
  EXPECT_EQ(this->Set("short", "1", Duration(-5)), "");
  EXPECT_EQ(this->Set("long", "1", Duration::max()), "");
  this->Pass(std::chrono::milliseconds(5));
  EXPECT_THAT(this->Get(this->store(), {"short", "long"}), ::testing::ElementsAre(std::nullopt, "1"));
}

TYPED_TEST_P(KvStoreSuite, EraseTellsHowManyThereWere) {
  EXPECT_EQ(this->Set("a", "1"), "");
  EXPECT_EQ(this->Set("b", "1"), "");
  EXPECT_EQ(*runtime::SyncWait(this->store().Erase(this->Ctx(), {"a", "none", "b"})), 2);
  EXPECT_EQ(*runtime::SyncWait(this->store().Erase(this->Ctx(), {"a"})), 0);
  EXPECT_EQ(*runtime::SyncWait(this->store().Erase(this->Ctx(), {})), 0);
  EXPECT_THAT(this->Get(this->store(), {"a", "b"}), ::testing::ElementsAre(std::nullopt, std::nullopt));
}

TYPED_TEST_P(KvStoreSuite, OneHolderAtATimeAndItsOwnerKeepsTheLease) {
  const auto first = this->Acquire(this->store(), "lease", "host-1");
  EXPECT_TRUE(first.held);
  EXPECT_GT(first.fence, 0U);
  EXPECT_EQ(first.left, this->kLong);

  const auto second = this->Acquire(this->another(), "lease", "host-2");
  EXPECT_FALSE(second.held);
  EXPECT_EQ(second.fence, first.fence);
  EXPECT_GT(second.left, Duration::zero());
  EXPECT_LE(second.left, this->kLong);

  const auto kept = this->Acquire(this->store(), "lease", "host-1");
  EXPECT_TRUE(kept.held);
  EXPECT_EQ(kept.fence, first.fence);
}

TYPED_TEST_P(KvStoreSuite, KeepingALeaseMakesItLonger) {
  this->Acquire(this->store(), "lease", "host-1", this->kShort);
  this->Acquire(this->store(), "lease", "host-1", this->kLong);
  this->Pass(2 * this->kShort);
  EXPECT_FALSE(this->Acquire(this->another(), "lease", "host-2").held);
}

TYPED_TEST_P(KvStoreSuite, FencesGrowWithEveryLeaseHoweverTheLastOneEnded) {
  const auto expires = this->Acquire(this->store(), "lease", "host-1", this->kShort);
  this->Pass(2 * this->kShort);
  const auto released = this->Acquire(this->another(), "lease", "host-2");
  EXPECT_TRUE(released.held);
  EXPECT_GT(released.fence, expires.fence);
  EXPECT_TRUE(this->Release(this->another(), released.fence));
  const auto lost = this->Acquire(this->store(), "lease", "host-1");
  EXPECT_GT(lost.fence, released.fence);
  this->Lose();
  const auto last = this->Acquire(this->another(), "lease", "host-2");
  EXPECT_TRUE(last.held);
  EXPECT_GT(last.fence, lost.fence);
  EXPECT_FALSE(this->Release(this->store(), lost.fence)) << "somebody else holds it now";
}

TYPED_TEST_P(KvStoreSuite, OnlyTheHoldersFenceSetsAndReleases) {
  const auto lease = this->Acquire(this->store(), "lease", "host-1");
  EXPECT_FALSE(this->SetAndRelease(this->another(), "wrong", lease.fence + 1));
  EXPECT_FALSE(this->SetAndRelease(this->another(), "wrong", lease.fence - 1));
  EXPECT_FALSE(this->SetAndRelease(this->another(), "wrong", UINT64_MAX));
  EXPECT_THAT(this->Get(this->store(), {"v"}), ::testing::ElementsAre(std::nullopt));
  EXPECT_FALSE(this->Acquire(this->another(), "lease", "host-2").held);

  EXPECT_TRUE(this->SetAndRelease(this->store(), "right", lease.fence));
  EXPECT_THAT(this->Get(this->another(), {"v"}), ::testing::ElementsAre("right"));
  EXPECT_FALSE(this->SetAndRelease(this->store(), "again", lease.fence)) << "it was given back";
  EXPECT_TRUE(this->Acquire(this->another(), "lease", "host-2").held);
}

TYPED_TEST_P(KvStoreSuite, AnEndedLeaseSetsNothing) {
  const auto lease = this->Acquire(this->store(), "lease", "host-1", this->kShort);
  this->Pass(2 * this->kShort);
  EXPECT_FALSE(this->SetAndRelease(this->store(), "late", lease.fence));
  EXPECT_FALSE(this->Release(this->store(), lease.fence));
  EXPECT_THAT(this->Get(this->store(), {"v"}), ::testing::ElementsAre(std::nullopt));
}

TYPED_TEST_P(KvStoreSuite, OfManyWhoAskAtOnceOneHolds) {
  for (int round = 0; round < 20; ++round) {
    std::vector<KvStore::Lease> leases(4);
    std::vector<std::thread> hosts;
    for (std::size_t i = 0; i < leases.size(); ++i) {
      hosts.emplace_back([&, i] {
        leases[i] =
            this->Acquire(i % 2 == 0 ? this->store() : this->another(), "lease", "host-" + std::to_string(i));
      });
    }
    for (auto& host : hosts) host.join();
    std::vector<std::uint64_t> held;
    for (const auto& lease : leases) {
      if (lease.held) held.push_back(lease.fence);
    }
    ASSERT_EQ(held.size(), 1U);
    for (const auto& lease : leases) EXPECT_EQ(lease.fence, held[0]);
    EXPECT_TRUE(this->Release(this->store(), held[0]));
  }
}

TYPED_TEST_P(KvStoreSuite, SubscribersAreGreetedAndToldInOrder) {
  Inbox inbox;
  const auto subscription = this->another().Subscribe("news", inbox.Listener());
  ASSERT_THAT(inbox.Until(""), ::testing::ElementsAre(""));

  for (const std::string payload : {"one", "two\r\n", "last"}) {
    EXPECT_EQ(Reason(runtime::SyncWait(this->store().Publish(this->Ctx(), "news", payload))), "");
  }
  EXPECT_EQ(Reason(runtime::SyncWait(this->store().Publish(this->Ctx(), "other", "not for us"))), "");

  EXPECT_THAT(inbox.Until("last"), ::testing::ElementsAre("", "one", "two\r\n", "last"));
}

TYPED_TEST_P(KvStoreSuite, AnEndedSubscriptionIsNotCalled) {
  Inbox ended;
  Inbox kept;
  auto subscription = this->store().Subscribe("news", ended.Listener());
  const auto other = this->store().Subscribe("news", kept.Listener());
  ended.Until("");
  kept.Until("");
  subscription.reset();

  EXPECT_EQ(Reason(runtime::SyncWait(this->store().Publish(this->Ctx(), "news", "late"))), "");

  EXPECT_THAT(kept.Until("late"), ::testing::Contains("late"));
  EXPECT_THAT(ended.Now(), ::testing::ElementsAre(""));
}

TYPED_TEST_P(KvStoreSuite, RefusesBadNamesAndTooMuch) {
  const std::vector<std::string> bad = {
      "", "a b", "a\n", "ü", "a*", std::string(257, 'a'), std::string("a\0b", 3)};
  for (const std::string& key : bad) {
    EXPECT_EQ(this->Set(key, "1"), "kv_bad_key");
    EXPECT_EQ(Reason(runtime::SyncWait(this->store().Get(this->Ctx(), {"good", key}))), "kv_bad_key");
    EXPECT_EQ(Reason(runtime::SyncWait(this->store().Erase(this->Ctx(), {key}))), "kv_bad_key");
    EXPECT_EQ(Reason(runtime::SyncWait(this->store().Acquire(this->Ctx(), key, "o", this->kLong))),
              "kv_bad_key");
    EXPECT_EQ(Reason(runtime::SyncWait(this->store().Acquire(this->Ctx(), "k", key, this->kLong))),
              "kv_bad_key");
    EXPECT_EQ(Reason(runtime::SyncWait(this->store().Release(this->Ctx(), key, 1))), "kv_bad_key");
    EXPECT_EQ(Reason(runtime::SyncWait(this->store().Publish(this->Ctx(), key, "x"))), "kv_bad_key");
  }
  EXPECT_EQ(this->Set("good:._/{}-Z9", "1"), "");
  EXPECT_EQ(this->Set("a", std::string((8U << 20) + 1, 'x')), "kv_too_large");
  EXPECT_EQ(Reason(runtime::SyncWait(this->store().Get(this->Ctx(), std::vector<std::string>(1025, "a")))),
            "kv_too_large");
}

TYPED_TEST_P(KvStoreSuite, WhatIsTooLateOrCancelledDoesNotBegin) {
  const auto late = this->Ctx().WithDeadline(TimePoint{});
  EXPECT_EQ(Reason(runtime::SyncWait(this->store().Set(late, "a", "1", this->kLong))), "kv_timeout");
  const auto cancelled = this->Ctx();
  cancelled.Cancel();
  EXPECT_EQ(Reason(runtime::SyncWait(this->store().Set(cancelled, "a", "1", this->kLong))), "cancelled");
  EXPECT_THAT(this->Get(this->store(), {"a"}), ::testing::ElementsAre(std::nullopt));
}

REGISTER_TYPED_TEST_SUITE_P(KvStoreSuite, GetsWhatWasSetInTheOrderOfTheKeys, TheNewestValueAndLifetimeCount,
                            LifetimesOutOfRangeCountAsTheNearest, EraseTellsHowManyThereWere,
                            OneHolderAtATimeAndItsOwnerKeepsTheLease, KeepingALeaseMakesItLonger,
                            FencesGrowWithEveryLeaseHoweverTheLastOneEnded,
                            OnlyTheHoldersFenceSetsAndReleases, AnEndedLeaseSetsNothing,
                            OfManyWhoAskAtOnceOneHolds, SubscribersAreGreetedAndToldInOrder,
                            AnEndedSubscriptionIsNotCalled, RefusesBadNamesAndTooMuch,
                            WhatIsTooLateOrCancelledDoesNotBegin);

}  // namespace mezzo::storage::testing

#define MEZZO_KV_STORE_SUITE(prefix, harness) INSTANTIATE_TYPED_TEST_SUITE_P(prefix, KvStoreSuite, harness)
