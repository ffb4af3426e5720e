#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/storage/token_store.h"

namespace mezzo::drivers {

/// A TokenStore of this process, by its clock. Never waits. Thread-safe.
class MemoryTokenStore final : public storage::TokenStore {
 public:
  struct Options {
    std::size_t max_keys = 100'000;  ///< Of buckets, and of permits; the one goes that is full or ends first.
  };
  /// `clock` must outlive the store.
  MemoryTokenStore(const Options& options, const Clock& clock) : options_(options), clock_(clock) {}

  runtime::Task<Result<std::vector<TokenGrant>>> TakeTokens(runtime::Context ctx,
                                                            std::vector<TokenRequest> requests) override;
  runtime::Task<Result<std::vector<PermitGrant>>> HoldPermits(runtime::Context ctx,
                                                              std::vector<PermitRequest> requests,
                                                              Duration lifetime) override;

  /// Forgets everything, as a store that other hosts share may at any time.
  void Clear() EXCLUDES(mu_);
  /// Buckets and keys of permits.
  [[nodiscard]] std::size_t keys() const EXCLUDES(mu_);

 private:
  struct Permits {
    std::int64_t held = 0;
    TimePoint ends;
  };
  using Hosts = std::map<std::string, Permits>;
  using Ends = std::multimap<std::int64_t, std::string>;
  template <typename T>
  struct Kept {
    T value{};
    Ends::iterator end;
  };
  /// Values by key, each with the time at which it may go; at most so many.
  template <typename T>
  struct Table {
    std::unordered_map<std::string, Kept<T>> by_key;
    Ends ends;

    T* Find(const std::string& key);
    void Put(const std::string& key, T value, std::int64_t end, std::size_t max_keys);
    void Remove(const std::string& key);
    void RemoveUntil(std::int64_t now);
  };

  [[nodiscard]] TokenGrant Take(const TokenRequest& request, std::int64_t now) REQUIRES(mu_);
  [[nodiscard]] PermitGrant Hold(const PermitRequest& request, TimePoint now, Duration lifetime)
      REQUIRES(mu_);

  const Options options_;
  const Clock& clock_;
  mutable Mutex mu_;
  Table<double> buckets_ GUARDED_BY(mu_);  // Arrival times of GCRA, microseconds.
  Table<Hosts> permits_ GUARDED_BY(mu_);
};

}  // namespace mezzo::drivers
