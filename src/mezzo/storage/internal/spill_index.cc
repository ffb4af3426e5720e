#include "mezzo/storage/internal/spill_index.h"

#include <algorithm>

#include "mezzo/base/check.h"

namespace mezzo::storage::internal {

bool SpillIndex::Reserve(ByteCount bytes) {
  MutexLock lock(mu_);
  if (bytes_ > limits_.max_bytes || bytes > limits_.max_bytes - bytes_) return false;
  bytes_ += bytes;
  SetGauges();
  return true;
}

void SpillIndex::Release(ByteCount bytes) {
  MutexLock lock(mu_);
  MEZZO_CHECK(bytes <= bytes_);
  bytes_ -= bytes;
  SetGauges();
}

bool SpillIndex::HasRoomFor(const BlobKey& key) const {
  MutexLock lock(mu_);
  return entries_.size() < limits_.max_objects || entries_.contains(key);
}

void SpillIndex::Add(const BlobKey& key, const Entry& entry, ByteCount reserved) {
  MutexLock lock(mu_);
  const auto [it, added] = entries_.try_emplace(key, entry);
  const ByteCount replaced = added ? 0 : it->second.size;
  it->second = entry;
  bytes_ = bytes_ - reserved - replaced + entry.size;
  SetGauges();
}

void SpillIndex::Erase(const BlobKey& key) {
  MutexLock lock(mu_);
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  bytes_ -= it->second.size;
  entries_.erase(it);
  SetGauges();
}

void SpillIndex::MarkDamaged(const BlobKey& key) {
  MutexLock lock(mu_);
  if (const auto it = entries_.find(key); it != entries_.end()) it->second.damaged = true;
}

bool SpillIndex::Contains(const BlobKey& key) const {
  MutexLock lock(mu_);
  return entries_.contains(key);
}

std::vector<BlobEntry> SpillIndex::List(const BlobPrefix& prefix, const std::string& after,
                                        std::size_t count) const {
  MutexLock lock(mu_);
  std::vector<BlobEntry> found;
  // A prefix is smaller than every key in it, and those lie together.
  const std::string& start = std::max(prefix.text(), after);
  auto it = entries_.upper_bound(start);
  for (; it != entries_.end() && found.size() < count && prefix.Contains(it->first); ++it) {
    found.push_back({.key = it->first, .size = it->second.size});
  }
  return found;
}

std::vector<BlobKey> SpillIndex::NextToMove(std::size_t count) {
  MutexLock lock(mu_);
  std::vector<BlobKey> keys;
  const auto take = [&](auto from, auto to) {
    for (auto it = from; it != to && keys.size() < count; ++it) {
      if (!it->second.damaged) keys.push_back(it->first);
    }
  };
  const auto behind = entries_.upper_bound(moved_to_);
  take(behind, entries_.end());
  take(entries_.begin(), behind);
  if (!keys.empty()) moved_to_ = keys.back().text();
  return keys;
}

std::vector<BlobKey> SpillIndex::Expired(WallTime now, std::size_t count) const {
  MutexLock lock(mu_);
  std::vector<BlobKey> keys;
  for (const auto& [key, entry] : entries_) {
    if (keys.size() == count) break;
    if (entry.expires_at && *entry.expires_at <= now) keys.push_back(key);
  }
  return keys;
}

ByteCount SpillIndex::bytes() const {
  MutexLock lock(mu_);
  return bytes_;
}

std::size_t SpillIndex::objects() const {
  MutexLock lock(mu_);
  return entries_.size();
}

void SpillIndex::SetGauges() {
  bytes_gauge_.Set(static_cast<double>(bytes_));
  objects_gauge_.Set(static_cast<double>(entries_.size()));
}

}  // namespace mezzo::storage::internal
