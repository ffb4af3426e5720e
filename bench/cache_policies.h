#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <unordered_map>
#include <vector>

/// Caches of equal entries that only count hits: what the cache module's tier is compared with. Written for
/// clarity; each follows its source, named beside it. Not thread-safe.
namespace mezzo::bench {

using Key = std::uint32_t;

/// A list that knows where each of its keys stands. Newest first.
class KeyList {
 public:
  [[nodiscard]] bool Contains(Key key) const { return places_.contains(key); }
  [[nodiscard]] std::size_t size() const { return places_.size(); }
  [[nodiscard]] bool empty() const { return places_.empty(); }
  [[nodiscard]] Key oldest() const { return keys_.back(); }
  void PushNewest(Key key);
  void MoveToNewest(Key key);
  /// Whether it was there.
  bool Remove(Key key);
  Key PopOldest();

 private:
  std::list<Key> keys_;
  std::unordered_map<Key, std::list<Key>::iterator> places_;
};

class Lru {
 public:
  explicit Lru(std::size_t places) : places_(places) {}
  /// Whether `key` was held; it is from now on.
  bool Ask(Key key);

 private:
  const std::size_t places_;
  KeyList keys_;
};

/// J. Yang et al., "FIFO queues are all you need for cache eviction", SOSP'23, as in libCacheSim's S3FIFO.c
/// (1a1a11a/libCacheSim, 035d832): a small queue of a tenth, ghosts as many as nine tenths, two reads lead to
/// the main queue, which gives up to three second chances; while nothing has been evicted, what the small
/// queue has no room for goes to the main one. At least one place is small.
class S3Fifo {
 public:
  explicit S3Fifo(std::size_t places);
  bool Ask(Key key);

 private:
  void EvictFromSmall();
  void EvictFromMain();

  const std::size_t places_;
  const std::size_t most_small_;
  const std::size_t most_ghosts_;
  bool has_evicted_ = false;
  KeyList small_;
  KeyList main_;
  KeyList ghosts_;
  std::unordered_map<Key, unsigned> reads_;  ///< Of what small_ and main_ hold.
};

/// Two LRU segments, as libCacheSim's SLRU.c: newcomers go to the lower one while it has room, else to the
/// upper one while that has; a hit lifts a key to the upper segment, whose oldest then comes down.
class SegmentedLru {
 public:
  SegmentedLru(std::size_t places, std::size_t lower) : places_(places), most_lower_(lower) {}
  [[nodiscard]] std::size_t size() const { return lower_.size() + upper_.size(); }
  [[nodiscard]] bool full() const { return size() >= places_; }
  /// Whether it is there; lifts it.
  bool Touch(Key key);
  void Insert(Key key);
  [[nodiscard]] Key victim() const { return lower_.empty() ? upper_.oldest() : lower_.oldest(); }
  void EvictVictim() { lower_.empty() ? upper_.PopOldest() : lower_.PopOldest(); }

 private:
  const std::size_t places_;
  const std::size_t most_lower_;
  KeyList lower_;
  KeyList upper_;
};

/// G. Einziger, R. Friedman, B. Manes, "TinyLFU: a highly efficient cache admission policy", ACM ToS 2017,
/// with its sketch replaced by exact counts: a window LRU of 1 % (at least one place) in front of a segmented
/// LRU (a fifth, four fifths).
class WTinyLfu {
 public:
  enum class Logic : std::uint8_t {
    kPaper,        ///< Every request counts, up to 15; counts are halved after ten requests for each place.
    kLibCacheSim,  ///< As WTinyLFU.c (1bd2db3): hits in the main part, insertions and departures from the
                   ///< window count, without a limit; halved after 32 main hits for each place.
  };
  WTinyLfu(std::size_t places, Logic logic);
  bool Ask(Key key);

 private:
  void Count(Key key);
  void Age(std::uint64_t period);
  void MakeRoom();
  [[nodiscard]] std::uint32_t CountOf(Key key) const;

  const Logic logic_;
  const std::size_t places_;
  const std::size_t most_window_;
  KeyList window_;
  SegmentedLru main_;
  std::unordered_map<Key, std::uint32_t> counts_;
  std::uint64_t since_aged_ = 0;
};

}  // namespace mezzo::bench
