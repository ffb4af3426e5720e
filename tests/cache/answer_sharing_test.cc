#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "databases.h"
#include <gtest/gtest.h>

#include "mezzo/cache/epoch_feed.h"
#include "mezzo/cache/shared_tier.h"
#include "mezzo/drivers/memory/memory_kv_store.h"
#include "mezzo/inference/answer_cache.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/scope.h"
#include "mezzo/storage/migrations.h"

/// What a host's answer cache does with the tier that hosts share: two hosts, one database, one store.
namespace mezzo::inference {
namespace {

using cache::ResultCache;
using cache::SharedTier;
using runtime::Context;
using runtime::Task;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A store that lets something happen between its answer and the caller.
class Interrupted final : public storage::KvStore {
 public:
  explicit Interrupted(KvStore& inner) : inner_(inner) {}
  std::function<void()> after_get = [] {};

  Task<Result<std::vector<std::optional<std::string>>>> Get(Context ctx,
                                                            std::vector<std::string> keys) override {
    auto found = co_await inner_.Get(std::move(ctx), std::move(keys));
    after_get();
    co_return found;
  }
  Task<Result<void>> Set(Context ctx, std::string key, std::string value, Duration lifetime) override {
    return inner_.Set(std::move(ctx), std::move(key), std::move(value), lifetime);
  }
  Task<Result<std::int64_t>> Erase(Context ctx, std::vector<std::string> keys) override {
    return inner_.Erase(std::move(ctx), std::move(keys));
  }
  Task<Result<Lease>> Acquire(Context ctx, std::string key, std::string owner, Duration lifetime) override {
    return inner_.Acquire(std::move(ctx), std::move(key), std::move(owner), lifetime);
  }
  Task<Result<bool>> SetAndRelease(Context ctx, std::string key, std::string value, Duration lifetime,
                                   std::string lease_key, std::uint64_t fence) override {
    return inner_.SetAndRelease(std::move(ctx), std::move(key), std::move(value), lifetime,
                                std::move(lease_key), fence);
  }
  Task<Result<bool>> Release(Context ctx, std::string lease_key, std::uint64_t fence) override {
    return inner_.Release(std::move(ctx), std::move(lease_key), fence);
  }
  Task<Result<void>> Publish(Context ctx, std::string channel, std::string payload) override {
    return inner_.Publish(std::move(ctx), std::move(channel), std::move(payload));
  }
  std::shared_ptr<void> Subscribe(std::string channel, Listener listener) override {
    return inner_.Subscribe(std::move(channel), std::move(listener));
  }

 private:
  KvStore& inner_;
};

struct Host {
  Host(storage::SqlDb& db, storage::KvStore& store, runtime::IoThreads& loops, const Clock& clock,
       std::string name)
      : link(store),
        tier({.max_bytes = ByteCount{8} << 20}, clock),
        results({.jitter = 0, .beta = 0}, tier, clock),
        epochs(db),
        log({}, clock),
        feed({.poll = milliseconds(50), .max_staleness = seconds(120)}, {.store = epochs,
                                                                         .db = db,
                                                                         .results = results,
                                                                         .tenants = tenants,
                                                                         .clock = clock,
                                                                         .log = log,
                                                                         .also = nullptr}),
        pool({.name = "test", .threads = 1, .max_queued = 64}),
        hosts({.secret = "secret", .host = std::move(name), .call_timeout = seconds(10)},
              {.store = link,
               .clock = clock,
               .waits = registry.NewHistogram("mezzo_test_wait_seconds", "Waits."),
               .pool = pool,
               .spawn =
                   [this, &loops](SharedTier::Work work) {
                     return background.Spawn(loops.loop(0), Context(), std::move(work));
                   }}),
        answers({.results = results, .tier = tier, .epochs = &feed, .clock = clock, .registry = registry}) {
    answers.Share(hosts);
    feed.Start();
    EXPECT_TRUE(feed.CatchUp(seconds(60)));
    place.model = feed.Model("m");
    place.rules = {.ttl = seconds(600), .negative_ttl = seconds(10), .max_entry_bytes = 4096, .shared = true};
  }
  ~Host() { EXPECT_TRUE(background.Stop(seconds(60))); }

  /// Leads the flight of a question, and asks the other hosts.
  AnswerCache::FromHosts Ask(std::int64_t question) {
    auto outcome = results.Begin(place.model, Key(question), place.rules, RealClock().Now());
    EXPECT_EQ(outcome.kind, ResultCache::Kind::kLead);
    ticket = std::move(outcome.ticket);
    auto said = runtime::SyncWait(answers.AskHosts(Context(), &place, &*ticket, milliseconds(10), false));
    EXPECT_TRUE(said.ok());
    return *std::move(said);
  }
  void AwaitStored() const {
    while (hosts.statistics().leases > 0) std::this_thread::sleep_for(milliseconds(1));
  }
  static cache::CacheKey Key(std::int64_t n) { return cache::KeyBuilder("test").Integer(n).Finish(); }

  Interrupted link;
  observe::Registry registry;
  cache::MemoryTier tier;
  ResultCache results;
  cache::EpochStore epochs;
  cache::TenantEpochs tenants;
  observe::Logger log;
  cache::EpochFeed feed;
  runtime::BlockingPool pool;
  SharedTier hosts;
  AnswerCache answers;
  CachePlace place;
  std::optional<ResultCache::Ticket> ticket;
  runtime::Scope background;
};

std::shared_ptr<const CachedAnswer> Answer(std::size_t size = 16) {
  InferenceAnswer answer;
  answer.device_share = milliseconds(7);
  answer.outputs.push_back({.name = "y",
                            .tensor = {.dtype = tensor::DType::kUint8,
                                       .shape = {static_cast<std::int64_t>(size)},
                                       .data = SharedBytes::FromString(std::string(size, 'y'))}});
  return std::make_shared<const CachedAnswer>(answer);
}

class AnswerSharingTest : public ::testing::Test {
 protected:
  AnswerSharingTest() : database_(tenancy::OpenEmptyDatabase(storage::SqlDialect::kSqlite, clock_)) {
    const auto migrated = storage::Migrate(*database_->db, "cache", cache::EpochMigrations(),
                                           clock_.Now() + seconds(60), clock_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    a_ = std::make_unique<Host>(*database_->db, store_, loops_, clock_, "a");
    b_ = std::make_unique<Host>(*database_->db, store_, loops_, clock_, "b");
  }
  ~AnswerSharingTest() override {
    a_.reset();
    b_.reset();
    loops_.Stop();
  }

  RealClock clock_;
  std::unique_ptr<tenancy::TestDatabase> database_;
  drivers::MemoryKvStore store_{{}, clock_};
  runtime::IoThreads loops_{1};
  std::unique_ptr<Host> a_;
  std::unique_ptr<Host> b_;
};

TEST_F(AnswerSharingTest, AnAnswerTravels) {
  auto lead = a_->Ask(1);
  ASSERT_TRUE(lead.lease.has_value());
  a_->answers.Share(std::move(lead.lease), a_->place, Answer());
  a_->AwaitStored();

  const auto said = b_->Ask(1);
  ASSERT_NE(said.answer, nullptr);
  EXPECT_EQ(said.answer->outputs().at(0).tensor.data.text(), std::string(16, 'y'));
  EXPECT_EQ(said.cost, milliseconds(7));
  EXPECT_EQ(said.answer->cost(), milliseconds(7));
  EXPECT_LE(said.expires, clock_.Now() + seconds(700));
  b_->ticket->Fill(said.answer, said.cost, said.expires);
  const auto statistics = b_->results.StatisticsOf(b_->place.model);
  EXPECT_EQ(statistics.shared, 1U);
  EXPECT_EQ(statistics.saved, milliseconds(7));
  EXPECT_EQ(statistics.entries, 1U);
}

TEST_F(AnswerSharingTest, AnEpochThatRisesBehindTheGetIsNotServed) {
  auto lead = a_->Ask(1);
  a_->answers.Share(std::move(lead.lease), a_->place, Answer());
  a_->AwaitStored();
  b_->link.after_get = [this] { b_->results.RaiseEpoch(b_->place.model); };

  const auto said = b_->Ask(1);
  EXPECT_EQ(said.answer, nullptr);
  EXPECT_FALSE(said.lease.has_value());
  EXPECT_EQ(b_->hosts.statistics().outdated, 1U);
}

TEST_F(AnswerSharingTest, AHostThatLosesTrustBehindTheGetServesNothing) {
  auto lead = a_->Ask(1);
  a_->answers.Share(std::move(lead.lease), a_->place, Answer());
  a_->AwaitStored();
  b_->link.after_get = [this] { b_->results.SetTrusted(false); };

  EXPECT_EQ(b_->Ask(1).answer, nullptr);
  EXPECT_EQ(b_->hosts.statistics().outdated, 1U);
}

TEST_F(AnswerSharingTest, WhatIsTooLargeIsComputedByEach) {
  auto lead = a_->Ask(1);
  a_->answers.Share(std::move(lead.lease), a_->place, Answer(100'000));
  a_->AwaitStored();

  const auto said = b_->Ask(1);
  EXPECT_EQ(said.answer, nullptr);
  EXPECT_FALSE(said.lease.has_value()) << "and nobody waits for anybody";
  EXPECT_EQ(b_->hosts.statistics().refused, 1U);
}

TEST_F(AnswerSharingTest, ErrorsTravelWhenTheyWouldComeAgain) {
  auto lead = a_->Ask(1);
  a_->answers.Share(std::move(lead.lease), a_->place, InvalidArgument("tensor_size", "too small"),
                    Duration());
  auto passing = a_->Ask(2);
  a_->answers.Share(std::move(passing.lease), a_->place, Unavailable("engine", "for now"), Duration());
  a_->AwaitStored();

  const auto said = b_->Ask(1);
  ASSERT_TRUE(said.error.has_value());
  EXPECT_EQ(said.error->reason(), "tensor_size");
  b_->ticket->Fail(*said.error, said.cost, said.expires);
  EXPECT_EQ(b_->results.Begin(b_->place.model, Host::Key(1), b_->place.rules, clock_.Now()).kind,
            ResultCache::Kind::kHit);
  EXPECT_TRUE(b_->Ask(2).lease.has_value()) << "the other passes, so somebody else tries";
}

TEST_F(AnswerSharingTest, BytesThatAreNoAnswerAreComputedAnew) {
  auto lead = a_->Ask(1);
  lead.lease->Store([] { return std::string("of another program"); }, 20, Duration(), seconds(600));
  a_->AwaitStored();

  EXPECT_EQ(b_->Ask(1).answer, nullptr);
  EXPECT_EQ(b_->hosts.statistics().corrupt, 1U);
}

TEST_F(AnswerSharingTest, AModelThatDoesNotShareAsksNobody) {
  a_->place.rules.shared = false;
  const auto said = a_->Ask(1);
  EXPECT_FALSE(said.lease.has_value());
  EXPECT_EQ(a_->hosts.statistics().leads, 0U);
}

TEST_F(AnswerSharingTest, APurgeOnOneHostHoldsOnTheOther) {
  auto lead = a_->Ask(1);
  a_->answers.Share(std::move(lead.lease), a_->place, Answer());
  a_->AwaitStored();
  ASSERT_TRUE(a_->epochs.Raise("m", clock_.Now() + seconds(60)).ok());
  ASSERT_TRUE(b_->feed.CatchUp(seconds(60)));

  EXPECT_TRUE(b_->Ask(1).lease.has_value()) << "nothing of the new epoch is there";
}

}  // namespace
}  // namespace mezzo::inference
