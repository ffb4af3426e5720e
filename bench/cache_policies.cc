#include "cache_policies.h"

#include <algorithm>

namespace mezzo::bench {

void KeyList::PushNewest(Key key) {
  keys_.push_front(key);
  places_[key] = keys_.begin();
}

void KeyList::MoveToNewest(Key key) { keys_.splice(keys_.begin(), keys_, places_.at(key)); }

bool KeyList::Remove(Key key) {
  const auto it = places_.find(key);
  if (it == places_.end()) return false;
  keys_.erase(it->second);
  places_.erase(it);
  return true;
}

Key KeyList::PopOldest() {
  const Key key = keys_.back();
  places_.erase(key);
  keys_.pop_back();
  return key;
}

bool Lru::Ask(Key key) {
  if (keys_.Contains(key)) {
    keys_.MoveToNewest(key);
    return true;
  }
  if (keys_.size() >= places_) keys_.PopOldest();
  keys_.PushNewest(key);
  return false;
}

S3Fifo::S3Fifo(std::size_t places)
    : places_(places), most_small_(std::max<std::size_t>(places / 10, 1)), most_ghosts_(places * 9 / 10) {}

bool S3Fifo::Ask(Key key) {
  if (const auto it = reads_.find(key); it != reads_.end()) {
    ++it->second;
    return true;
  }
  const bool was_ghost = ghosts_.Remove(key);
  while (reads_.size() >= places_) {
    has_evicted_ = true;
    if (main_.size() > places_ - most_small_ || small_.empty()) {
      EvictFromMain();
    } else {
      EvictFromSmall();
    }
  }
  const bool to_main = was_ghost || (!has_evicted_ && small_.size() >= most_small_);
  (to_main ? main_ : small_).PushNewest(key);
  reads_[key] = 0;
  return false;
}

void S3Fifo::EvictFromSmall() {
  while (!small_.empty()) {
    const Key key = small_.PopOldest();
    if (reads_[key] >= 2) {
      main_.PushNewest(key);
      reads_[key] = 0;
      continue;
    }
    reads_.erase(key);
    if (most_ghosts_ == 0) return;
    if (ghosts_.size() >= most_ghosts_) ghosts_.PopOldest();
    ghosts_.PushNewest(key);
    return;
  }
}

void S3Fifo::EvictFromMain() {
  while (!main_.empty()) {
    const Key key = main_.PopOldest();
    unsigned& reads = reads_[key];
    if (reads == 0) {
      reads_.erase(key);
      return;
    }
    reads = std::min(reads, 3U) - 1;
    main_.PushNewest(key);
  }
}

bool SegmentedLru::Touch(Key key) {
  if (upper_.Contains(key)) {
    upper_.MoveToNewest(key);
    return true;
  }
  if (!lower_.Remove(key)) return false;
  upper_.PushNewest(key);
  if (upper_.size() > places_ - most_lower_) lower_.PushNewest(upper_.PopOldest());
  return true;
}

void SegmentedLru::Insert(Key key) {
  const bool to_upper = lower_.size() >= most_lower_ && upper_.size() < places_ - most_lower_;
  (to_upper ? upper_ : lower_).PushNewest(key);
}

WTinyLfu::WTinyLfu(std::size_t places, Logic logic)
    : logic_(logic),
      places_(places),
      most_window_(std::max<std::size_t>(places / 100, 1)),
      main_(places - most_window_, std::max<std::size_t>((places - most_window_) / 5, 1)) {}

bool WTinyLfu::Ask(Key key) {
  if (logic_ == Logic::kPaper) {
    Count(key);
    Age(10 * places_);
  }
  if (window_.Contains(key)) {
    window_.MoveToNewest(key);
    return true;
  }
  if (main_.Touch(key)) {
    if (logic_ == Logic::kLibCacheSim) {
      Count(key);
      Age(32 * (places_ - most_window_));
    }
    return true;
  }
  if (window_.size() + main_.size() >= places_) MakeRoom();
  window_.PushNewest(key);
  if (logic_ == Logic::kLibCacheSim) Count(key);
  return false;
}

void WTinyLfu::MakeRoom() {
  for (bool evicted = false; !evicted;) {
    const Key leaver = window_.PopOldest();
    if (!main_.full()) {
      main_.Insert(leaver);
    } else {
      evicted = true;
      if (CountOf(leaver) > CountOf(main_.victim())) {
        main_.EvictVictim();
        main_.Insert(leaver);
      }
    }
    if (logic_ == Logic::kLibCacheSim) Count(leaver);
  }
}

void WTinyLfu::Count(Key key) {
  std::uint32_t& count = counts_[key];
  if (logic_ == Logic::kLibCacheSim || count < 15) ++count;
}

void WTinyLfu::Age(std::uint64_t period) {
  if (++since_aged_ < period) return;
  since_aged_ = 0;
  for (auto it = counts_.begin(); it != counts_.end();) {
    it->second /= 2;
    it = it->second == 0 ? counts_.erase(it) : std::next(it);
  }
}

std::uint32_t WTinyLfu::CountOf(Key key) const {
  const auto it = counts_.find(key);
  return it == counts_.end() ? 0 : it->second;
}

}  // namespace mezzo::bench
