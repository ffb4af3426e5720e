#include "mezzo/tenancy/ledger/journal.h"

#include <filesystem>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/storage/testing/temp_dir.h"
#include "mezzo/tenancy/ledger/testing/faulty_disk.h"

namespace mezzo::tenancy {
namespace {

using ::testing::ElementsAre;
using testing::FaultyDisk;
using ::testing::IsEmpty;

constexpr const char* kEpoch = "0190a000-0000-7000-8000-000000000001";
constexpr ByteCount kSegment = 4096;

UsageRecord Record(std::int64_t sequence, std::size_t rows = 2) {
  UsageRecord record{.sequence = sequence, .hour_us = 3'600'000'000};
  for (std::size_t i = 0; i < rows; ++i) {
    record.rows.push_back({.key = {.tenant = "t" + std::to_string(i), .model = "m", .kind = "inference"},
                           .usage = {.requests = sequence, .device_ns = 1000 * (sequence % 1000)}});
  }
  return record;
}

std::vector<std::int64_t> Sequences(const std::vector<UsageJournal::Recovered>& recovered) {
  std::vector<std::int64_t> sequences;
  for (const auto& one : recovered) sequences.push_back(one.record.sequence);
  return sequences;
}

std::size_t Files(const std::string& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

class UsageJournalTest : public ::testing::Test {
 protected:
  std::vector<UsageJournal::Recovered> Reread(ByteCount& torn) {
    UsageJournal later(disk_, folder_.path(), "0190a000-0000-7000-8000-000000000002", kSegment);
    auto recovered = later.Recover(torn);
    EXPECT_TRUE(recovered.ok()) << recovered.error().ToString();
    return *std::move(recovered);
  }

  storage::testing::TempDir folder_;
  FaultyDisk disk_;
};

TEST(UsageRecord, IsReadAsItWasWrittenAndNothingElseIs) {
  std::mt19937_64 random(7);  // NOLINT(*-msc51-cpp): the same every time.
  for (int round = 0; round < 50; ++round) {
    UsageRecord record = Record(static_cast<std::int64_t>(random() >> 1), random() % 5);
    for (auto& row : record.rows) row.key.project = std::string(random() % 200, 'p');
    const std::string frame = EncodeRecord(kEpoch, record);
    std::string_view rest = frame;
    EXPECT_EQ(TakeRecord(kEpoch, rest), record);
    EXPECT_TRUE(rest.empty());

    std::string_view cut = std::string_view(frame).substr(0, random() % frame.size());
    EXPECT_FALSE(TakeRecord(kEpoch, cut));
    std::string flipped = frame;
    flipped[random() % flipped.size()] ^= static_cast<char>(1 << (random() % 8));
    std::string_view bad = flipped;
    EXPECT_FALSE(TakeRecord(kEpoch, bad));
    std::string_view other = frame;
    EXPECT_FALSE(TakeRecord("another epoch", other)) << "records of other runs do not count";
  }
}

TEST_F(UsageJournalTest, ALaterRunFindsWhatIsNotSettledInOrder) {
  ByteCount torn = 0;
  {
    UsageJournal journal(disk_, folder_.path(), kEpoch, kSegment);
    ASSERT_TRUE(journal.Recover(torn).ok());
    for (int i = 1; i <= 100; ++i) ASSERT_TRUE(journal.Append(Record(i)).ok());
  }
  EXPECT_GT(Files(folder_.path()), 2U);
  const auto recovered = Reread(torn);
  ASSERT_EQ(recovered.size(), 100U);
  EXPECT_EQ(torn, 0U);
  for (int i = 1; i <= 100; ++i) {
    EXPECT_EQ(recovered[static_cast<std::size_t>(i - 1)].record, Record(i));
    EXPECT_EQ(recovered[static_cast<std::size_t>(i - 1)].epoch, kEpoch);
  }
}

TEST_F(UsageJournalTest, AFileGoesWhenAllOfItIsSettled) {
  UsageJournal journal(disk_, folder_.path(), kEpoch, /*segment_bytes=*/1);
  ByteCount torn = 0;
  ASSERT_TRUE(journal.Recover(torn).ok());
  const auto first = journal.Append(Record(1));
  const auto second = journal.Append(Record(2));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(Files(folder_.path()), 2U);
  journal.Settle(*first);
  EXPECT_THAT(Sequences(Reread(torn)), ElementsAre(2));
  journal.Settle(*second);
  EXPECT_EQ(Files(folder_.path()), 0U);
}

TEST_F(UsageJournalTest, AFileThatIsCutAnywhereGivesTheRecordsBeforeTheCut) {
  std::string path;
  {
    UsageJournal journal(disk_, folder_.path(), kEpoch, kSegment);
    ByteCount torn = 0;
    ASSERT_TRUE(journal.Recover(torn).ok());
    for (int i = 1; i <= 3; ++i) path = (*journal.Append(Record(i)))->path;
  }
  const auto whole = std::filesystem::file_size(path);
  const std::size_t one = EncodeRecord(kEpoch, Record(1)).size();
  ASSERT_EQ(whole, 3 * one);
  for (std::size_t size = whole; size-- > one;) {
    std::filesystem::resize_file(path, size);
    ByteCount torn = 0;
    EXPECT_EQ(Reread(torn).size(), size / one);
    EXPECT_EQ(torn, size % one);
  }
}

TEST_F(UsageJournalTest, WhateverCallFailsASyncedRecordIsFoundOnce) {
  for (const bool power : {false, true}) {  // Lost or not.
    for (const bool for_good : {false, true}) {
      for (std::size_t fail_at = 1; fail_at < 30; ++fail_at) {
        const storage::testing::TempDir folder;
        FaultyDisk disk;
        std::vector<std::int64_t> synced;
        {
          UsageJournal journal(disk, folder.path(), kEpoch, /*segment_bytes=*/200);
          ByteCount torn = 0;
          ASSERT_TRUE(journal.Recover(torn).ok());
          disk.FailAt(fail_at, for_good);
          std::int64_t next = 1;
          for (int tries = 0; tries < 12; ++tries) {
            if (!journal.Append(Record(next)).ok()) continue;  // The same again.
            synced.push_back(next++);
          }
        }
        disk.FailAt(0, false);
        if (power) disk.LoseUnsynced();
        UsageJournal later(disk, folder.path(), "0190a000-0000-7000-8000-000000000002", kSegment);
        ByteCount torn = 0;
        const auto recovered = later.Recover(torn);
        ASSERT_TRUE(recovered.ok());
        std::vector<std::int64_t> found = Sequences(*recovered);
        // One more may be there: a sync that failed says nothing of what was written.
        if (found.size() == synced.size() + 1 && for_good) found.pop_back();
        EXPECT_EQ(found, synced) << "call " << fail_at << (for_good ? " and later ones" : "");
        if (!for_good) EXPECT_EQ(synced.size(), 11U) << "one try in vain";
      }
    }
  }
}

TEST_F(UsageJournalTest, AFolderThatCannotBeReadIsAnError) {
  UsageJournal journal(disk_, folder_.path(), kEpoch, kSegment);
  for (std::size_t call = 1; call <= 2; ++call) {
    disk_.FailAt(call, false);
    ByteCount torn = 0;
    EXPECT_EQ(journal.Recover(torn).error().reason(), "usage_journal");
  }
}

}  // namespace
}  // namespace mezzo::tenancy
