#include "mezzo/cache/epoch_feed.h"

#include <atomic>
#include <thread>
#include <vector>

#include "databases.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/cache/correction_store.h"
#include "mezzo/cache/corrections.h"
#include "mezzo/cache/memory_tier.h"
#include "mezzo/cache/publications.h"
#include "mezzo/observe/log.h"
#include "mezzo/storage/testing/cuttable_db.h"

namespace mezzo::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Text final : Cached {
  [[nodiscard]] ByteCount bytes() const override { return 1; }
};

/// A host: its results, and what it knows of the epochs.
struct Host {
  Host(storage::SqlDb& database, const Clock& clock, EpochFeed::Options options)
      : link(database),
        tier({.max_bytes = ByteCount{1} << 20}, clock),
        results({.jitter = 0, .beta = 0}, tier, clock),
        store(link),
        log({}, clock),
        feed(options, {.store = store,
                       .db = link,
                       .results = results,
                       .tenants = tenants,
                       .clock = clock,
                       .log = log}) {
    feed.Start();
  }

  storage::testing::CuttableDb link;
  MemoryTier tier;
  ResultCache results;
  TenantEpochs tenants;
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

TEST_P(EpochFeedTest, ATenantsPartIsRaisedByItselfAndOfModelsThatExistOnly) {
  const EpochFeed::Options options{.poll = milliseconds(50), .max_staleness = seconds(30)};
  Host host(*database_->db, clock_, options);
  const auto of = [&](const char* tenant, const char* model) {
    EXPECT_TRUE(host.feed.CatchUp(seconds(20)));
    return host.tenants.Of(tenant, model);
  };
  ASSERT_TRUE(host.store.RaiseTenant("t", "m", Limit()).ok());
  EXPECT_EQ(of("t", "m"), 0U) << "nobody has published it";
  ASSERT_TRUE(host.store.Publish({.model = "m", .version = "1"}, 1, Limit()).ok());
  ASSERT_TRUE(host.store.RaiseTenant("t", "m", Limit()).ok());
  EXPECT_EQ(of("t", "m"), 1U);
  EXPECT_EQ(of("t", "n"), 0U);
  EXPECT_EQ(of("u", "m"), 0U);
  ASSERT_TRUE(host.store.RaiseTenant("t", "", Limit()).ok());
  EXPECT_EQ(of("t", "m"), 2U);
  EXPECT_EQ(of("t", "n"), 1U);
  EXPECT_EQ(of("u", "m"), 0U);
  EXPECT_EQ(host.store.RaiseTenant("", "m", Limit()).error().reason(), "tenant_id");
  EXPECT_EQ(ResultCache::EpochOf(host.feed.Model("m")), 2U) << "the publication's, nothing else";
}

TEST_P(EpochFeedTest, APublicationRaisesWhenItsContentIsNews) {
  EpochStore store(*database_->db);
  const auto publish = [&](std::uint8_t content, const char* version = "1", bool again = false) {
    Publication publication{.model = "m", .version = version, .content = {}, .again = again};
    publication.content[0] = content;
    const auto raised = store.Publish(publication, 1, Limit());
    EXPECT_TRUE(raised.ok());
    return *raised;
  };
  const auto epoch = [&] { return store.Load(0, Limit()).value()->Of("m"); };
  EXPECT_TRUE(publish(1));
  EXPECT_FALSE(publish(1)) << "another host loads the same";
  EXPECT_EQ(epoch(), 2U);
  EXPECT_TRUE(publish(1, "2"));
  EXPECT_TRUE(publish(2));
  EXPECT_TRUE(publish(1)) << "a rollback";
  EXPECT_FALSE(publish(1));
  EXPECT_TRUE(publish(1, "1", /*again=*/true)) << "a reload";
  EXPECT_EQ(epoch(), 6U);
  EXPECT_TRUE(store.Withdraw("m", "1", 1, Limit()).value());
  EXPECT_FALSE(store.Withdraw("m", "1", 1, Limit()).value()) << "by the second host";
  EXPECT_FALSE(store.Withdraw("m", "3", 1, Limit()).value()) << "was never there";
  EXPECT_TRUE(publish(1));
  EXPECT_EQ(epoch(), 8U);
}

TEST_P(EpochFeedTest, HostsThatPublishTheSameAtATimeRaiseOnce) {
  std::vector<std::thread> hosts;
  std::atomic<int> raised = 0;  // No partner: read when the threads have ended.
  for (int i = 0; i < 8; ++i) {
    hosts.emplace_back([&] {
      EpochStore store(*database_->db);
      const auto done = store.Publish({.model = "m", .version = "1", .content = {7}}, 1, Limit());
      EXPECT_TRUE(done.ok());
      raised += done.ok() && *done ? 1 : 0;
    });
  }
  for (auto& host : hosts) host.join();
  EXPECT_EQ(raised, 1);
}

TEST_P(EpochFeedTest, APublicationThatCantBeWrittenIsRetriedAndItsMarkSaysSo) {
  Host host(*database_->db, clock_, {.poll = milliseconds(20), .max_staleness = seconds(30)});
  Publications publications({.wait = seconds(20), .database_timeout = seconds(20), .retry = milliseconds(20)},
                            {.store = host.store, .feed = host.feed, .clock = clock_, .log = host.log});
  publications.Start();
  const auto first = publications.Publish("m", "1", {1});
  EXPECT_TRUE(first->recorded());
  const auto model = host.feed.Model("m");
  EXPECT_EQ(ResultCache::EpochOf(model), 2U);
  host.link.Cut(true);
  const auto second = publications.Publish("m", "1", {2});
  EXPECT_FALSE(second->recorded());
  auto gone = publications.Publish("m", "2", {3});
  gone.reset();
  host.link.Cut(false);
  const TimePoint limit = Limit();
  while ((!second->recorded() || publications.pending() > 0) && clock_.Now() < limit) {
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_TRUE(second->recorded());
  EXPECT_EQ(ResultCache::EpochOf(model), 3U) << "what nobody serves any more is not published";
  const auto reloaded = publications.Publish("m", "1", {2});
  EXPECT_TRUE(reloaded->recorded());
  EXPECT_EQ(ResultCache::EpochOf(model), 4U) << "the same again while it is served: a reload";
  publications.Withdraw("m", "1");
  publications.Withdraw("never", "1");
  while (publications.pending() > 0 && clock_.Now() < limit) std::this_thread::sleep_for(milliseconds(2));
  EXPECT_EQ(ResultCache::EpochOf(model), 5U);
}

Correction MakeCorrection(const std::string& id, const std::string& question, const std::string& answer,
                          const std::string& tenant = "t", const std::string& model = "m") {
  const CacheKey key = KeyBuilder("test").Text(question).Text(tenant).Finish();
  return {.facts = {.id = id,
                    .model = model,
                    .version = "1",
                    .tenant = tenant,
                    .content = {1},
                    .created_us = 5,
                    .created_by = "k"},
          .key = key.Digest(),
          .key_text = std::string(key.text()),
          .answer = answer};
}
CacheKey QuestionKey(const std::string& question, const std::string& tenant = "t") {
  return KeyBuilder("test").Text(question).Text(tenant).Finish();
}
struct Words final : Cached {
  explicit Words(std::string_view t) : text(t) {}
  [[nodiscard]] ByteCount bytes() const override { return text.size(); }
  const std::string text;
};
Result<CachedRef> DecodeWords(std::string_view text) {
  if (text == "broken") return Internal("answer_text", "broken");
  return CachedRef(std::make_shared<const Words>(text));
}
std::string AnswerOf(const Corrections& corrections, const CacheKey& key) {
  const CachedRef found = corrections.Find(key);
  return found == nullptr ? "none" : static_cast<const Words&>(*found).text;
}

TEST_P(EpochFeedTest, CorrectionsAreFoundByTheirQuestionAloneAndFollowTheStore) {
  CorrectionStore store(*database_->db, {});
  Corrections corrections(DecodeWords);
  ASSERT_TRUE(corrections.Refresh(store, Limit()).ok());
  EXPECT_TRUE(corrections.empty());
  for (int i = 0; i < 40; ++i) {  // More than are read at a time.
    const auto put = store.Put(MakeCorrection("c" + std::to_string(i), "q" + std::to_string(i),
                                              std::string("a\0", 2) + std::to_string(i)),
                               Limit());
    ASSERT_TRUE(put.ok()) << put.error().ToString();
  }
  ASSERT_TRUE(corrections.Refresh(store, Limit()).ok());
  EXPECT_EQ(corrections.size(), 40U);
  EXPECT_EQ(AnswerOf(corrections, QuestionKey("q39")), std::string("a\0", 2) + "39");
  EXPECT_EQ(AnswerOf(corrections, QuestionKey("q39", "u")), "none");
  EXPECT_EQ(AnswerOf(corrections, QuestionKey("q40")), "none");

  ASSERT_TRUE(store.Put(MakeCorrection("again", "q39", "newer"), Limit()).ok());
  ASSERT_TRUE(store.Remove("c0", "t", Limit()).ok());
  EXPECT_EQ(store.Remove("c1", "u", Limit()).error().reason(), "correction_unknown");
  EXPECT_EQ(store.Remove("c39", std::nullopt, Limit()).error().reason(), "correction_unknown");
  ASSERT_TRUE(corrections.Refresh(store, Limit()).ok());
  EXPECT_EQ(corrections.size(), 39U);
  EXPECT_EQ(AnswerOf(corrections, QuestionKey("q0")), "none");
  EXPECT_EQ(AnswerOf(corrections, QuestionKey("q39")), "newer");

  const auto page = store.List("t", "m", "c1", 3, Limit()).value();
  ASSERT_EQ(page.size(), 3U);
  EXPECT_EQ(page.at(0).id, "c10");
  EXPECT_EQ(page.at(0).created_by, "k");
  EXPECT_TRUE(store.List("u", "", "", 3, Limit()).value().empty());
  EXPECT_TRUE(store.List(std::nullopt, "n", "", 3, Limit()).value().empty());
  EXPECT_EQ(store.List(std::nullopt, "", "", 100, Limit()).value().size(), 39U);
}

TEST_P(EpochFeedTest, CorrectionsAreBoundedAndForgottenWithTheContent) {
  CorrectionStore store(*database_->db, {.per_model = 3,
                                         .per_tenant = 4,
                                         .in_all = 5,
                                         .bytes_each = 200,
                                         .bytes_per_tenant = 500,
                                         .bytes_in_all = 250});
  const auto put = [&](const std::string& id, const char* tenant, const char* model, std::size_t size = 1) {
    const auto done = store.Put(MakeCorrection(id, id, std::string(size, 'x'), tenant, model), Limit());
    return done.ok() ? std::string("ok") : done.error().reason();
  };
  EXPECT_EQ(put("large", "t", "m", 300), "correction_too_large");
  for (const char* id : {"a", "b", "c"}) EXPECT_EQ(put(id, "t", "m"), "ok");
  EXPECT_EQ(put("d", "u", "m"), "corrections_full") << "the model's";
  EXPECT_EQ(put("c", "t", "m"), "ok") << "the same question takes no other place";
  EXPECT_EQ(put("d", "t", "n"), "ok");
  EXPECT_EQ(put("e", "t", "n"), "corrections_full") << "the tenant's";
  EXPECT_EQ(put("e", "u", "n", 130), "corrections_full") << "bytes in all";
  EXPECT_EQ(put("e", "u", "n"), "ok");
  EXPECT_EQ(put("f", "u", "o"), "corrections_full") << "all";

  EpochStore epochs(*database_->db);
  const auto left = [&] { return store.List(std::nullopt, "m", "", 10, Limit()).value().size(); };
  ASSERT_TRUE(epochs.Publish({.model = "m", .version = "2", .content = {9}}, 1, Limit()).value());
  ASSERT_TRUE(epochs.Publish({.model = "m", .version = "1", .content = {1}}, 1, Limit()).value());
  EXPECT_EQ(left(), 3U);
  ASSERT_TRUE(epochs.Publish({.model = "m", .version = "1", .content = {2}}, 1, Limit()).value());
  EXPECT_EQ(left(), 0U);
  EXPECT_EQ(store.List(std::nullopt, "n", "", 10, Limit()).value().size(), 2U);
}

TEST_P(EpochFeedTest, AHostFollowsCorrectionsAndDoesNotTrustWhatItCantRead) {
  CorrectionStore store(*database_->db, {});
  Corrections corrections(DecodeWords);
  MemoryTier tier({.max_bytes = ByteCount{1} << 20}, clock_);
  ResultCache results({}, tier, clock_);
  TenantEpochs tenants;
  EpochStore epochs(*database_->db);
  observe::Logger log({}, clock_);
  EpochFeed feed({.poll = milliseconds(20), .max_staleness = milliseconds(400)},
                 {.store = epochs,
                  .db = *database_->db,
                  .results = results,
                  .tenants = tenants,
                  .clock = clock_,
                  .log = log,
                  .also = [&](TimePoint deadline) { return corrections.Refresh(store, deadline); }});
  feed.Start();
  ASSERT_TRUE(store.Put(MakeCorrection("a", "q", "better"), Limit()).ok());
  const TimePoint limit = Limit();
  while (corrections.empty() && clock_.Now() < limit) std::this_thread::sleep_for(milliseconds(2));
  EXPECT_EQ(AnswerOf(corrections, QuestionKey("q")), "better");
  EXPECT_TRUE(feed.CatchUp(seconds(20)));
  ASSERT_TRUE(store.Put(MakeCorrection("b", "r", "broken"), Limit()).ok());
  while (feed.IsFresh(clock_.Now()) && clock_.Now() < limit) std::this_thread::sleep_for(milliseconds(2));
  EXPECT_FALSE(feed.IsFresh(clock_.Now()));
  ASSERT_TRUE(store.Remove("b", std::nullopt, Limit()).ok());
  EXPECT_TRUE(feed.CatchUp(seconds(20)));
  EXPECT_EQ(corrections.size(), 1U);
  feed.Stop();
}

INSTANTIATE_TEST_SUITE_P(Databases, EpochFeedTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::cache
