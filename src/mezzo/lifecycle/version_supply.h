#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/version_hosting.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::lifecycle {

/// Brings to this host the versions of the registry that its routes and releases need, and lets go of those
/// that nothing has needed for `linger`, by the database's word: while it is away nothing goes. What somebody
/// has loaded by hand stays until it is archived.
///
/// A version is wanted from Want() on, for `linger` after the last one; asking costs a lookup under a mutex.
/// What fails is tried again, later each time, as long as it is wanted.
///
/// Threads of its own: one that looks every `period`, and `threads` that fetch and wait for loads.
/// Thread-safe.
class VersionSupply {
 public:
  struct Options {
    Duration period = std::chrono::milliseconds(500);
    Duration linger = std::chrono::minutes(5);
    Duration fetch_timeout = std::chrono::minutes(30);
    Duration database_timeout = std::chrono::seconds(10);
    Duration retry_min = std::chrono::seconds(1);
    Duration retry_max = std::chrono::minutes(1);
    Duration state_check = std::chrono::seconds(5);  ///< Between looks at what has been archived or deleted.
    std::size_t threads = 2;
    std::size_t max_wanted = 20'000;  ///< More are not taken up: they stay kAbsent.
  };
  /// A model and a version; 0: the registry's newest ready one.
  using Key = std::pair<std::string, std::int64_t>;
  /// All outlive this.
  struct Ports {
    RegistryStore& registry;
    VersionHosting& hosting;
    models::Catalog& catalog;
    const Clock& clock;
    observe::Logger& log;
    observe::Registry& metrics;
    /// Versions that get no new calls, of all models; null: there are none.
    std::function<Result<std::set<Key>>(TimePoint deadline)> draining = nullptr;
    std::function<std::vector<Key>()> needed;  ///< What routes of this host name; is asked every period.
    /// Waits until the catalog has loaded the version; fails as Catalog::AcquireLoaded().
    std::function<Result<void>(const std::string& model, const std::string& version, TimePoint deadline)>
        load;
  };
  VersionSupply(Options options, Ports ports);
  ~VersionSupply() { Stop(); }
  VersionSupply(const VersionSupply&) = delete;
  VersionSupply& operator=(const VersionSupply&) = delete;

  enum class State : std::uint8_t {
    kComing,  ///< Looked up, fetched or loaded just now, or to be tried again.
    kHere,    ///< The catalog has it, or can load it on demand.
    kAbsent,  ///< Not the registry's: unknown there, or a folder of this host has the model.
    kFailed,  ///< It can't be served: `reason` says why.
  };
  struct Status {
    State state = State::kComing;
    std::string reason;
  };
  /// Asks for the version; `user` says who does, in an error's words. Never blocks for long.
  Status Want(const std::string& model, std::int64_t version, std::string_view user) EXCLUDES(mu_);
  /// Whether somebody has asked within the last few periods.
  [[nodiscard]] bool IsWanted(const std::string& model, std::int64_t version) const EXCLUDES(mu_) {
    return UserOf(model, version).has_value();
  }
  /// The route in force that needs the version, or who has asked last, within the last few periods; nothing:
  /// nobody.
  [[nodiscard]] std::optional<std::string> UserOf(const std::string& model, std::int64_t version) const
      EXCLUDES(mu_);
  /// Whether this host has it from the registry, loaded or not.
  [[nodiscard]] bool Hosts(const std::string& model, std::int64_t version) const {
    return ports_.hosting.Has(model, version);
  }
  /// Whether whatever routes needed at the start has come or failed.
  [[nodiscard]] bool FirstRoundDone() const EXCLUDES(mu_);

  void Start() EXCLUDES(mu_);
  /// Ends transfers and waits for its threads. Idempotent.
  void Stop() EXCLUDES(mu_);

 private:
  struct Entry {
    Status status;
    TimePoint wanted{};
    std::string user;  ///< Who wanted it then.
    TimePoint next_try{};
    Duration backoff{};
    bool working = false;  ///< In the queue, or in a thread's hands.
  };

  void Loop() EXCLUDES(mu_);
  void Work() EXCLUDES(mu_);
  void Round() EXCLUDES(mu_);
  /// Whether nothing needs the version by the database's word, too: routes and releases of which this host
  /// has not heard for long have not ended when the database is away. Fails with the database's errors.
  Result<bool> MayGo(const Key& key) EXCLUDES(mu_);
  /// Each of those that nothing has asked for, unless the database names who needs it.
  void LetGo(const std::vector<Key>& gone) EXCLUDES(mu_);
  void LetGo(const Key& key) EXCLUDES(mu_);
  void CheckStates();
  Status Bring(const Key& key, bool was_here);
  Status AwaitLoaded(const Key& key);
  /// Whether a folder of this host, and not the registry, has the model.
  bool IsFolders(const std::string& model);
  /// The newest ready versions; while the database is away, the last that were known.
  std::map<std::string, std::int64_t> Resolve(const std::vector<std::string>& models);

  const Options options_;
  const Ports ports_;
  std::map<std::string, std::int64_t> latest_;  // As of the last round; of the thread that looks.
  observe::Counter& brought_;
  observe::Counter& failed_;
  observe::Counter& let_go_;
  mutable Mutex mu_;
  CondVar changed_;
  std::map<Key, Entry> entries_ GUARDED_BY(mu_);
  std::deque<Key> queue_ GUARDED_BY(mu_);
  std::set<Key> first_ GUARDED_BY(mu_);  // What the first round needed and has not got yet.
  bool looked_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
  TimePoint states_checked_{};        // The loop's thread only.
  std::vector<std::thread> threads_;  // Use everything above.
  std::vector<observe::Callback> callbacks_;
};

}  // namespace mezzo::lifecycle
