#pragma once

#include <array>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/localfs/internal/disk.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::drivers::internal {

/// One tree of folders with objects: <tenant>/<shard>/<job>/<attempt>/<name>. The shard is the first byte of
/// the job's SHA-256 in hex, so that a tenant's jobs spread over 256 folders. Nothing below the tree's folder
/// is reached through a link. Thread-safe, also against other processes: folders that become empty are
/// removed, and whoever finds one gone under its hands begins again.
class ObjectTree {
 public:
  ObjectTree(Disk& disk, Fd root) : disk_(disk), root_(std::move(root)) {}

  /// The folder of the key's object. Fails with kNotFound "blob_missing" when there is none.
  [[nodiscard]] Result<Fd> OpenFolder(const storage::BlobKey& key) const;
  /// Moves `from_name` in `from` to the key's place, replacing what is there, and makes that durable: missing
  /// folders are made, and every folder that changed is synced.
  Result<void> MoveIn(int from, const std::string& from_name, const storage::BlobKey& key);
  /// Removes the object. False when it was not there.
  Result<bool> Remove(const storage::BlobKey& key);
  /// Removes the key's folders as far as they are empty.
  void RemoveEmptyFolders(const storage::BlobKey& key);

  [[nodiscard]] int root() const { return root_.get(); }

 private:
  [[nodiscard]] Result<Fd> Enter(int folder, const std::string& name) const;
  Result<Fd> MakeFolders(const storage::BlobKey& key);

  Disk& disk_;
  const Fd root_;
};

/// A page of the objects in several trees, one of equal keys (it is the earlier tree's). Memory is bounded by
/// `limit`, not by what the trees hold: every folder is read as a whole, but only the names that come next
/// are kept.
class ObjectLister {
 public:
  ObjectLister(Disk& disk, std::vector<const ObjectTree*> trees, const Clock& clock, TimePoint deadline)
      : disk_(disk), trees_(std::move(trees)), clock_(clock), deadline_(deadline) {}

  Result<storage::BlobPage> List(const storage::BlobPrefix& prefix, const std::string& after,
                                 std::size_t limit);

 private:
  /// Tenant, job, attempt, name: levels of a key.
  static constexpr std::size_t kLevels = 4;
  using Parts = std::vector<std::string>;

  Result<void> Walk(const Parts& path);
  Result<void> AddObjects(const std::vector<Fd>& folders, const Parts& path,
                          const std::vector<std::string>& names);
  [[nodiscard]] Result<std::vector<std::string>> NextNames(const std::vector<Fd>& folders, const Parts& path,
                                                           const std::string& bound, std::size_t count) const;
  [[nodiscard]] Result<std::vector<Fd>> OpenFolders(const Parts& path) const;
  [[nodiscard]] bool full() const { return page_.entries.size() > limit_; }

  Disk& disk_;
  const std::vector<const ObjectTree*> trees_;
  const Clock& clock_;
  const TimePoint deadline_;
  Parts fixed_;  // The prefix's parts.
  std::string after_;
  std::size_t limit_ = 0;
  storage::BlobPage page_;
};

/// The folder of a tenant that holds the job's folder.
std::string ShardOf(std::string_view job);

}  // namespace mezzo::drivers::internal
