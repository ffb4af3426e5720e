#include "mezzo/cache/corrections.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace mezzo::cache {

CachedRef Corrections::Find(const CacheKey& key) const {
  if (empty()) return nullptr;
  const MutexLock lock(mu_);
  const auto found = by_key_.find(key.Digest());
  if (found == by_key_.end() || found->second.key_text != key.text()) return nullptr;
  return found->second.answer;
}

Result<void> Corrections::Refresh(CorrectionStore& store, TimePoint deadline) {
  while (true) {
    MEZZO_TRY(std::vector<Correction> found, store.After(newest_, deadline));
    if (found.empty()) break;
    for (Correction& one : found) {
      MEZZO_TRY(CachedRef answer, decode_(one.answer));
      const MutexLock lock(mu_);
      by_key_[one.key] = {
          .revision = one.facts.revision, .key_text = std::move(one.key_text), .answer = std::move(answer)};
      count_.store(by_key_.size(), std::memory_order_release);
      newest_ = one.facts.revision;
    }
  }
  if (empty()) return {};
  MEZZO_TRY(const std::vector<std::int64_t> there, store.Revisions(deadline));
  const MutexLock lock(mu_);
  std::erase_if(by_key_, [&](const auto& known) {
    return !std::binary_search(there.begin(), there.end(), known.second.revision);
  });
  count_.store(by_key_.size(), std::memory_order_release);
  return {};
}

}  // namespace mezzo::cache
