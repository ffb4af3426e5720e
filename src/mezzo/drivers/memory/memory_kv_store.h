#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/storage/kv_store.h"
#include "mezzo/storage/local_notifier.h"

namespace mezzo::drivers {

/// A KvStore of this process, by its clock: all that a server needs that stands alone. Never waits.
/// Thread-safe.
class MemoryKvStore final : public storage::KvStore {
 public:
  struct Options {
    std::size_t max_bytes = 256U << 20;  ///< Of keys and values; the longest unused goes.
    std::size_t max_entries = 100'000;
    std::size_t max_leases = 100'000;  ///< The one goes that ends first.
    std::size_t max_value_bytes = 8U << 20;
    std::size_t max_notifications = 4096;  ///< That wait for listeners.
  };
  /// `clock` must outlive the store.
  MemoryKvStore(const Options& options, const Clock& clock);

  runtime::Task<Result<std::vector<std::optional<std::string>>>> Get(runtime::Context ctx,
                                                                     std::vector<std::string> keys) override;
  runtime::Task<Result<void>> Set(runtime::Context ctx, std::string key, std::string value,
                                  Duration lifetime) override;
  runtime::Task<Result<std::int64_t>> Erase(runtime::Context ctx, std::vector<std::string> keys) override;
  runtime::Task<Result<Lease>> Acquire(runtime::Context ctx, std::string key, std::string owner,
                                       Duration lifetime) override;
  runtime::Task<Result<bool>> SetAndRelease(runtime::Context ctx, std::string key, std::string value,
                                            Duration lifetime, std::string lease_key,
                                            std::uint64_t fence) override;
  runtime::Task<Result<bool>> Release(runtime::Context ctx, std::string lease_key,
                                      std::uint64_t fence) override;
  runtime::Task<Result<void>> Publish(runtime::Context ctx, std::string channel,
                                      std::string payload) override;
  [[nodiscard]] std::shared_ptr<void> Subscribe(std::string channel, Listener listener) override;

  /// Forgets everything, as a store that other hosts share may at any time.
  void Clear() EXCLUDES(mu_);
  [[nodiscard]] std::size_t bytes() const EXCLUDES(mu_);
  [[nodiscard]] std::size_t entries() const EXCLUDES(mu_);

 private:
  struct Entry {
    std::string key;
    std::string value;
    TimePoint ends;
  };
  using Entries = std::list<Entry>;  // The longest unused last.
  struct Held {
    std::string owner;
    std::uint64_t fence = 0;
    std::multimap<TimePoint, std::string>::iterator end;
  };
  using Leases = std::unordered_map<std::string, Held>;

  void Store(std::string key, std::string value, Duration lifetime) REQUIRES(mu_);
  void Remove(Entries::iterator entry) REQUIRES(mu_);
  void Remove(Leases::iterator lease) REQUIRES(mu_);
  bool GiveBack(const std::string& lease_key, std::uint64_t fence) REQUIRES(mu_);
  [[nodiscard]] bool Has(const std::string& lease_key, std::uint64_t fence) REQUIRES(mu_);

  const Options options_;
  const Clock& clock_;
  mutable Mutex mu_;
  Entries entries_ GUARDED_BY(mu_);
  std::unordered_map<std::string_view, Entries::iterator> by_key_ GUARDED_BY(mu_);  // Keys lie in entries_.
  std::size_t bytes_ GUARDED_BY(mu_) = 0;
  Leases leases_ GUARDED_BY(mu_);
  std::multimap<TimePoint, std::string> lease_ends_ GUARDED_BY(mu_);
  std::uint64_t last_fence_ GUARDED_BY(mu_) = 0;
  storage::LocalNotifier notifier_;  // Last: its thread calls listeners.
};

}  // namespace mezzo::drivers
