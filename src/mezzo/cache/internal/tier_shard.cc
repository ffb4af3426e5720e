#include "mezzo/cache/internal/tier_shard.h"

#include <algorithm>
#include <bit>

namespace mezzo::cache::internal {
namespace {

/// Share of the budget for newcomers.
constexpr ByteCount kWindowPart = 50;
/// A single newcomer stays in the window if it takes no more than this part of the budget.
constexpr ByteCount kLargestAlone = 8;
constexpr std::uint8_t kMostReads = 3;
/// Requests for each entry between two halvings of the sketch. The paper has ten; more tells rare keys apart
/// better (up to two points on flat distributions), and what it is slow to notice the duels do.
constexpr std::uint64_t kPeriod = 32;
constexpr std::uint64_t kLeastPeriod = 512;
/// Nodes that one Put() looks at when it makes room.
constexpr int kMostSteps = 64;
/// Of these, how many one search for a victim gives a second chance.
constexpr int kMostChances = 8;
constexpr std::size_t kRetiredBeforeAdvance = 32;
constexpr std::size_t kMostFreedAtOnce = 128;
/// Buckets that EraseIf() looks at under one hold of the lock.
constexpr std::size_t kBucketsAtOnce = 256;
/// Keys up to this size are compared under the pin, longer ones after it.
constexpr std::size_t kShortKey = 1024;

std::size_t BucketsFor(ByteCount budget) {
  const ByteCount entries = budget / (2 * MemoryTier::kEntryOverhead);
  return std::bit_ceil(static_cast<std::size_t>(std::clamp<ByteCount>(entries, 64, ByteCount{1} << 20)));
}

}  // namespace

void NodeList::PushNewest(Node& node) {
  node.newer = nullptr;
  node.older = newest;
  (newest != nullptr ? newest->newer : oldest) = &node;
  newest = &node;
  bytes += node.charge;
  ++count;
}

void NodeList::Remove(Node& node) {
  (node.newer != nullptr ? node.newer->older : newest) = node.older;
  (node.older != nullptr ? node.older->newer : oldest) = node.newer;
  bytes -= node.charge;
  --count;
}

class TierShard::Freed {
 public:
  Freed() = default;
  ~Freed() {
    while (first_ != nullptr) {
      Node* next = first_->newer;
      delete first_;
      first_ = next;
    }
  }
  Freed(const Freed&) = delete;
  Freed& operator=(const Freed&) = delete;

  void Add(Node& node) {
    node.newer = first_;
    first_ = &node;
  }

 private:
  Node* first_ = nullptr;
};

TierShard::TierShard(ByteCount budget, Reclaimer& reclaimer)
    : reclaimer_(reclaimer),
      bucket_count_(BucketsFor(budget)),
      buckets_(std::make_unique<std::atomic<Node*>[]>(bucket_count_)),
      sketch_(bucket_count_),
      duels_(bucket_count_ / 2),
      budget_(budget) {
  const MutexLock lock(mu_);
  SetPeriod();
}

TierShard::~TierShard() {
  Freed freed;
  const MutexLock lock(mu_);
  for (NodeList* list : {&window_, &main_, &retired_}) {
    while (list->oldest != nullptr) {
      Node& node = *list->oldest;
      if (list != &retired_) node.item.value->TakenOut();
      list->Remove(node);
      freed.Add(node);
    }
  }
}

std::optional<MemoryTier::Item> TierShard::Get(std::uint64_t hash, const CacheKey& key, TimePoint now,
                                               bool counts) {
  if (counts) {
    sketch_.Record(hash);
    duels_.Asked(hash, sketch_.records());
  }
  Reclaimer::Stripe& stripe = reclaimer_.MyStripe();
  std::optional<MemoryTier::Item> found;
  std::optional<CacheKey> long_key;
  {
    const Reclaimer::Pin pin(reclaimer_, stripe);
    Node* node = Bucket(hash).load(std::memory_order_seq_cst);
    for (; node != nullptr; node = node->next.load(std::memory_order_seq_cst)) {
      if (node->hash != hash || node->key.fingerprint() != key.fingerprint()) continue;
      if (key.text().size() > kShortKey) {
        long_key = node->key;
      } else if (node->key != key) {
        continue;
      }
      if (now < node->item.expires) found = node->item;
      const std::uint8_t reads = node->reads.load(std::memory_order_relaxed);
      if (counts && reads < kMostReads) node->reads.store(reads + 1, std::memory_order_relaxed);
      break;
    }
  }
  if (found.has_value() && long_key.has_value() && *long_key != key) found.reset();
  if (counts) (found.has_value() ? stripe.hits : stripe.misses).fetch_add(1, std::memory_order_relaxed);
  return found;
}

bool TierShard::Put(std::unique_ptr<Node> node, TimePoint now) {
  Freed freed;
  const MutexLock lock(mu_);
  Collect(freed);
  Node* old = Find(node->hash, node->key);
  if (retired_.bytes > budget_ / 8 || now >= node->item.expires) {
    ++refused_;
    if (old != nullptr) Retire(*old);
    node->item.value->TakenOut();
    return false;
  }
  Node& newcomer = *node.release();
  if (old != nullptr) {
    newcomer.part = old->part;
    newcomer.reads.store(old->reads.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  ++puts_;
  Link(newcomer);
  if (old != nullptr) Retire(*old);
  const bool stays = Balance(newcomer, now);
  SetPeriod();
  Collect(freed);
  return stays;
}

void TierShard::Refuse(std::uint64_t hash, const CacheKey& key) {
  Erase(hash, key, nullptr);
  const MutexLock lock(mu_);
  ++refused_;
}

bool TierShard::Erase(std::uint64_t hash, const CacheKey& key, const Cached* value) {
  Freed freed;
  const MutexLock lock(mu_);
  Node* node = Find(hash, key);
  if (node == nullptr || (value != nullptr && node->item.value.get() != value)) return false;
  Retire(*node);
  Collect(freed);
  return true;
}

std::size_t TierShard::EraseIf(const std::function<bool(const CacheKey&, const MemoryTier::Item&)>& doomed) {
  std::size_t erased = 0;
  for (std::size_t begin = 0; begin < bucket_count_; begin += kBucketsAtOnce) {
    Freed freed;
    const MutexLock lock(mu_);
    for (std::size_t i = begin; i < std::min(begin + kBucketsAtOnce, bucket_count_); ++i) {
      Node* node = buckets_[i].load(std::memory_order_relaxed);
      while (node != nullptr) {
        Node* next = node->next.load(std::memory_order_relaxed);
        if (doomed(node->key, node->item)) {
          Retire(*node);
          ++erased;
        }
        node = next;
      }
    }
    Collect(freed);
  }
  return erased;
}

void TierShard::SetBudget(ByteCount budget) {
  bool fits = false;
  for (bool first = true; !fits; first = false) {
    Freed freed;
    const MutexLock lock(mu_);
    if (first) budget_ = budget;
    for (int steps = kMostSteps; steps > 0 && bytes() > budget_; --steps) {
      int chances = kMostChances;
      Node* victim = PickVictim(chances);
      if (victim == nullptr) victim = window_.oldest;
      Retire(*victim);
      ++evicted_;
    }
    fits = bytes() <= budget_;
    if (fits) SetPeriod();
    Collect(freed);
  }
}

void TierShard::AddTo(MemoryTier::Statistics& statistics) const {
  const MutexLock lock(mu_);
  statistics.puts += puts_;
  statistics.refused += refused_;
  statistics.rejected += rejected_;
  statistics.evicted += evicted_;
  statistics.entries += window_.count + main_.count;
  statistics.bytes += bytes();
  statistics.budget += budget_;
  statistics.unfreed_bytes += retired_.bytes;
}

Node* TierShard::Find(std::uint64_t hash, const CacheKey& key) const {
  Node* node = Bucket(hash).load(std::memory_order_relaxed);
  while (node != nullptr && (node->hash != hash || node->key != key)) {
    node = node->next.load(std::memory_order_relaxed);
  }
  return node;
}

void TierShard::Link(Node& node) {
  std::atomic<Node*>& bucket = Bucket(node.hash);
  node.next.store(bucket.load(std::memory_order_relaxed), std::memory_order_relaxed);
  bucket.store(&node, std::memory_order_seq_cst);
  ListOf(node).PushNewest(node);
}

void TierShard::Retire(Node& node) {
  std::atomic<Node*>* link = &Bucket(node.hash);
  while (link->load(std::memory_order_relaxed) != &node) link = &link->load(std::memory_order_relaxed)->next;
  link->store(node.next.load(std::memory_order_relaxed), std::memory_order_seq_cst);
  ListOf(node).Remove(node);
  node.item.value->TakenOut();
  node.retired_at = reclaimer_.epoch();
  retired_.PushNewest(node);
}

void TierShard::Collect(Freed& freed) {
  if (retired_.count >= kRetiredBeforeAdvance || retired_.bytes > budget_ / 32) {
    reclaimer_.TryAdvance();
    reclaimer_.TryAdvance();
  }
  const std::uint64_t epoch = reclaimer_.epoch();
  for (std::size_t i = 0; i < kMostFreedAtOnce && retired_.oldest != nullptr; ++i) {
    Node& node = *retired_.oldest;
    if (node.retired_at + 2 > epoch) return;
    retired_.Remove(node);
    freed.Add(node);
  }
}

bool TierShard::Balance(Node& newcomer, TimePoint now) {
  int steps = kMostSteps;
  bool stays = true;
  while (window_.bytes > window_budget() && steps > 0) {
    if (window_.count == 1 && window_.bytes <= budget_ / kLargestAlone) break;
    Node& candidate = *window_.oldest;
    const bool admitted = now < candidate.item.expires && Admit(candidate, now, steps);
    if (admitted) {
      window_.Remove(candidate);
      candidate.part = Part::kMain;
      main_.PushNewest(candidate);
    } else {
      if (&candidate == &newcomer) stays = false;
      Retire(candidate);
    }
    --steps;
  }
  // Only what takes the place of something smaller gets here without having been let in.
  while (stays && bytes() > budget_ && steps > 0) {
    Node* victim = PickVictim(steps);
    if (victim == nullptr || victim == &newcomer) break;
    Retire(*victim);
    ++evicted_;
  }
  if (stays && bytes() > budget_) {
    Retire(newcomer);
    ++rejected_;
    stays = false;
  }
  return stays;
}

bool TierShard::Admit(Node& candidate, TimePoint now, int& steps) {
  // The candidate is still in the window.
  const ByteCount room = budget_ - std::max(window_budget(), window_.bytes - candidate.charge);
  // What was read while it was new is likely to be wanted soon, whatever its past.
  const std::uint32_t asked =
      sketch_.Estimate(candidate.hash) + candidate.reads.load(std::memory_order_relaxed);
  while (main_.bytes + candidate.charge > room) {
    Node* victim = steps > 0 ? PickVictim(steps) : nullptr;
    bool gives_way = victim != nullptr && now >= victim->item.expires;
    if (victim != nullptr && !gives_way) {
      const std::uint32_t worth = sketch_.Estimate(victim->hash);
      gives_way = asked + duels_.credit() > worth;
      const bool idle = victim->reads.load(std::memory_order_relaxed) == 0;
      if (asked <= worth && idle) {
        // Nine tenths of the entries: what comes back later than that an LRU cache would not have held.
        const std::uint64_t limit = (window_.count + main_.count) * 9 / 10;
        duels_.Begin(candidate.hash, victim->hash, sketch_.records(), limit);
      }
    }
    if (!gives_way) {
      ++rejected_;
      return false;
    }
    Retire(*victim);
    ++evicted_;
  }
  return true;
}

Node* TierShard::PickVictim(int& steps) {
  for (int chances = kMostChances; chances > 0 && steps > 0 && main_.oldest != nullptr; --chances, --steps) {
    Node& node = *main_.oldest;
    const std::uint8_t reads = node.reads.load(std::memory_order_relaxed);
    if (reads == 0) break;
    node.reads.store(reads - 1, std::memory_order_relaxed);
    main_.Remove(node);
    main_.PushNewest(node);
  }
  --steps;
  return main_.oldest;
}

ByteCount TierShard::window_budget() const { return budget_ / kWindowPart; }

void TierShard::SetPeriod() {
  sketch_.SetPeriod(std::max<std::uint64_t>(kPeriod * (window_.count + main_.count), kLeastPeriod));
}

}  // namespace mezzo::cache::internal
