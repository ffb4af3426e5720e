#pragma once

#include "mezzo/storage/testing/blob_store_fixture.h"

namespace mezzo::storage::testing {

/// Keys, lists, refusals and URLs. Part of blob_store_suite.h.
template <typename Harness>
class BlobKeySuite : public BlobStoreFixture<Harness> {};

TYPED_TEST_SUITE_P(BlobKeySuite);

TYPED_TEST_P(BlobKeySuite, WhatIsNotThereIsMissing) {
  const BlobKey key = this->Key("job/1/none");
  for (const Error& error :
       {this->store().Read(key, {}, this->Soon()).error(), this->store().Stat(key, this->Soon()).error(),
        this->store().Archive(key, this->Soon()).error()}) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_EQ(error.reason(), "blob_missing");
    EXPECT_THAT(error.message(), ::testing::HasSubstr(key.text()));
  }
}

TYPED_TEST_P(BlobKeySuite, DeletedMeansGoneAndDeletingAgainIsNoError) {
  const BlobKey key = this->Key("job/1/a");
  const BlobKey sibling = this->Key("job/1/b");
  this->Put(key, "a");
  this->Put(sibling, "b");

  EXPECT_TRUE(this->store().Delete(key, this->Soon()).ok());
  EXPECT_TRUE(this->store().Delete(key, this->Soon()).ok());

  EXPECT_EQ(this->Get(key), "[blob_missing]");
  EXPECT_EQ(this->Get(sibling), "b");
  EXPECT_THAT(this->Names(this->TenantPrefix()), ::testing::ElementsAre("job/1/b"));
  this->Put(key, "again");
  EXPECT_EQ(this->Get(key), "again");
}

TYPED_TEST_P(BlobKeySuite, ListsInTheOrderOfKeys) {
  // '-' and '.' sort before '/', digits after: the order of whole keys is not that of their parts.
  std::vector<std::string> names = {"job/1/a",   "job/1/b",   "job/10/a", "job/2/a",   "job-1/1/a",
                                    "job.1/1/a", "job0/1/a",  "Job/1/a",  "a/0/x",     "z/0/x",
                                    "job/1/a.b", "job/1/a-b", "job/1/A",  "job_1/0/x", "job/1/a0"};
  for (const std::string& name : names) this->Put(this->Key(name), "1");
  std::sort(names.begin(), names.end());

  EXPECT_EQ(this->Names(this->TenantPrefix()), names);
  for (const std::size_t limit : {1, 2, 3, 7})
    EXPECT_EQ(this->Names(this->TenantPrefix(), limit), names) << limit;
}

TYPED_TEST_P(BlobKeySuite, APrefixHoldsWholePartsOnly) {
  for (const char* name : {"j/1/a", "j/1/b", "j/12/a", "j2/1/a"}) this->Put(this->Key(name), "1");
  using ::testing::ElementsAre;
  EXPECT_THAT(this->Names(*BlobPrefix::Of(this->tenant(), "j")), ElementsAre("j/1/a", "j/1/b", "j/12/a"));
  EXPECT_THAT(this->Names(*BlobPrefix::Of(this->tenant(), "j", 1)), ElementsAre("j/1/a", "j/1/b"));
  EXPECT_THAT(this->Names(*BlobPrefix::Of(this->tenant(), "none")), ElementsAre());
  const auto other =
      this->store().List(*BlobPrefix::Of(TenantId(this->tenant().str() + "x")), "", 10, this->Soon());
  EXPECT_TRUE(other.ok() && other->entries.empty());
}

TYPED_TEST_P(BlobKeySuite, ListGivesSizesAndGoesOnBehindAnyKey) {
  this->Put(this->Key("j/1/a"), "1");
  this->Put(this->Key("j/1/c"), "333");
  // The cursor's own object is gone.
  const auto page = this->store().List(this->TenantPrefix(), this->Key("j/1/b").text(), 10, this->Soon());
  ASSERT_TRUE(page.ok()) << page.error().ToString();
  ASSERT_EQ(page->entries.size(), 1U);
  EXPECT_EQ(page->entries[0].key, this->Key("j/1/c"));
  EXPECT_EQ(page->entries[0].size, 3U);
  EXPECT_FALSE(page->more);
  // A cursor in front of the prefix does not leave it.
  const auto first = this->store().List(*BlobPrefix::Of(this->tenant(), "j", 1), this->Key("a/0/a").text(),
                                        10, this->Soon());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->entries.size(), 2U);
}

TYPED_TEST_P(BlobKeySuite, RefusesBadListArguments) {
  for (const std::size_t limit : {std::size_t{0}, std::size_t{1001}}) {
    EXPECT_EQ(this->store().List(this->TenantPrefix(), "", limit, this->Soon()).error().reason(),
              "blob_list_invalid");
  }
  EXPECT_EQ(this->store().List(this->TenantPrefix(), "../x", 10, this->Soon()).error().reason(),
            "blob_list_invalid");
}

TYPED_TEST_P(BlobKeySuite, TheLongestKeyWorks) {
  const std::string rest = std::string(64, 'j') + "/4294967295/" + std::string(100, 'n');
  const std::string tenant = this->tenant().str() + std::string(64 - this->tenant().str().size(), 't');
  const BlobKey key = *BlobKey::Parse(tenant + "/" + rest);
  const WallTime expires(std::chrono::seconds(1'500'000'000));
  this->Put(key, "long", {.expires_at = expires});
  EXPECT_EQ(this->Get(key), "long");
  EXPECT_EQ(this->Sweep(expires), 1U);
  EXPECT_EQ(this->Get(key), "[blob_missing]");
}

TYPED_TEST_P(BlobKeySuite, UpperAndLowerCaseAreDifferentKeys) {
  this->Put(this->Key("job/1/A"), "upper");
  this->Put(this->Key("job/1/a"), "lower");
  EXPECT_EQ(this->Get(this->Key("job/1/A")), "upper");
  EXPECT_EQ(this->Get(this->Key("job/1/a")), "lower");
}

TYPED_TEST_P(BlobKeySuite, RefusesContentTypesThatCouldEndAHeader) {
  for (const char* bad : {"image/png\r\nX-Evil: 1", "", "image", "text/plain\n"}) {
    const auto writer = this->store().Write(this->Key("job/1/a"), {.content_type = bad}, this->Soon());
    ASSERT_FALSE(writer.ok()) << bad;
    EXPECT_EQ(writer.error().reason(), "blob_content_type_invalid");
  }
}

TYPED_TEST_P(BlobKeySuite, PassedDeadlinesEndEveryCallWithoutEffect) {
  const BlobKey key = this->Key("job/1/a");
  const BlobKey other = this->Key("job/1/b");
  this->Put(key, "a");
  const TimePoint past = this->Soon() - std::chrono::hours(1);
  auto writer = this->store().Write(other, {}, this->Soon());
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append(AsBytes("b"), this->Soon()).ok());

  const std::vector<std::string> reasons = {
      (*writer)->Commit(past).error().reason(),
      this->store().Read(key, {}, past).error().reason(),
      this->store().Stat(key, past).error().reason(),
      this->store().Delete(key, past).error().reason(),
      this->store().List(this->TenantPrefix(), "", 10, past).error().reason(),
      this->store().Archive(key, past).error().reason(),
      this->store().SweepExpired(this->Now(), 10, past).error().reason()};

  for (const std::string& reason : reasons) EXPECT_EQ(reason, "blob_timeout");
  EXPECT_EQ(this->Get(key), "a");
  EXPECT_EQ(this->Get(other), "[blob_missing]");
}

TYPED_TEST_P(BlobKeySuite, ASignedUrlGivesTheObject) {
  const BlobKey key = this->Key("job/1/film.mp4");
  this->Put(key, "the film", {.content_type = "video/mp4"});
  const auto url =
      this->store().SignUrl(key, {.lifetime = std::chrono::minutes(5), .file_name = "My film \xC3\xBC.mp4"});
  ASSERT_TRUE(url.ok()) << url.error().ToString();
  EXPECT_EQ(this->harness().Fetch(*url), "the film");
  const std::string other = *this->store().SignUrl(this->Key("job/1/other.mp4"), {});
  EXPECT_EQ(this->harness().Fetch(other), "");
}

TYPED_TEST_P(BlobKeySuite, RefusesUrlsThatLiveTooLongOrCarryBadNames) {
  const BlobKey key = this->Key("job/1/a");
  for (const BlobUrlOptions& bad :
       {BlobUrlOptions{.lifetime = std::chrono::hours(24 * 8), .file_name = ""},
        BlobUrlOptions{.lifetime = Duration(0), .file_name = ""},
        BlobUrlOptions{.lifetime = std::chrono::hours(1), .file_name = "a\r\nb"}}) {
    EXPECT_EQ(this->store().SignUrl(key, bad).error().reason(), "blob_url_options_invalid");
  }
}

REGISTER_TYPED_TEST_SUITE_P(BlobKeySuite, WhatIsNotThereIsMissing, DeletedMeansGoneAndDeletingAgainIsNoError,
                            ListsInTheOrderOfKeys, APrefixHoldsWholePartsOnly,
                            ListGivesSizesAndGoesOnBehindAnyKey, RefusesBadListArguments, TheLongestKeyWorks,
                            UpperAndLowerCaseAreDifferentKeys, RefusesContentTypesThatCouldEndAHeader,
                            PassedDeadlinesEndEveryCallWithoutEffect, ASignedUrlGivesTheObject,
                            RefusesUrlsThatLiveTooLongOrCarryBadNames);

}  // namespace mezzo::storage::testing
