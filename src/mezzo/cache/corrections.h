#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"
#include "mezzo/cache/cached.h"
#include "mezzo/cache/correction_store.h"
#include "mezzo/cache/key.h"

namespace mezzo::cache {

/// The corrections as this host knows them: what to answer to a question instead of asking the model. All of
/// them are in memory; the store bounds them. Thread-safe; while there are none, Find() reads one atomic.
class Corrections {
 public:
  /// What the store's answer text stands for.
  using Decode = std::function<Result<CachedRef>(std::string_view answer)>;
  explicit Corrections(Decode decode) : decode_(std::move(decode)) {}

  [[nodiscard]] bool empty() const { return count_.load(std::memory_order_acquire) == 0; }
  /// The correction of exactly this question; null when there is none.
  [[nodiscard]] CachedRef Find(const CacheKey& key) const EXCLUDES(mu_);
  [[nodiscard]] std::size_t size() const { return count_.load(std::memory_order_acquire); }

  /// As the store has them: reads what is new and forgets what has gone. Blocks; one caller at a time. After
  /// a failure it may know some of what is new, never less than before.
  Result<void> Refresh(CorrectionStore& store, TimePoint deadline) EXCLUDES(mu_);

 private:
  struct Known {
    std::int64_t revision = 0;
    std::string key_text;
    CachedRef answer;
  };
  const Decode decode_;
  std::int64_t newest_ = 0;  // Refresh() only.
  mutable Mutex mu_;
  std::map<Sha256Digest, Known> by_key_ GUARDED_BY(mu_);
  std::atomic<std::size_t> count_{0};  // Partner: by_key_.
};

}  // namespace mezzo::cache
