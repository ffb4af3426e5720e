#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mezzo/text/wordpiece.h"

namespace mezzo::generation::internal {

using text::TokenId;

/// `left` directly before `right` becomes `result`.
struct Merge {
  TokenId left = 0;
  TokenId right = 0;
  TokenId result = 0;
};

/// Byte pair encoding (Sennrich, Haddow, Birch 2016): of all pairs of neighbours, the one whose merge stands
/// first in the list is merged, the leftmost of equal ones first, until none is left.
///
/// Immutable; thread-safe.
class BytePairMerger {
 public:
  /// `merges` in order of rank; of equal pairs the last one counts. Token ids are not negative.
  explicit BytePairMerger(std::span<const Merge> merges);

  /// Merges the symbols of one word in place. A negative symbol merges with nothing. Time is n log n for n
  /// symbols, which are fewer than 2^31.
  void Apply(std::vector<TokenId>* symbols) const;

 private:
  struct Slot {
    std::uint64_t pair = kEmpty;
    std::uint32_t rank = 0;
    TokenId result = 0;
  };
  static constexpr std::uint64_t kEmpty = UINT64_MAX;

  static std::uint64_t PairOf(TokenId left, TokenId right);
  /// The slot of the pair, or the empty one where it belongs.
  [[nodiscard]] std::size_t SlotOf(std::uint64_t pair) const;
  /// The merge of two neighbours, or nullptr.
  [[nodiscard]] const Slot* Find(TokenId left, TokenId right) const;

  std::vector<Slot> slots_;  // An open hash table, at most half full; its size is a power of two.
};

}  // namespace mezzo::generation::internal
