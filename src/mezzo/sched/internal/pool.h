#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace mezzo::sched::internal {

/// Objects at stable addresses that are reused, with the capacity of their vectors, rather than freed.
template <typename T>
class Pool {
 public:
  /// A fresh or reused object; the caller resets what it needs.
  T* Take() {
    if (free_.empty()) return &objects_.emplace_back();
    T* object = free_.back();
    free_.pop_back();
    return object;
  }
  void Give(T* object) { free_.push_back(object); }

 private:
  std::deque<T> objects_;
  std::vector<T*> free_;
};

/// Open-addressed hash table of pointers; the key is part of the element. `Hash(const T&)` and an equality
/// predicate on lookup are given by the caller. Linear probing, removal by backward shift, at most half full.
template <typename T>
class PointerTable {
 public:
  PointerTable() : slots_(16) {}

  template <typename Matches>
  [[nodiscard]] T* Find(std::uint64_t hash, const Matches& matches) const {
    for (std::size_t i = hash & Mask();; i = (i + 1) & Mask()) {
      const Slot& slot = slots_[i];
      if (slot.value == nullptr) return nullptr;
      if (slot.hash == hash && matches(*slot.value)) return slot.value;
    }
  }
  /// `value` must not be in the table yet.
  void Insert(std::uint64_t hash, T* value) {
    if (2 * (count_ + 1) > slots_.size()) Grow();
    Put(hash, value);
    ++count_;
  }
  /// `value` must be in the table under `hash`.
  void Erase(std::uint64_t hash, const T* value) {
    std::size_t hole = hash & Mask();
    while (slots_[hole].value != value) hole = (hole + 1) & Mask();
    for (std::size_t i = (hole + 1) & Mask(); slots_[i].value != nullptr; i = (i + 1) & Mask()) {
      const std::size_t home = slots_[i].hash & Mask();
      // Move it back only if the hole lies between its home and where it is.
      if (((i - home) & Mask()) >= ((i - hole) & Mask())) {
        slots_[hole] = slots_[i];
        hole = i;
      }
    }
    slots_[hole] = {};
    --count_;
  }
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    T* value = nullptr;
  };
  [[nodiscard]] std::size_t Mask() const { return slots_.size() - 1; }
  void Put(std::uint64_t hash, T* value) {
    std::size_t i = hash & Mask();
    while (slots_[i].value != nullptr) i = (i + 1) & Mask();
    slots_[i] = {hash, value};
  }
  void Grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.value != nullptr) Put(slot.hash, slot.value);
    }
  }

  std::vector<Slot> slots_;
  std::size_t count_ = 0;
};

/// Mixes two words into a well-spread hash (the finaliser of SplitMix64).
inline std::uint64_t MixHash(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9E3779B97F4A7C15ULL + b;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

}  // namespace mezzo::sched::internal
