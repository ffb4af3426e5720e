#pragma once

#include <cstddef>
#include <cstdint>

#include <boost/container/small_vector.hpp>

namespace mezzo::sched::internal {

/// "Not in the heap."
inline constexpr std::uint32_t kNoPosition = UINT32_MAX;

/// A 4-ary min-heap of pointers whose elements know their position, so that removal and re-keying are O(log
/// n). Keys live beside the pointers: sifting touches one cache line per level, not the elements.
/// `Position::Of(T&)` returns the element's position field. Up to `kInline` elements lie within the heap
/// itself: with thousands of flows every step to memory of its own is a cache miss.
template <typename Key, typename T, typename Position, std::size_t kInline = 0>
class Heap {
 public:
  [[nodiscard]] bool empty() const { return nodes_.empty(); }
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] T* top() const { return nodes_[0].value; }
  [[nodiscard]] const Key& top_key() const { return nodes_[0].key; }
  [[nodiscard]] T* at(std::size_t i) const { return nodes_[i].value; }
  [[nodiscard]] const Key& key_of(T& value) const { return nodes_[Position::Of(value)].key; }

  void Push(const Key& key, T* value) {
    nodes_.push_back({key, value});
    SiftUp(nodes_.size() - 1);
  }
  void Pop() { RemoveAt(0); }
  void Remove(T* value) { RemoveAt(Position::Of(*value)); }
  void Update(const Key& key, T* value) {
    const std::size_t i = Position::Of(*value);
    const bool up = key < nodes_[i].key;
    nodes_[i].key = key;
    if (up) {
      SiftUp(i);
    } else {
      SiftDown(i);
    }
  }

 private:
  static constexpr std::size_t kArity = 4;
  struct Node {
    Key key;
    T* value;
  };

  void Place(std::size_t i, const Node& node) {
    nodes_[i] = node;
    Position::Of(*node.value) = static_cast<std::uint32_t>(i);
  }
  void RemoveAt(std::size_t i) {
    Position::Of(*nodes_[i].value) = kNoPosition;
    const Node last = nodes_.back();
    nodes_.pop_back();
    if (i == nodes_.size()) return;
    nodes_[i] = last;
    if (i > 0 && last.key < nodes_[(i - 1) / kArity].key) {
      SiftUp(i);
    } else {
      SiftDown(i);
    }
  }
  void SiftUp(std::size_t i) {
    const Node node = nodes_[i];
    while (i > 0) {
      const std::size_t parent = (i - 1) / kArity;
      if (!(node.key < nodes_[parent].key)) break;
      Place(i, nodes_[parent]);
      i = parent;
    }
    Place(i, node);
  }
  void SiftDown(std::size_t i) {
    const Node node = nodes_[i];
    const std::size_t count = nodes_.size();
    for (;;) {
      const std::size_t first = i * kArity + 1;
      if (first >= count) break;
      const std::size_t end = first + kArity < count ? first + kArity : count;
      std::size_t least = first;
      for (std::size_t child = first + 1; child < end; ++child) {
        if (nodes_[child].key < nodes_[least].key) least = child;
      }
      if (!(nodes_[least].key < node.key)) break;
      Place(i, nodes_[least]);
      i = least;
    }
    Place(i, node);
  }

  boost::container::small_vector<Node, kInline> nodes_;
};

}  // namespace mezzo::sched::internal
