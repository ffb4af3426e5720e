#include "mezzo/generation/internal/byte_pair_merger.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace mezzo::generation::internal {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

/// The symbols of a word that are left, as a list; a merge takes the right one out.
struct Link {
  std::uint32_t previous = kNone;
  std::uint32_t next = kNone;
};

/// A merge that may be possible: rank first, then the place of its left symbol.
constexpr std::uint64_t Candidate(std::uint32_t rank, std::uint32_t left) {
  return std::uint64_t{rank} << 32U | left;
}

}  // namespace

BytePairMerger::BytePairMerger(std::span<const Merge> merges) {
  slots_.resize(std::bit_ceil(2 * merges.size() + 1));
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::uint64_t pair = PairOf(merges[rank].left, merges[rank].right);
    slots_[SlotOf(pair)] = {
        .pair = pair, .rank = static_cast<std::uint32_t>(rank), .result = merges[rank].result};
  }
}

std::uint64_t BytePairMerger::PairOf(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(left) << 32U | static_cast<std::uint32_t>(right);
}

std::size_t BytePairMerger::SlotOf(std::uint64_t pair) const {
  constexpr std::uint64_t kGoldenRatio = 0x9E3779B97F4A7C15;  // Fibonacci hashing (Knuth, volume 3, 6.4).
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = (pair * kGoldenRatio) >> 32U & mask;
  while (slots_[at].pair != kEmpty && slots_[at].pair != pair) at = (at + 1) & mask;
  return at;
}

const BytePairMerger::Slot* BytePairMerger::Find(TokenId left, TokenId right) const {
  if (left < 0 || right < 0) return nullptr;
  const Slot& slot = slots_[SlotOf(PairOf(left, right))];
  return slot.pair == kEmpty ? nullptr : &slot;
}

void BytePairMerger::Apply(std::vector<TokenId>* symbols) const {
  std::vector<TokenId>& ids = *symbols;
  const auto size = static_cast<std::uint32_t>(ids.size());
  std::vector<Link> links(size);
  std::vector<std::uint64_t> candidates;  // A heap, the first merge on top.
  const auto offer = [&](std::uint32_t left) {
    const Slot* const found = Find(ids[left], ids[links[left].next]);
    if (found == nullptr) return;
    candidates.push_back(Candidate(found->rank, left));
    std::push_heap(candidates.begin(), candidates.end(), std::greater<>());
  };
  for (std::uint32_t i = 0; i < size; ++i) {
    links[i] = {.previous = i == 0 ? kNone : i - 1, .next = i + 1 == size ? kNone : i + 1};
  }
  for (std::uint32_t i = 0; i + 1 < size; ++i) offer(i);

  constexpr TokenId kMerged = -2;  // No symbol any more: part of the one before it.
  while (!candidates.empty()) {
    const std::uint64_t candidate = candidates.front();
    std::pop_heap(candidates.begin(), candidates.end(), std::greater<>());
    candidates.pop_back();
    const auto left = static_cast<std::uint32_t>(candidate);
    const std::uint32_t right = links[left].next;
    if (ids[left] == kMerged || right == kNone) continue;
    const Slot* const found = Find(ids[left], ids[right]);
    if (found == nullptr || Candidate(found->rank, left) != candidate) continue;  // Its symbols have changed.
    ids[left] = found->result;
    ids[right] = kMerged;
    links[left].next = links[right].next;
    if (links[left].next != kNone) {
      links[links[left].next].previous = left;
      offer(left);
    }
    if (links[left].previous != kNone) offer(links[left].previous);
  }
  std::erase(ids, kMerged);
}

}  // namespace mezzo::generation::internal
