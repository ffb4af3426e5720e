// What a host brings from the registry because its routes and releases need it, and when it lets go of it.

#include "mezzo/lifecycle/version_supply.h"

#include <atomic>
#include <thread>

#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/models/testing/listed_catalog.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/cuttable_db.h"
#include "mezzo/storage/testing/memory_blob_store.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using Key = VersionSupply::Key;
using State = VersionSupply::State;

/// Fails some calls in a row, from the n-th on. Thread-safe.
class FailingDb final : public storage::SqlDb {
 public:
  explicit FailingDb(storage::SqlDb& db) : db_(db) {}
  /// 1: the next one.
  void FailFrom(int nth, int calls) {
    begin_ = count_ + nth;
    end_ = begin_ + calls;
  }
  [[nodiscard]] bool past() const { return count_ >= end_; }
  /// Calls hang for so long, and fail then.
  void Stall(milliseconds time) { stall_ = time; }
  [[nodiscard]] storage::SqlDialect dialect() const override { return db_.dialect(); }
  Result<void> Transact(const Work& work, TimePoint deadline) override {
    if (Fails()) return Unavailable("sql_connection", "made to fail");
    return db_.Transact(work, deadline);
  }
  Result<void> Read(const Work& work, TimePoint deadline) override {
    if (Fails()) return Unavailable("sql_connection", "made to fail");
    return db_.Read(work, deadline);
  }
  std::shared_ptr<void> Listen(std::string channel, Listener listener) override {
    return db_.Listen(std::move(channel), std::move(listener));
  }

 private:
  bool Fails() {
    const int at = ++count_;
    if (const milliseconds stall = stall_; stall.count() > 0) {
      std::this_thread::sleep_for(stall);
      return true;
    }
    return at >= begin_ && at < end_;
  }
  storage::SqlDb& db_;
  std::atomic<int> count_{0}, begin_{0}, end_{0};  // No partners.
  std::atomic<milliseconds> stall_{milliseconds(0)};
};

/// Names what the test says.
class SetUses final : public VersionUses {
 public:
  Result<std::string> UserOf(storage::SqlSession&, const std::string&,
                             std::optional<std::int64_t> version) override {
    const MutexLock lock(mu_);
    return std::string(version && used_.contains(*version) ? "release 'r' (settling)" : "");
  }
  Result<std::string> AliasUserOf(storage::SqlSession&, const std::string&, const std::string&) override {
    return std::string();
  }
  Result<void> AliasMoved(storage::SqlSession&, const std::string&, const std::string&) override {
    return {};
  }
  void Set(std::set<std::int64_t> used) {
    const MutexLock lock(mu_);
    used_ = std::move(used);
  }

 private:
  Mutex mu_;
  std::set<std::int64_t> used_ GUARDED_BY(mu_);
};

class VersionSupplyTest : public RegistryFixture {
 protected:
  VersionSupplyTest() {
    cut_store_.set_uses(&uses_);
    MakeModel("m");
    Open({});
  }
  ~VersionSupplyTest() override { supply_.reset(); }

  void Open(VersionSupply::Options options) {
    supply_.reset();
    hosting_.reset();
    fetcher_.reset();
    catalog_.Keep({});
    fetcher_ = VersionFetcher::Open({.folder = folder_.path() + "/versions", .max_bytes = 1000},
                                    {.contents = contents_, .clock = real_})
                   .value();
    hosting_ = VersionHosting::Open({.root = folder_.path() + "/registry", .host = "here"},
                                    {.registry = cut_store_,
                                     .fetcher = *fetcher_,
                                     .clock = real_,
                                     .look = [this](const std::string& model) -> Result<bool> {
                                       if (!hosted(model)) catalog_.Keep({});
                                       return true;
                                     },
                                     .needed =
                                         [this](const std::string& model, std::int64_t version) {
                                           return supply_ == nullptr ? std::nullopt
                                                                     : supply_->UserOf(model, version);
                                         }})
                   .value();
    ASSERT_TRUE(hosting_->Restore(Soon()).ok());
    options.period = milliseconds(10);
    options.retry_min = milliseconds(10);
    options.retry_max = milliseconds(20);
    options.state_check = milliseconds(20);
    supply_ = std::make_unique<VersionSupply>(
        options, VersionSupply::Ports{.registry = cut_store_,
                                      .hosting = *hosting_,
                                      .catalog = catalog_,
                                      .clock = real_,
                                      .log = log_,
                                      .metrics = metrics_,
                                      .needed =
                                          [this] {
                                            const MutexLock lock(mu_);
                                            return std::vector<Key>(needed_.begin(), needed_.end());
                                          },
                                      .load = [this](const std::string& model, const std::string& version,
                                                     TimePoint) -> Result<void> {
                                        if (broken_) return Unavailable("model_not_ready", "it is broken");
                                        catalog_.Add(model, static_cast<std::int64_t>(*ParseUint(version)));
                                        return {};
                                      }});
    supply_->Start();
  }

  [[nodiscard]] bool hosted(const std::string& model) const {
    for (const auto& one : hosting_->served()) {
      if (one.model == model) return true;
    }
    return false;
  }
  std::int64_t Push(const std::string& content) {
    EXPECT_TRUE(
        storage::WriteBlob(contents_, VersionUploads::KeyOf(Sha256Hex(content)), AsBytes(content), {}, Soon())
            .ok());
    return MakeReady("m", {{"model.onnx", content}});
  }
  void Need(std::set<Key> needed) {
    const MutexLock lock(mu_);
    needed_ = std::move(needed);
  }
  template <typename Condition>
  [[nodiscard]] bool Eventually(Condition condition) {
    const TimePoint limit = Soon();
    while (!condition() && real_.Now() < limit) std::this_thread::sleep_for(milliseconds(2));
    return condition();
  }
  VersionSupply::Status After(const std::string& model, std::int64_t version) {
    (void)Eventually([&] { return supply_->Want(model, version, "the test").state != State::kComing; });
    return supply_->Want(model, version, "the test");
  }

  storage::testing::CuttableDb cuttable_{*database_->db};
  FailingDb failing_{cuttable_};
  SetUses uses_;
  RegistryStore cut_store_{{}, failing_, clock_};
  storage::testing::TempDir folder_;
  storage::testing::MemoryBlobStore contents_{real_};
  observe::Logger log_{{}, real_};
  observe::Registry metrics_;
  models::testing::ListedCatalog catalog_;
  std::atomic<bool> broken_{false};
  Mutex mu_;
  std::set<Key> needed_ GUARDED_BY(mu_);
  std::unique_ptr<VersionFetcher> fetcher_;
  std::unique_ptr<VersionHosting> hosting_;
  std::unique_ptr<VersionSupply> supply_;
};

TEST_P(VersionSupplyTest, WhatRoutesNameComesAndGoesWhenNothingNeedsIt) {
  Push("one");
  Push("two");
  Open({.linger = milliseconds(300)});
  EXPECT_TRUE(Eventually([&] { return supply_->FirstRoundDone(); })) << "nothing is needed";
  Need({{"m", 1}});
  ASSERT_TRUE(Eventually([&] { return hosting_->Has("m", 1); }));
  EXPECT_EQ(After("m", 1).state, State::kHere);
  EXPECT_FALSE(hosting_->Has("m", 2));
  const auto held = hosting_->Withdraw("m", 1, Soon());
  EXPECT_EQ(Reason(held), "version_in_use");
  EXPECT_EQ(held.error().message(),
            "the route of model 'm' that is in force there needs version 1 of model 'm' on host 'here'");
  EXPECT_TRUE(Eventually([&] { return !store_.At("m", clock_.WallNow(), Soon())->served.empty(); }))
      << "the history says so";

  Need({});
  EXPECT_TRUE(Eventually([&] { return !hosting_->Has("m", 1); }));
  EXPECT_TRUE(Eventually([&] { return store_.At("m", clock_.WallNow(), Soon())->served.empty(); }));
}

TEST_P(VersionSupplyTest, TheNewestReadyVersionIsWhatLatestNeeds) {
  Push("one");
  Need({{"m", 0}});
  ASSERT_TRUE(Eventually([&] { return hosting_->Has("m", 1); }));
  Push("two");
  ASSERT_TRUE(Eventually([&] { return hosting_->Has("m", 2); }));
}

TEST_P(VersionSupplyTest, WhatCannotBeServedSaysWhyAndComesWhenItCan) {
  EXPECT_EQ(After("nobody", 1).state, State::kAbsent);
  EXPECT_EQ(After("m", 7).state, State::kAbsent);
  Push("one");
  ASSERT_TRUE(store_.CreateVersion("m", {.manifest = ManifestOf({{"f", "x"}})}, "ann", Soon()).ok());
  const auto uploading = After("m", 2);
  EXPECT_EQ(uploading.state, State::kFailed);
  EXPECT_EQ(uploading.reason, "version 2 of model 'm' is uploading, not ready");

  broken_ = true;
  const auto broken = After("m", 1);
  EXPECT_EQ(broken.state, State::kFailed);
  EXPECT_EQ(broken.reason, "it is broken");
  broken_ = false;
  EXPECT_TRUE(Eventually([&] { return supply_->Want("m", 1, "the test").state == State::kHere; }))
      << "it is tried again";
}

TEST_P(VersionSupplyTest, AStoreThatIsAwayIsWaitedFor) {
  const std::int64_t version = MakeReady("m", {{"model.onnx", "late"}});
  ASSERT_TRUE(Eventually([&] { return !supply_->Want("m", version, "the test").reason.empty(); }))
      << "it is not there";
  EXPECT_FALSE(hosting_->Has("m", version));
  ASSERT_TRUE(storage::WriteBlob(contents_, VersionUploads::KeyOf(Sha256Hex("late")),
                                 AsBytes(std::string_view("late")), {}, Soon())
                  .ok());
  EXPECT_TRUE(Eventually([&] { return supply_->Want("m", version, "the test").state == State::kHere; }));
}

TEST_P(VersionSupplyTest, AFoldersModelIsNotTheRegistrys) {
  Push("one");
  catalog_.Keep({{"m", 5}});
  EXPECT_EQ(After("m", 1).state, State::kAbsent);
  EXPECT_FALSE(hosting_->Has("m", 1));
}

TEST_P(VersionSupplyTest, WhatWasLoadedByHandStaysUntilItIsArchived) {
  Push("one");
  Push("two");
  Open({.linger = milliseconds(50)});
  ASSERT_TRUE(hosting_->Serve("m", 1, Soon()).ok());
  Need({{"m", 1}, {"m", 2}});
  ASSERT_TRUE(Eventually([&] { return hosting_->Has("m", 2); }));
  Need({});
  ASSERT_TRUE(Eventually([&] { return !hosting_->Has("m", 2); }));
  EXPECT_TRUE(hosting_->Has("m", 1)) << "nobody needs it, and somebody has asked for it";

  Open({.linger = milliseconds(50)});
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_TRUE(hosting_->Has("m", 1)) << "after a restart, too";
  ASSERT_TRUE(store_
                  .SetState("m", 1,
                            {.from = VersionState::kReady, .to = VersionState::kArchived, .reason = ""},
                            "ann", Soon())
                  .ok());
  EXPECT_TRUE(Eventually([&] { return !hosting_->Has("m", 1); }));
}

TEST_P(VersionSupplyTest, ARestartHasWhatItNeedsAndLetsGoOfTheRest) {
  Push("one");
  Push("two");
  Need({{"m", 1}, {"m", 2}});
  ASSERT_TRUE(Eventually([&] { return hosting_->Has("m", 1) && hosting_->Has("m", 2); }));
  Need({{"m", 2}});
  Open({.linger = milliseconds(300)});
  EXPECT_TRUE(hosting_->Has("m", 1) && hosting_->Has("m", 2)) << "both lie here";
  EXPECT_TRUE(Eventually([&] { return supply_->FirstRoundDone(); }));
  EXPECT_EQ(After("m", 2).state, State::kHere);
  EXPECT_TRUE(Eventually([&] { return !hosting_->Has("m", 1); }));
  std::this_thread::sleep_for(milliseconds(400));
  EXPECT_TRUE(hosting_->Has("m", 2));
}

// Ignorance is no reason: what is not asked for because the database is away stays.
TEST_P(VersionSupplyTest, ADatabaseThatIsAwayTakesNothingAway) {
  Push("one");
  Push("two");
  Open({.linger = milliseconds(100)});
  Need({{"m", 0}, {"m", 1}});  // Which of them is newest only the database knows.
  ASSERT_EQ(After("m", 1).state, State::kHere);
  ASSERT_EQ(After("m", 2).state, State::kHere);
  cuttable_.Cut(true);
  Need({{"m", 0}});
  std::this_thread::sleep_for(milliseconds(400));
  EXPECT_TRUE(hosting_->Has("m", 2)) << "the newest that was known";
  EXPECT_TRUE(hosting_->Has("m", 1)) << "a release may need it, and can't be read";
  EXPECT_EQ(supply_->Want("m", 2, "the test").state, State::kHere);

  uses_.Set({1});
  cuttable_.Cut(false);
  std::this_thread::sleep_for(milliseconds(400));
  EXPECT_TRUE(hosting_->Has("m", 1)) << "one does";
  const auto held = hosting_->Withdraw("m", 1, Soon());
  EXPECT_EQ(Reason(held), "version_in_use");
  EXPECT_EQ(held.error().message(), "release 'r' (settling) needs version 1 of model 'm' on host 'here'");
  uses_.Set({});
  EXPECT_TRUE(Eventually([&] { return !hosting_->Has("m", 1); })) << "and no longer";
  EXPECT_TRUE(hosting_->Has("m", 2));
  Push("three");
  EXPECT_TRUE(Eventually([&] { return hosting_->Has("m", 3); })) << "it looks again";
}

TEST_P(VersionSupplyTest, ADatabaseThatHangsIsAskedOnceARound) {
  Open({.linger = milliseconds(300)});
  std::set<Key> all;
  for (int i = 0; i < 20; ++i) all.insert({"m", Push("content " + std::to_string(i))});
  for (int i = 0; i < 20; ++i) all.insert({"other" + std::to_string(i), 0});
  Need(all);
  ASSERT_TRUE(Eventually([&] { return hosting_->served().size() == 20; }));
  failing_.Stall(milliseconds(500));
  std::erase_if(all, [](const Key& key) { return key.second != 0; });
  Need(all);  // 20 may go, and 20 are looked up: 20 s, one by one.
  std::this_thread::sleep_for(milliseconds(400));
  const TimePoint limit = real_.Now() + seconds(8);
  bool said = false;
  while (!said && real_.Now() < limit) {
    said = !supply_->Want("m", 999, "the test").reason.empty();
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_TRUE(said) << "what is wanted now waits for a round";
  EXPECT_EQ(hosting_->served().size(), 20U);
  failing_.Stall(milliseconds(0));
  EXPECT_TRUE(Eventually([&] { return hosting_->served().empty(); }));
}

TEST_P(VersionSupplyTest, WhicheverCallsFailItCatchesUpAndTheHistoryIsWhole) {
  Push("one");
  Push("two");
  for (int nth = 1; nth <= 14; ++nth) {
    Open({.linger = milliseconds(150)});
    failing_.FailFrom(nth, 3);
    Need({{"m", 1}, {"m", 0}});
    ASSERT_TRUE(Eventually([&] { return hosting_->Has("m", 1) && hosting_->Has("m", 2); })) << nth;
    ASSERT_TRUE(Eventually([&] { return supply_->Want("m", 1, "the test").state == State::kHere; })) << nth;
    const auto served = [&] { return store_.At("m", clock_.WallNow(), Soon())->served.size(); };
    ASSERT_TRUE(Eventually([&] { return failing_.past(); })) << nth;
    ASSERT_TRUE(Eventually([&] { return served() == 2; })) << nth;
    // And on the way out.
    failing_.FailFrom(nth, 3);
    Need({});
    ASSERT_TRUE(Eventually([&] { return !hosting_->Has("m", 1) && !hosting_->Has("m", 2); })) << nth;
    ASSERT_TRUE(Eventually([&] { return served() == 0; })) << nth;
  }
}

INSTANTIATE_TEST_SUITE_P(Databases, VersionSupplyTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
