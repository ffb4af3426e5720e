#include "mezzo/cache/internal/shared_entry.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "mezzo/base/bytes.h"

namespace mezzo::cache::internal {
namespace {

const std::string kSecret(64, 's');

SharedEntry Entry(std::string payload = "what was computed") {
  return {.kind = SharedEntry::Kind::kValue,
          .epoch = 7,
          .key = Sha256Of(AsBytes("key")),
          .stored = WallTime(std::chrono::milliseconds(1'700'000'000'123)),
          .expires = WallTime(std::chrono::milliseconds(1'700'000'060'456)),
          .cost = std::chrono::microseconds(1234),
          .payload = std::move(payload)};
}

TEST(SharedEntry, ComesBackAsItWas) {
  for (const std::string& payload : {std::string(), std::string(1, '\0'), std::string(100'000, 'x')}) {
    const SharedEntry entry = Entry(payload);
    const auto opened = OpenEntry(SealEntry(entry, kSecret), kSecret);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(opened->kind, entry.kind);
    EXPECT_EQ(opened->epoch, 7U);
    EXPECT_EQ(opened->key, entry.key);
    EXPECT_EQ(opened->stored, entry.stored);
    EXPECT_EQ(opened->expires, entry.expires);
    EXPECT_EQ(opened->cost, entry.cost);
    EXPECT_EQ(opened->payload, payload);
  }
}

TEST(SharedEntry, NoTruncationAndNoChangedBitOpens) {
  const std::string sealed = SealEntry(Entry(), kSecret);
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(OpenEntry(sealed.substr(0, size), kSecret).has_value()) << size;
  }
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string changed = sealed;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(OpenEntry(changed, kSecret).has_value()) << bit;
  }
  EXPECT_FALSE(OpenEntry(sealed + "x", kSecret).has_value());
  EXPECT_FALSE(OpenEntry(sealed, std::string(64, 't')).has_value()) << "another database's";
}

TEST(SharedEntry, WhatIsSealedRightAndSaysNonsenseDoesNotOpen) {
  SharedEntry odd = Entry();
  odd.kind = static_cast<SharedEntry::Kind>(9);
  EXPECT_FALSE(OpenEntry(SealEntry(odd, kSecret), kSecret).has_value());
  odd = Entry();
  odd.cost = Duration(-1);
  EXPECT_FALSE(OpenEntry(SealEntry(odd, kSecret), kSecret).has_value());
}

TEST(SharedEntry, RandomBytesDoNotOpen) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = round % 2 == 0 ? "MZC1" : "";
    const std::size_t size = random() % 300;
    while (bytes.size() < size) bytes.push_back(static_cast<char>(random()));
    EXPECT_FALSE(OpenEntry(bytes, kSecret).has_value());
  }
}

TEST(SharedEntry, ErrorsComeBackAndTheirTruncationsDoNotCrash) {
  const Error error = InvalidArgument("tensor_size", "the tensor is too small");
  const std::string payload = ErrorPayload(error);
  const auto read = ReadErrorPayload(payload);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->ToString(), error.ToString());
  for (std::size_t size = 0; size < 9 + error.reason().size(); ++size) {
    EXPECT_FALSE(ReadErrorPayload(payload.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(ReadErrorPayload(std::string(40, '\xff')).has_value());
  EXPECT_FALSE(ReadErrorPayload(std::string(40, '\0')).has_value());
}

}  // namespace
}  // namespace mezzo::cache::internal
