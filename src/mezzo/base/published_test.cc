#include "mezzo/base/published.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace mezzo {
namespace {

struct Pair {
  int a = 0;
  int b = 0;
};

std::shared_ptr<const Pair> PairOf(int value) { return std::make_shared<const Pair>(Pair{value, -value}); }

TEST(Published, IsReadAndReplaced) {
  Published<Pair> pair(PairOf(1));
  EXPECT_EQ(pair.Get()->a, 1);
  const auto kept = pair.Get();
  const auto old = pair.Replace(PairOf(2));
  EXPECT_EQ(old->a, 1);
  EXPECT_EQ(pair.Get()->a, 2);
  EXPECT_EQ(kept->a, 1);
}

TEST(Published, TwoOfOneTypeAreNotMistaken) {
  // More than a thread has places for, so that they push each other out.
  std::vector<std::unique_ptr<Published<Pair>>> all;
  for (int i = 0; i < 9; ++i) all.push_back(std::make_unique<Published<Pair>>(PairOf(i)));
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 9; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)]->Get()->a, i);
  }
  // One at the same address as one that has gone.
  all[3].reset();
  all[3] = std::make_unique<Published<Pair>>(PairOf(33));
  EXPECT_EQ(all[3]->Get()->a, 33);
}

TEST(Published, WhatWasReplacedGoesWithTheNextRead) {
  auto first = PairOf(1);
  const std::weak_ptr<const Pair> watched = first;
  Published<Pair> pair(std::move(first));
  (void)pair.Get();
  (void)pair.Replace(PairOf(2));
  EXPECT_FALSE(watched.expired());  // This thread has it still.
  (void)pair.Get();
  EXPECT_TRUE(watched.expired());
}

TEST(Published, ReadersSeeWholeValuesThatNeverGoBack) {
  Published<Pair> pair(PairOf(0));
  constexpr int kLast = 5000;
  std::atomic<int> published{0};  // Partner of itself: nothing older may be read after it was seen.
  std::vector<std::thread> readers;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      int before = 0;
      while (before < kLast) {
        const int least = published.load(std::memory_order_acquire);
        const auto now = pair.Get();
        if (now->b != -now->a || now->a < before || now->a < least) wrong.fetch_add(1);
        before = now->a;
      }
    });
  }
  for (int value = 1; value <= kLast; ++value) {
    (void)pair.Replace(PairOf(value));
    published.store(value, std::memory_order_release);
  }
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace mezzo
