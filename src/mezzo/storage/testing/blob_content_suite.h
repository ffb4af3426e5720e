#pragma once

#include "mezzo/storage/testing/blob_store_fixture.h"

namespace mezzo::storage::testing {

/// Writing and reading of objects. Part of blob_store_suite.h.
template <typename Harness>
class BlobContentSuite : public BlobStoreFixture<Harness> {};

TYPED_TEST_SUITE_P(BlobContentSuite);

TYPED_TEST_P(BlobContentSuite, WhatWasWrittenIsRead) {
  const std::string content = this->Pattern(100'000);
  const BlobKey key = this->Key("job/1/a.bin");
  const WallTime before = this->Now();

  const BlobFacts facts = this->Put(key, content, {.content_type = "image/webp"});

  EXPECT_EQ(facts.key, key);
  EXPECT_EQ(facts.size, content.size());
  EXPECT_EQ(facts.sha256, Sha256Hex(content));
  EXPECT_EQ(facts.content_type, "image/webp");
  EXPECT_FALSE(facts.etag.empty());
  EXPECT_FALSE(facts.archived);
  EXPECT_FALSE(facts.expires_at);
  EXPECT_GE(facts.stored_at, before - std::chrono::seconds(2));
  EXPECT_LE(facts.stored_at, this->Now() + std::chrono::seconds(2));
  EXPECT_EQ(this->Get(key), content);
}

TYPED_TEST_P(BlobContentSuite, StatGivesTheFactsOfTheCommit) {
  const BlobKey key = this->Key("job/1/a");
  const WallTime stored(std::chrono::seconds(1'600'000'000));
  const WallTime expires(std::chrono::seconds(4'000'000'000));
  const BlobFacts facts =
      this->Put(key, "content",
                {.content_type = "text/plain; charset=utf-8", .expires_at = expires, .stored_at = stored});

  const auto stat = this->store().Stat(key, this->Soon());

  ASSERT_TRUE(stat.ok()) << stat.error().ToString();
  EXPECT_EQ(stat->key, key);
  EXPECT_EQ(stat->size, 7U);
  EXPECT_EQ(stat->sha256, facts.sha256);
  EXPECT_EQ(stat->content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(stat->etag, facts.etag);
  EXPECT_EQ(stat->stored_at, stored);
  EXPECT_EQ(stat->expires_at, expires);
  EXPECT_EQ(facts.stored_at, stored);
}

TYPED_TEST_P(BlobContentSuite, AnEmptyObjectIsAnObject) {
  const BlobKey key = this->Key("job/1/empty");
  EXPECT_EQ(this->Put(key, "").sha256, Sha256Hex(""));
  EXPECT_EQ(this->Get(key), "");
  EXPECT_EQ(this->GetRange(key, {.offset = 0, .length = 5}), "");
}

TYPED_TEST_P(BlobContentSuite, PiecesOfAnySizeMakeOneObject) {
  const std::string content = this->Pattern(12'000'000, 7);
  const BlobKey key = this->Key("job/1/large");
  auto writer = this->store().Write(key, {}, this->Soon());
  ASSERT_TRUE(writer.ok()) << writer.error().ToString();
  std::string_view rest = content;
  for (std::size_t size = 1; !rest.empty(); size = size * 3 + 1) {
    const std::string_view piece = rest.substr(0, size);
    const auto appended = (*writer)->Append(AsBytes(piece), this->Soon());
    ASSERT_TRUE(appended.ok()) << appended.error().ToString();
    rest.remove_prefix(piece.size());
  }
  const auto facts = (*writer)->Commit(this->Soon());
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->size, content.size());
  EXPECT_EQ(facts->sha256, Sha256Hex(content));

  auto reader = this->store().Read(key, {}, this->Soon());
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  EXPECT_EQ((*reader)->facts().size, content.size());
  EXPECT_TRUE(this->Drain(**reader, 77'777) == content);
}

TYPED_TEST_P(BlobContentSuite, NothingIsVisibleBeforeTheCommit) {
  const BlobKey key = this->Key("job/1/a");
  auto writer = this->store().Write(key, {}, this->Soon());
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append(AsBytes("half"), this->Soon()).ok());

  EXPECT_EQ(this->Get(key), "[blob_missing]");
  EXPECT_TRUE(this->Names(this->TenantPrefix()).empty());

  ASSERT_TRUE((*writer)->Commit(this->Soon()).ok());
  EXPECT_EQ(this->Get(key), "half");
}

TYPED_TEST_P(BlobContentSuite, AWriterThatDiesLeavesNothing) {
  const BlobKey key = this->Key("job/1/a");
  this->Put(key, "old");
  {
    auto writer = this->store().Write(key, {}, this->Soon());
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Append(AsBytes("new"), this->Soon()).ok());
  }
  EXPECT_EQ(this->Get(key), "old");
}

TYPED_TEST_P(BlobContentSuite, AFinishedWriterRefusesEverything) {
  auto writer = this->store().Write(this->Key("job/1/a"), {}, this->Soon());
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append(AsBytes("x"), this->Soon()).ok());
  ASSERT_TRUE((*writer)->Commit(this->Soon()).ok());

  EXPECT_EQ((*writer)->Append(AsBytes("y"), this->Soon()).error().reason(), "blob_writer_closed");
  EXPECT_EQ((*writer)->Commit(this->Soon()).error().reason(), "blob_writer_closed");
  EXPECT_EQ(this->Get(this->Key("job/1/a")), "x");
}

TYPED_TEST_P(BlobContentSuite, WritingAgainReplacesContentAndFacts) {
  const BlobKey key = this->Key("job/1/a");
  const BlobFacts old = this->Put(key, "the old content", {.content_type = "text/plain"});
  const BlobFacts now = this->Put(key, "new", {.content_type = "image/png"});

  EXPECT_NE(old.etag, now.etag);
  EXPECT_EQ(this->Get(key), "new");
  const auto stat = this->store().Stat(key, this->Soon());
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->size, 3U);
  EXPECT_EQ(stat->content_type, "image/png");
  EXPECT_EQ(stat->sha256, now.sha256);
}

TYPED_TEST_P(BlobContentSuite, AReaderNeverMixesOldAndNew) {
  const BlobKey key = this->Key("job/1/a");
  const std::string old = this->Pattern(9'500'000, 3);
  this->Put(key, old);
  auto reader = this->store().Read(key, {}, this->Soon());
  ASSERT_TRUE(reader.ok());
  std::vector<std::byte> start(1000);
  ASSERT_TRUE((*reader)->Read(start, this->Soon()).ok());

  this->Put(key, this->Pattern(9'500'000, 4));

  const std::string rest = this->Drain(**reader, 100'000);
  EXPECT_TRUE(rest == "[blob_changed]" || rest == old.substr(1000)) << Printable(rest.substr(0, 40));
}

TYPED_TEST_P(BlobContentSuite, OfWritersOfOneKeyOneWinsEntirely) {
  const BlobKey key = this->Key("job/1/contested");
  constexpr int kWriters = 4;
  std::vector<std::string> contents;
  for (int i = 0; i < kWriters; ++i) contents.push_back(this->Pattern(300'000 + i, 100 + i));
  std::vector<std::thread> threads;
  for (int i = 0; i < kWriters; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 3; ++round) {
        EXPECT_TRUE(WriteBlob(this->store(), key, AsBytes(contents[i]), {}, this->Soon()).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string found = this->Get(key);
  EXPECT_TRUE(std::find(contents.begin(), contents.end(), found) != contents.end())
      << found.size() << " bytes: " << Printable(found.substr(0, 40));
}

TYPED_TEST_P(BlobContentSuite, RangesGiveTheirBytes) {
  const std::string content = this->Pattern(50'000);
  const BlobKey key = this->Key("job/1/a");
  this->Put(key, content);
  struct Case {
    ByteCount offset;
    std::optional<ByteCount> length;
  };
  for (const Case& c : std::vector<Case>{{0, 1},
                                         {0, 50'000},
                                         {49'999, 1},
                                         {10'000, 12'345},
                                         {1, std::nullopt},
                                         {49'990, 1'000},
                                         {50'000, std::nullopt},
                                         {50'000, 10},
                                         {123, 0},
                                         {0, UINT64_MAX}}) {
    const std::string expected =
        content.substr(c.offset, c.length ? static_cast<std::size_t>(*c.length) : std::string::npos);
    EXPECT_TRUE(this->GetRange(key, {.offset = c.offset, .length = c.length}) == expected)
        << c.offset << " + " << c.length.value_or(0);
  }
}

TYPED_TEST_P(BlobContentSuite, ARangeBehindTheEndIsRefused) {
  const BlobKey key = this->Key("job/1/a");
  this->Put(key, "12345");
  for (const ByteCount offset : {ByteCount{6}, ByteCount{UINT64_MAX}}) {
    const auto reader = this->store().Read(key, {.offset = offset, .length = 1}, this->Soon());
    ASSERT_FALSE(reader.ok());
    EXPECT_EQ(reader.error().code(), Code::kOutOfRange);
    EXPECT_EQ(reader.error().reason(), "blob_range");
  }
}

TYPED_TEST_P(BlobContentSuite, ThreadsDoNotDisturbEachOther) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 5; ++i) {
        const BlobKey key = this->Key("job" + std::to_string(t) + "/" + std::to_string(i) + "/a");
        const std::string content = this->Pattern(10'000, static_cast<unsigned>(t * 100 + i + 1));
        this->Put(key, content);
        EXPECT_TRUE(this->Get(key) == content);
        if (i % 2 == 0) EXPECT_TRUE(this->store().Delete(key, this->Soon()).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(this->Names(this->TenantPrefix(), 3).size(), 8U);
}

REGISTER_TYPED_TEST_SUITE_P(BlobContentSuite, WhatWasWrittenIsRead, StatGivesTheFactsOfTheCommit,
                            AnEmptyObjectIsAnObject, PiecesOfAnySizeMakeOneObject,
                            NothingIsVisibleBeforeTheCommit, AWriterThatDiesLeavesNothing,
                            AFinishedWriterRefusesEverything, WritingAgainReplacesContentAndFacts,
                            AReaderNeverMixesOldAndNew, OfWritersOfOneKeyOneWinsEntirely,
                            RangesGiveTheirBytes, ARangeBehindTheEndIsRefused, ThreadsDoNotDisturbEachOther);

}  // namespace mezzo::storage::testing
