#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "mezzo/base/check.h"

namespace mezzo::storage {

/// A bounded map from text that forgets what was not used for longest: the prepared statements of a
/// connection. Not thread-safe. Pointers to values stay good until the value is evicted or replaced.
template <typename Value>
class LruMap {
 public:
  /// `capacity` is at least 1.
  explicit LruMap(std::size_t capacity) : capacity_(capacity) { MEZZO_CHECK(capacity_ > 0); }

  /// Null when there is none; otherwise the value becomes the most recently used.
  [[nodiscard]] Value* Find(std::string_view key) {
    const auto it = index_.find(key);
    if (it == index_.end()) return nullptr;
    items_.splice(items_.begin(), items_, it->second);
    return &it->second->second;
  }

  /// Adds a value whose key is not there, as the most recently used.
  Value& Insert(std::string_view key, Value value) {
    items_.emplace_front(std::string(key), std::move(value));
    const bool added = index_.emplace(items_.front().first, items_.begin()).second;
    MEZZO_CHECK(added);
    return items_.front().second;
  }

  /// Takes the least recently used value when there is no room for another.
  [[nodiscard]] std::optional<Value> MakeRoom() {
    if (items_.size() < capacity_) return std::nullopt;
    std::optional<Value> oldest(std::move(items_.back().second));
    index_.erase(items_.back().first);
    items_.pop_back();
    return oldest;
  }

  void Erase(std::string_view key) {
    const auto it = index_.find(key);
    if (it == index_.end()) return;
    const auto item = it->second;
    index_.erase(it);
    items_.erase(item);
  }

  void Clear() {
    index_.clear();
    items_.clear();
  }

  [[nodiscard]] std::size_t size() const { return items_.size(); }

 private:
  using Items = std::list<std::pair<std::string, Value>>;

  const std::size_t capacity_;
  Items items_;                                                           // Most recently used first.
  std::unordered_map<std::string_view, typename Items::iterator> index_;  // Keys lie in items_.
};

}  // namespace mezzo::storage
