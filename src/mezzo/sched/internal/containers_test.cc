#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/sched/internal/heap.h"
#include "mezzo/sched/internal/pool.h"
#include "mezzo/sched/simulator.h"

namespace mezzo::sched::internal {
namespace {

struct Element {
  int key = 0;
  std::uint64_t id = 0;
  std::uint32_t position = kNoPosition;
};
struct ElementPosition {
  static std::uint32_t& Of(Element& element) { return element.position; }
};

TEST(Heap, AgreesWithASetUnderRandomOperations) {
  Random random(1);
  Heap<std::pair<int, std::uint64_t>, Element, ElementPosition> heap;
  std::set<std::pair<int, std::uint64_t>> model;
  std::vector<std::unique_ptr<Element>> all;
  for (std::uint64_t i = 0; i < 500; ++i) all.push_back(std::make_unique<Element>(Element{0, i}));

  for (int step = 0; step < 50000; ++step) {
    Element& element = *all[random.Below(all.size())];
    const std::pair old{element.key, element.id};
    const int key = static_cast<int>(random.Below(100));
    if (element.position == kNoPosition) {
      element.key = key;
      heap.Push({key, element.id}, &element);
      model.insert({key, element.id});
    } else if (random.Below(2) == 0) {
      heap.Remove(&element);
      model.erase(old);
    } else {
      element.key = key;
      heap.Update({key, element.id}, &element);
      model.erase(old);
      model.insert({key, element.id});
    }
    ASSERT_EQ(heap.size(), model.size());
    if (!model.empty()) ASSERT_EQ(heap.top_key(), *model.begin());
  }
  while (!model.empty()) {
    ASSERT_EQ(heap.top()->id, model.begin()->second);
    heap.Pop();
    model.erase(model.begin());
  }
  EXPECT_TRUE(heap.empty());
}

TEST(PointerTable, AgreesWithASetUnderCollisionsAndRemovals) {
  Random random(2);
  PointerTable<Element> table;
  std::vector<std::unique_ptr<Element>> all;
  for (std::uint64_t i = 0; i < 300; ++i) all.push_back(std::make_unique<Element>(Element{0, i}));
  std::set<std::uint64_t> model;
  // Few distinct hashes, so that chains are long and wrap around the end.
  const auto hash_of = [](std::uint64_t id) { return ~std::uint64_t{0} - id % 7; };

  for (int step = 0; step < 20000; ++step) {
    Element& element = *all[random.Below(all.size())];
    if (model.count(element.id) == 0) {
      table.Insert(hash_of(element.id), &element);
      model.insert(element.id);
    } else {
      table.Erase(hash_of(element.id), &element);
      model.erase(element.id);
    }
    const std::uint64_t probe = random.Below(all.size());
    Element* found = table.Find(hash_of(probe), [probe](const Element& each) { return each.id == probe; });
    ASSERT_EQ(found != nullptr, model.count(probe) == 1);
  }
  EXPECT_EQ(table.size(), model.size());
}

TEST(Pool, ReusesWhatWasGivenBack) {
  Pool<Element> pool;
  Element* first = pool.Take();

  pool.Give(first);

  EXPECT_EQ(pool.Take(), first);
  EXPECT_NE(pool.Take(), first);
}

}  // namespace
}  // namespace mezzo::sched::internal
