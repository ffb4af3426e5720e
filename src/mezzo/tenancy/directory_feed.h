#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/log.h"
#include "mezzo/storage/change_feed.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/identity_store.h"

namespace mezzo::tenancy {

/// Keeps a directory as the database has it: reads everything when the revision has changed, which a
/// notification tells within milliseconds and a poll finds in any case. While the database can't be read the
/// directory stays as it was. Also writes down when keys were last used.
///
/// A thread of its own. Thread-safe.
class DirectoryFeed {
 public:
  struct Options {
    Duration poll = std::chrono::seconds(5);
    Duration touch = std::chrono::minutes(1);  ///< How often the last uses are written.
    Duration database_timeout = std::chrono::seconds(30);
    /// Callers without a key are let in, from this host, as long as nobody has been given an account: there
    /// are no declared keys, no users, and no tenants and keys but those of the first start.
    bool anonymous = true;
    bool anonymous_from_anywhere = false;
  };
  /// Who is declared elsewhere (the configuration): let in besides what the database has. A declared tenant
  /// is in the database too; its keys are not.
  struct Declared {
    std::vector<TenantId> tenants;
    struct Key {
      Sha256Digest digest{};
      TenantId tenant;
      ScopeSet scopes;
    };
    std::vector<Key> keys;
  };
  /// All outlive the feed.
  struct Ports {
    IdentityStore& store;
    storage::SqlDb& db;
    Directory& directory;
    const Clock& clock;
    observe::Logger& log;
    /// Every tenant, by index, before the directory lets any of them in. From the feed's thread.
    std::function<void(const std::vector<TenantRef>&)> on_tenants;
    /// The database's limits, after every change. From the feed's thread; null: nobody asks.
    std::function<void(const std::vector<Limit>&)> on_limits;
  };
  DirectoryFeed(Options options, Ports ports, Declared declared);
  ~DirectoryFeed();
  DirectoryFeed(const DirectoryFeed&) = delete;
  DirectoryFeed& operator=(const DirectoryFeed&) = delete;

  /// Reads for the first time. Fails with the database's errors.
  Result<void> Load();
  /// Keeps up from now on, until Stop(). After Load().
  void Start();
  /// Waits until the directory has whatever the database had when this was called, at most for `limit`.
  /// Blocks; after Start().
  void CatchUp(Duration limit) { (void)feed_.CatchUp(limit); }
  /// Not beside Start() or another Stop(). Idempotent.
  void Stop();

 private:
  Result<void> Follow(TimePoint begun);
  Result<void> Refresh(std::int64_t known);
  Result<void> WriteUses();
  [[nodiscard]] Directory::Contents ContentsOf(const IdentityStore::Everything& all);
  [[nodiscard]] TenantRef MakeTenant(TenantId id, const TenantSettings& settings);
  [[nodiscard]] std::uint32_t TenantIndex(const TenantId& id);
  void AddKey(Directory::Contents& contents, const KeyRecord& key, const Sha256Digest& digest,
              const TenantRef& tenant);

  const Options options_;
  const Ports ports_;
  const Declared declared_;

  // The feed's thread only, and Load() before it.
  std::int64_t revision_ = 0;
  std::map<TenantId, std::uint32_t> tenant_indices_;  // Never forgotten: the scheduler keeps them.
  std::vector<TenantRef> tenants_;                    // By index, as last seen.
  struct KnownKey {
    std::uint32_t index = 0;
    std::shared_ptr<KeyUse> use;
    std::int64_t written_us = 0;
  };
  std::map<KeyId, KnownKey> keys_;
  std::uint32_t last_key_index_ = 0;

  TimePoint next_touch_{};
  bool started_ = false;      // Whoever starts and stops.
  storage::ChangeFeed feed_;  // Last: its thread uses everything above.
};

}  // namespace mezzo::tenancy
