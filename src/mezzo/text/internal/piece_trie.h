#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace mezzo::text::internal {

/// A set of strings with a number each, for finding the longest that a text starts with. Immutable;
/// thread-safe.
class PieceTrie {
 public:
  struct Match {
    std::int32_t id = -1;  ///< -1: none.
    std::size_t length = 0;
  };

  /// Strings must differ and not be empty; their bytes are not kept. Numbers are not negative.
  explicit PieceTrie(std::vector<std::pair<std::string_view, std::int32_t>> pieces);

  [[nodiscard]] Match LongestPrefix(std::string_view text) const;

 private:
  struct Node {
    std::uint32_t first_child = 0;
    std::uint32_t child_count = 0;
    std::int32_t id = -1;
  };

  // The children of a node lie side by side; labels_[i] is the byte that leads to nodes_[i]. Node 0 is the
  // root.
  std::vector<Node> nodes_;
  std::vector<unsigned char> labels_;
};

}  // namespace mezzo::text::internal
