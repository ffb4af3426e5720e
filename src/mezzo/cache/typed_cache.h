#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "mezzo/cache/key.h"
#include "mezzo/cache/recent_items.h"

namespace mezzo::cache {

/// Values of one type by name, in the memory that RecentItems bounds. A name is all that a value is found by:
/// who must see it only, is the caller's to check. Thread-safe as MemoryTier is: Get() takes no lock.
template <typename Value>
class TypedCache {
 public:
  /// `items` must outlive the cache. `kind` keeps its names apart from those of other kinds.
  TypedCache(RecentItems& items, std::string kind)
      : tier_(items.tier()), kind_(std::move(kind)), counts_(items.CountsOf(kind_)) {}

  /// Null when there is none, or it has expired, or `wanted` says that it does not do.
  template <typename Wanted>
  [[nodiscard]] std::shared_ptr<const Value> Get(std::string_view name, const Wanted& wanted) {
    const auto item = tier_.Get(KeyOf(name));
    if (item) {
      const auto& held = static_cast<const Held&>(*item->value);
      if (wanted(held.value)) {
        counts_->hits.fetch_add(1, std::memory_order_relaxed);
        return {item->value, &held.value};
      }
    }
    counts_->misses.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  [[nodiscard]] std::shared_ptr<const Value> Get(std::string_view name) {
    return Get(name, [](const Value&) { return true; });
  }

  /// Keeps `value`, which occupies about `bytes`, until `expires`. False when it is too large or has been
  /// rejected at once; what was there is gone then too.
  bool Put(std::string_view name, Value value, ByteCount bytes, TimePoint expires) {
    auto held = std::make_shared<const Held>(std::move(value), bytes + sizeof(Held), counts_);
    counts_->entries.fetch_add(1, std::memory_order_relaxed);
    counts_->bytes.fetch_add(held->bytes(), std::memory_order_relaxed);
    return tier_.Put(KeyOf(name), {.value = std::move(held), .expires = expires});
  }
  /// Whether there was one.
  bool Erase(std::string_view name) { return tier_.Erase(KeyOf(name)); }
  /// Erases all of this kind; looks at every entry of the tier, so not on an I/O thread.
  void Clear() {
    tier_.EraseIf([this](const CacheKey&, const MemoryTier::Item& item) {
      const auto* held = dynamic_cast<const Held*>(item.value.get());
      return held != nullptr && held->counts == counts_;
    });
  }

 private:
  struct Held final : Cached {
    Held(Value its_value, ByteCount its_bytes, std::shared_ptr<KindCounts> its_counts)
        : value(std::move(its_value)), size(its_bytes), counts(std::move(its_counts)) {}
    [[nodiscard]] ByteCount bytes() const override { return size; }
    void TakenOut() const noexcept override {
      counts->entries.fetch_sub(1, std::memory_order_relaxed);
      counts->bytes.fetch_sub(size, std::memory_order_relaxed);
    }
    const Value value;
    const ByteCount size;
    const std::shared_ptr<KindCounts> counts;
  };

  [[nodiscard]] CacheKey KeyOf(std::string_view name) const { return KeyBuilder(kind_).Text(name).Finish(); }

  MemoryTier& tier_;
  const std::string kind_;
  const std::shared_ptr<KindCounts> counts_;
};

}  // namespace mezzo::cache
