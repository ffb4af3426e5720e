#include "mezzo/text/internal/piece_trie.h"

#include <algorithm>
#include <cstring>

namespace mezzo::text::internal {

PieceTrie::PieceTrie(std::vector<std::pair<std::string_view, std::int32_t>> pieces) {
  struct Range {
    std::uint32_t node;
    std::size_t begin;
    std::size_t end;
    std::size_t depth;
  };
  std::sort(pieces.begin(), pieces.end());
  nodes_.emplace_back();
  labels_.push_back(0);
  std::vector<Range> open = {{0, 0, pieces.size(), 0}};
  while (!open.empty()) {
    Range range = open.back();
    open.pop_back();
    if (range.begin != range.end && pieces[range.begin].first.size() == range.depth) {
      nodes_[range.node].id = pieces[range.begin++].second;
    }
    const auto first = static_cast<std::uint32_t>(nodes_.size());
    for (std::size_t begin = range.begin; begin < range.end;) {
      const char label = pieces[begin].first[range.depth];
      std::size_t end = begin + 1;
      while (end < range.end && pieces[end].first[range.depth] == label) ++end;
      open.push_back({static_cast<std::uint32_t>(nodes_.size()), begin, end, range.depth + 1});
      nodes_.emplace_back();
      labels_.push_back(static_cast<unsigned char>(label));
      begin = end;
    }
    nodes_[range.node].first_child = first;
    nodes_[range.node].child_count = static_cast<std::uint32_t>(nodes_.size()) - first;
  }
}

PieceTrie::Match PieceTrie::LongestPrefix(std::string_view text) const {
  Match best;
  const Node* node = nodes_.data();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const unsigned char* const labels = labels_.data() + node->first_child;
    const void* const found = std::memchr(labels, static_cast<unsigned char>(text[i]), node->child_count);
    if (found == nullptr) break;
    node = nodes_.data() + node->first_child + (static_cast<const unsigned char*>(found) - labels);
    if (node->id >= 0) best = {node->id, i + 1};
  }
  return best;
}

}  // namespace mezzo::text::internal
