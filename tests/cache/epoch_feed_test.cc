#include "mezzo/cache/epoch_feed.h"

#include <atomic>
#include <thread>

#include "databases.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/cache/memory_tier.h"
#include "mezzo/observe/log.h"

namespace mezzo::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Text final : Cached {
  [[nodiscard]] ByteCount bytes() const override { return 1; }
};

/// A database that can be cut off.
class CuttableDb final : public storage::SqlDb {
 public:
  explicit CuttableDb(storage::SqlDb& db) : db_(db) {}
  void Cut(bool cut) { cut_ = cut; }

  [[nodiscard]] storage::SqlDialect dialect() const override { return db_.dialect(); }
  Result<void> Transact(const Work& work, TimePoint deadline) override {
    if (cut_) return Unavailable("sql_connection", "cut");
    return db_.Transact(work, deadline);
  }
  Result<void> Read(const Work& work, TimePoint deadline) override {
    if (cut_) return Unavailable("sql_connection", "cut");
    return db_.Read(work, deadline);
  }
  std::shared_ptr<void> Listen(std::string channel, Listener listener) override {
    return db_.Listen(std::move(channel), std::move(listener));
  }

 private:
  storage::SqlDb& db_;
  std::atomic<bool> cut_ = false;  // No partner.
};

/// A host: its results, and what it knows of the epochs.
struct Host {
  Host(storage::SqlDb& database, const Clock& clock, EpochFeed::Options options)
      : link(database),
        tier({.max_bytes = ByteCount{1} << 20}, clock),
        results({.jitter = 0, .beta = 0}, tier, clock),
        store(link),
        log({}, clock),
        feed(options, {.store = store, .db = link, .results = results, .clock = clock, .log = log}) {
    feed.Start();
  }

  CuttableDb link;
  MemoryTier tier;
  ResultCache results;
  EpochStore store;
  observe::Logger log;
  EpochFeed feed;
};

class EpochFeedTest : public ::testing::TestWithParam<storage::SqlDialect> {
 protected:
  EpochFeedTest() : database_(tenancy::OpenEmptyDatabase(GetParam(), clock_)) {
    const auto migrated = storage::Migrate(*database_->db, "cache", EpochMigrations(), Limit(), clock_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
  }
  TimePoint Limit() { return clock_.Now() + seconds(30); }

  static CacheKey KeyOf(const ResultCache::ModelRef& model) {
    return KeyBuilder("test").Integer(reinterpret_cast<std::intptr_t>(model.get())).Finish();
  }
  void Fill(Host& host, const ResultCache::ModelRef& model) {
    auto outcome = host.results.Begin(model, KeyOf(model), kRules, clock_.Now());
    ASSERT_EQ(outcome.kind, ResultCache::Kind::kLead);
    outcome.ticket->Fill(std::make_shared<Text>(), milliseconds(1));
  }
  bool Holds(Host& host, const ResultCache::ModelRef& model) {
    return host.results.Begin(model, KeyOf(model), kRules, clock_.Now()).kind == ResultCache::Kind::kHit;
  }

  static constexpr Rules kRules{.ttl = seconds(600)};
  RealClock clock_;
  std::unique_ptr<tenancy::TestDatabase> database_;
};

TEST_P(EpochFeedTest, ARaisedEpochHidesTheModelsAnswersOnEveryHost) {
  const EpochFeed::Options options{.poll = milliseconds(50), .max_staleness = seconds(30)};
  Host a(*database_->db, clock_, options);
  Host b(*database_->db, clock_, options);
  ASSERT_TRUE(a.feed.CatchUp(seconds(20)));
  ASSERT_TRUE(b.feed.CatchUp(seconds(20)));
  EXPECT_TRUE(a.feed.IsFresh(clock_.Now()));
  const auto of_a = a.feed.Model("m");
  const auto of_b = b.feed.Model("m");
  const auto other = b.feed.Model("n");
  Fill(a, of_a);
  Fill(b, of_b);
  Fill(b, other);
  ASSERT_TRUE(Holds(b, of_b));

  ASSERT_TRUE(a.store.Raise("m", Limit()).ok());
  ASSERT_TRUE(a.feed.CatchUp(seconds(20)));
  EXPECT_FALSE(Holds(a, of_a));
  const TimePoint limit = Limit();  // The other host hears of it by itself.
  while (Holds(b, of_b) && clock_.Now() < limit) std::this_thread::sleep_for(milliseconds(2));
  EXPECT_FALSE(Holds(b, of_b));
  EXPECT_TRUE(Holds(b, other));

  ASSERT_TRUE(a.store.Raise("", Limit()).ok());
  ASSERT_TRUE(b.feed.CatchUp(seconds(20)));
  EXPECT_FALSE(Holds(b, other));
}

TEST_P(EpochFeedTest, AModelThatComesLaterHasTheEpochOfTheDatabase) {
  EpochStore store(*database_->db);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(store.Raise("m", Limit()).ok());
  ASSERT_TRUE(store.Raise("", Limit()).ok());
  Host host(*database_->db, clock_, {});
  ASSERT_TRUE(host.feed.CatchUp(seconds(20)));
  EXPECT_EQ(ResultCache::EpochOf(host.feed.Model("m")), 5U);
  EXPECT_EQ(store.Load(0, Limit()).value()->Of("n"), 2U);
}

TEST_P(EpochFeedTest, AHostThatIsCutOffStopsTrustingWithinTheBoundAndRecovers) {
  Host host(*database_->db, clock_, {.poll = milliseconds(20), .max_staleness = milliseconds(300)});
  ASSERT_TRUE(host.feed.CatchUp(seconds(20)));
  const auto model = host.feed.Model("m");
  Fill(host, model);
  host.link.Cut(true);
  const TimePoint cut = clock_.Now();
  EpochStore elsewhere(*database_->db);
  ASSERT_TRUE(elsewhere.Raise("m", Limit()).ok());
  EXPECT_FALSE(
      host.feed.IsFresh(cut + milliseconds(301)));  // Whatever it reads, and whenever its thread runs.
  EXPECT_FALSE(host.feed.CatchUp(milliseconds(200)));

  host.link.Cut(false);
  const TimePoint limit = Limit();
  while (!host.feed.IsFresh(clock_.Now()) && clock_.Now() < limit) {
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_TRUE(host.feed.CatchUp(seconds(20)));
  EXPECT_FALSE(Holds(host, model));
}

TEST_P(EpochFeedTest, RaisingCommitsOrNotWithTheTransactionItIsPartOf) {
  EpochStore store(*database_->db);
  const auto before = store.Load(0, Limit()).value()->revision;
  const auto failed = database_->db->Transact(
      [](storage::SqlSession& session) -> Result<void> {
        MEZZO_TRY_VOID(EpochStore::Raise(session, "m"));
        return FailedPrecondition("test", "the publication fails");
      },
      Limit());
  EXPECT_FALSE(failed.ok());
  EXPECT_FALSE(store.Load(before, Limit()).value().has_value());
  EXPECT_EQ(store.Raise(std::string(257, 'x'), Limit()).error().reason(), "model_name");
}

INSTANTIATE_TEST_SUITE_P(Databases, EpochFeedTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::cache
