#include "mezzo/drivers/onnxruntime/internal/allocator.h"

#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace mezzo::drivers {
namespace {

constexpr ByteCount kMiB = ByteCount{1} << 20U;
constexpr ByteCount kNoLimit = ByteCount{1} << 60U;

TEST(SessionAllocator, AlignsAndGivesAtLeastWhatWasAsked) {
  SessionAllocator allocator(nullptr, 64 * kMiB, kNoLimit);

  for (std::size_t size = 1; size < (std::size_t{3} << 20U); size = size * 5 / 4 + 1) {
    void* const at = allocator.Allocate(size);
    ASSERT_NE(at, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(at) % SessionAllocator::kAlignment, 0U);
    std::memset(at, 0x5a, size);
    allocator.Free(at);
  }
}

TEST(SessionAllocator, RefusesZeroAndImpossibleSizes) {
  SessionAllocator allocator(nullptr, kMiB, kNoLimit);

  EXPECT_EQ(allocator.Allocate(0), nullptr);
  EXPECT_EQ(allocator.Allocate(SIZE_MAX), nullptr);
  EXPECT_EQ(allocator.Allocate(SIZE_MAX - 32), nullptr);
  allocator.Free(nullptr);
}

TEST(SessionAllocator, RunsHoldNoMoreThanTheyMayAndLoadsAreNotAmongThem) {
  SessionAllocator allocator(nullptr, 64 * kMiB, 4 * kMiB);
  void* const three = allocator.Allocate(3 * kMiB - 64);
  ASSERT_NE(three, nullptr);
  EXPECT_EQ(allocator.run_bytes(), 3 * kMiB);
  EXPECT_EQ(allocator.Allocate(2 * kMiB), nullptr);
  void* const one = allocator.Allocate(kMiB - 64);
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(allocator.run_bytes(), 4 * kMiB);
  {
    MemoryAccount account;
    const SessionAllocator::LoadScope scope(account);
    void* const load = allocator.Allocate(8 * kMiB);
    ASSERT_NE(load, nullptr);
    allocator.Free(load);
  }
  allocator.Free(three);
  allocator.Free(one);
  EXPECT_EQ(allocator.run_bytes(), 0U) << "what is kept for the next run is nobody's";
}

TEST(SessionAllocator, TheLibraryIsNeverGivenNull) {
  SessionAllocator allocator(nullptr, kMiB, kMiB);
  OrtAllocator* const ort = allocator.ort();
  EXPECT_EQ(ort->Alloc(ort, 0), nullptr);
  const auto words = [&](std::size_t size) -> std::string {
    try {
      (void)ort->Alloc(ort, size);
    } catch (const std::bad_alloc& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(words(2 * kMiB),
            "mezzo has no memory for this: a tensor takes 2 MiB; runs hold 0 B and may hold 1 MiB");
  MemoryAccount account;
  const SessionAllocator::LoadScope scope(account);
  EXPECT_EQ(words(SIZE_MAX / 4),
            "mezzo has no memory for this: a tensor takes 4194304 TiB, which the system does not give");
}

TEST(SessionAllocator, EveryBoundaryOfASizeClassFits) {
  SessionAllocator allocator(nullptr, 0, kNoLimit);

  for (std::size_t power = std::size_t{64} << 10U; power <= (std::size_t{8} << 20U); power *= 2) {
    for (const std::size_t quarter : {4, 5, 6, 7}) {
      for (const std::size_t near : {63, 64, 65}) {
        const std::size_t size = power / 4 * quarter - near;
        auto* const at = static_cast<char*>(allocator.Allocate(size));
        ASSERT_NE(at, nullptr);
        at[size - 1] = 1;
        allocator.Free(at);
      }
    }
  }
}

TEST(SessionAllocator, ReusesLargeBlocksOfRuns) {
  SessionAllocator allocator(nullptr, 64 * kMiB, kNoLimit);
  void* const first = allocator.Allocate(kMiB);
  allocator.Free(first);
  EXPECT_GE(allocator.cached_bytes(), kMiB);

  void* const second = allocator.Allocate(kMiB + 1000);

  EXPECT_EQ(second, first);
  EXPECT_EQ(allocator.cached_bytes(), 0U);
  allocator.Free(second);
}

TEST(SessionAllocator, KeepsNoMoreThanItsLimit) {
  SessionAllocator allocator(nullptr, 4 * kMiB, kNoLimit);
  std::vector<void*> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(allocator.Allocate(kMiB));

  for (void* block : blocks) allocator.Free(block);

  EXPECT_LE(allocator.cached_bytes(), 4 * kMiB);
  EXPECT_GT(allocator.cached_bytes(), 2 * kMiB);
}

TEST(SessionAllocator, TrimReleasesWhatWasNotUsedSinceTheLastOne) {
  SessionAllocator allocator(nullptr, 64 * kMiB, kNoLimit);
  void* const used = allocator.Allocate(kMiB);
  void* const idle = allocator.Allocate(2 * kMiB);
  allocator.Free(used);
  allocator.Free(idle);
  allocator.Trim();
  ASSERT_GE(allocator.cached_bytes(), 3 * kMiB);

  allocator.Free(allocator.Allocate(kMiB));
  allocator.Trim();

  EXPECT_GE(allocator.cached_bytes(), kMiB);
  EXPECT_LT(allocator.cached_bytes(), 2 * kMiB);
}

TEST(SessionAllocator, ChargesALoadAndReturnsTheChargeWithTheMemory) {
  SessionAllocator allocator(nullptr, 64 * kMiB, kNoLimit);
  MemoryAccount account;
  void* large = nullptr;
  void* small = nullptr;
  {
    const SessionAllocator::LoadScope scope(account);
    large = allocator.Allocate(3 * kMiB);
    small = allocator.Allocate(1000);
  }
  void* const of_a_run = allocator.Allocate(5 * kMiB);

  EXPECT_GE(account.mapped(), 3 * kMiB);
  EXPECT_LT(account.mapped(), 3 * kMiB + 8192);
  EXPECT_GE(account.malloced(), 1000U);
  EXPECT_LT(account.malloced(), 1200U);
  std::thread([&] {
    allocator.Free(large);
    allocator.Free(small);
  }).join();
  EXPECT_EQ(account.mapped() + account.malloced(), 0U);
  EXPECT_EQ(allocator.cached_bytes(), 0U);  // A load's memory goes back to the system.
  allocator.Free(of_a_run);
}

TEST(SessionAllocator, ServesThreadsAtTheSameTime) {
  SessionAllocator allocator(nullptr, 8 * kMiB, kNoLimit);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&allocator, t] {
      for (std::size_t i = 0; i < 500; ++i) {
        const std::size_t size = 1000 + (i * 7919 + static_cast<std::size_t>(t) * 104729) % 300000;
        auto* const at = static_cast<char*>(allocator.Allocate(size));
        ASSERT_NE(at, nullptr);
        at[0] = static_cast<char>(t);
        at[size - 1] = static_cast<char>(t);
        if (i % 50 == 0) allocator.Trim();
        EXPECT_EQ(at[0], static_cast<char>(t));
        allocator.Free(at);
      }
    });
  }
  for (auto& thread : threads) thread.join();

  EXPECT_LE(allocator.cached_bytes(), 8 * kMiB);
}

}  // namespace
}  // namespace mezzo::drivers
