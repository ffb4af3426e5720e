#include "mezzo/cache/recent_items.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/cache/signed_urls.h"
#include "mezzo/cache/typed_cache.h"
#include "mezzo/storage/testing/signed_blob_store.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::cache {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::SizeIs;

constexpr ByteCount kBudget = ByteCount{1} << 20;

class RecentItemsTest : public ::testing::Test {
 protected:
  RecentItems::KindStatistics Of(const std::string& kind) {
    for (auto& one : items_.statistics().kinds) {
      if (one.kind == kind) return one;
    }
    ADD_FAILURE() << "no kind " << kind;
    return {};
  }

  mezzo::testing::ManualClock clock_;
  observe::Registry registry_;
  RecentItems items_{kBudget, registry_, clock_};
};

TEST_F(RecentItemsTest, AValueIsFoundByItsNameAndKindUntilItExpires) {
  TypedCache<std::string> texts(items_, "text");
  TypedCache<int> numbers(items_, "number");
  EXPECT_EQ(texts.Get("a"), nullptr);
  ASSERT_TRUE(texts.Put("a", "one", 3, clock_.Now() + seconds(10)));

  EXPECT_EQ(*texts.Get("a"), "one");
  EXPECT_EQ(numbers.Get("a"), nullptr) << "another kind";
  EXPECT_EQ(texts.Get("b"), nullptr);

  clock_.Advance(seconds(10));
  EXPECT_EQ(texts.Get("a"), nullptr);
  EXPECT_EQ(Of("text").hits, 1U);
  EXPECT_EQ(Of("text").misses, 3U);
}

TEST_F(RecentItemsTest, WhatDoesNotDoIsAMissAndStays) {
  TypedCache<int> numbers(items_, "number");
  ASSERT_TRUE(numbers.Put("a", 7, 4, kNever));

  EXPECT_EQ(numbers.Get("a", [](int value) { return value > 7; }), nullptr);
  EXPECT_EQ(*numbers.Get("a", [](int value) { return value == 7; }), 7);
  EXPECT_EQ(Of("number").misses, 1U);
  EXPECT_EQ(Of("number").hits, 1U);
}

TEST_F(RecentItemsTest, CountsFollowWhatIsReplacedErasedAndCleared) {
  TypedCache<int> numbers(items_, "number");
  TypedCache<int> others(items_, "other");
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(numbers.Put(name, 1, 100, kNever));
  ASSERT_TRUE(others.Put("a", 2, 100, kNever));
  ASSERT_TRUE(numbers.Put("a", 3, 200, kNever));
  EXPECT_EQ(Of("number").entries, 3U);
  EXPECT_GE(Of("number").bytes, 400U);

  EXPECT_TRUE(numbers.Erase("b"));
  EXPECT_FALSE(numbers.Erase("b"));
  EXPECT_EQ(Of("number").entries, 2U);

  numbers.Clear();
  EXPECT_EQ(Of("number").entries, 0U);
  EXPECT_EQ(Of("number").bytes, 0U);
  EXPECT_EQ(numbers.Get("a"), nullptr);
  EXPECT_EQ(*others.Get("a"), 2) << "another kind of the same type";
}

TEST_F(RecentItemsTest, TheBudgetHoldsWhateverIsPut) {
  TypedCache<std::string> texts(items_, "text");
  const std::string text(1000, 'x');
  for (int i = 0; i < 5000; ++i) {
    texts.Put(std::to_string(i), text, text.size(), kNever);
    ASSERT_LE(items_.statistics().bytes, kBudget);
  }
  EXPECT_LE(Of("text").bytes, kBudget);
  EXPECT_GT(Of("text").entries, 100U);
  EXPECT_FALSE(texts.Put("huge", std::string(kBudget, 'x'), kBudget, kNever));
}

/// Counts what it is asked to sign.
class CountingStore final : public storage::testing::MemoryBlobStore {
 public:
  CountingStore(const Clock& clock, const storage::UrlSigner& signer)
      : MemoryBlobStore(clock), clock_(clock), signer_(signer) {}
  Result<std::string> SignUrl(const storage::BlobKey& key, const storage::BlobUrlOptions& options) override {
    ++signed_urls;
    return signer_.Sign(key, options, clock_.WallNow());
  }
  int signed_urls = 0;

 private:
  const Clock& clock_;
  const storage::UrlSigner& signer_;
};

class SignedUrlsTest : public RecentItemsTest {
 protected:
  static storage::BlobKey Key(const std::string& name, const std::string& tenant = "a") {
    return *storage::BlobKey::Make(TenantId(tenant), "job", 1, name);
  }
  SignedUrls::Url Sign(const storage::BlobKey& key, storage::BlobUrlOptions options = {}) {
    const auto url = urls_.Sign(key, options);
    EXPECT_TRUE(url.ok()) << url.error().ToString();
    return *url;
  }

  std::unique_ptr<storage::UrlSigner> signer_ =
      *storage::UrlSigner::Create("/v1/artifacts", {{.id = "k", .secret = std::string(32, 's')}});
  CountingStore store_{clock_, *signer_};
  SignedUrls urls_{store_, &items_, clock_};
};

TEST_F(SignedUrlsTest, AUrlIsGivenOutAgainUntilHalfOfItsLife) {
  const SignedUrls::Url first = Sign(Key("x.png"));
  EXPECT_EQ(first.expires, clock_.WallNow() + std::chrono::hours(1));
  clock_.Advance(minutes(29));
  EXPECT_EQ(Sign(Key("x.png")).text, first.text);
  EXPECT_EQ(store_.signed_urls, 1);

  clock_.Advance(minutes(1) + seconds(1));
  const SignedUrls::Url second = Sign(Key("x.png"));
  EXPECT_NE(second.text, first.text);
  EXPECT_EQ(second.expires, clock_.WallNow() + std::chrono::hours(1));
}

TEST_F(SignedUrlsTest, EveryUrlGivenOutHasHalfOfItsLifeLeft) {
  for (int i = 0; i < 500; ++i) {
    clock_.Advance(seconds(37));
    ASSERT_GE(Sign(Key("x.png")).expires - clock_.WallNow(), minutes(30));
  }
  EXPECT_LE(store_.signed_urls, 12);
}

TEST_F(SignedUrlsTest, ObjectsLifetimesNamesAndTenantsAreApart) {
  const SignedUrls::Url first = Sign(Key("x.png"));
  EXPECT_NE(Sign(Key("y.png")).text, first.text);
  EXPECT_NE(Sign(Key("x.png", "b")).text, first.text);
  EXPECT_NE(Sign(Key("x.png"), {.lifetime = minutes(5)}).text, first.text);
  EXPECT_NE(Sign(Key("x.png"), {.file_name = "cat.png"}).text, first.text);
  EXPECT_EQ(store_.signed_urls, 5);
}

TEST_F(SignedUrlsTest, ErrorsAndClearedUrlsAreNotGivenOutAgain) {
  EXPECT_EQ(urls_.Sign(Key("x.png"), {.lifetime = Duration::zero()}).error().reason(),
            "blob_url_options_invalid");
  EXPECT_EQ(urls_.Sign(Key("x.png"), {.lifetime = Duration::zero()}).error().reason(),
            "blob_url_options_invalid");
  Sign(Key("x.png"));
  const int before = store_.signed_urls;
  urls_.Clear();
  Sign(Key("x.png"));
  EXPECT_EQ(store_.signed_urls, before + 1);
}

TEST_F(SignedUrlsTest, WithoutMemoryEachIsSigned) {
  RecentItems none(0, registry_, clock_);
  SignedUrls urls(store_, &none, clock_);
  ASSERT_TRUE(urls.Sign(Key("x.png"), {}).ok());
  ASSERT_TRUE(urls.Sign(Key("x.png"), {}).ok());
  EXPECT_EQ(store_.signed_urls, 2);
}

}  // namespace
}  // namespace mezzo::cache
