#include "mezzo/drivers/localfs/internal/object_tree.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <functional>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/localfs/internal/object_file.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::drivers::internal {
namespace {

using storage::BlobKey;
using storage::BlobPage;
using storage::BlobPrefix;

constexpr int kMaxTries = 16;

std::array<std::string, 4> FoldersOf(const BlobKey& key) {
  return {std::string(key.tenant()), ShardOf(key.job()), std::string(key.job()), std::string(key.attempt())};
}

/// A folder that another thread or process removed, because it was empty, between two of our calls.
bool Vanished(const Error& error) { return error.code() == Code::kNotFound; }

}  // namespace

std::string ShardOf(std::string_view job) { return Sha256Hex(job).substr(0, 2); }

Result<Fd> ObjectTree::Enter(int folder, const std::string& name) const {
  return disk_.Open(folder, name, O_RDONLY | O_DIRECTORY);
}

Result<Fd> ObjectTree::OpenFolder(const BlobKey& key) const {
  MEZZO_TRY(Fd folder, Enter(root_.get(), "."));
  for (const std::string& name : FoldersOf(key)) {
    MEZZO_TRY(folder, Enter(folder.get(), name));
  }
  return folder;
}

Result<Fd> ObjectTree::MakeFolders(const BlobKey& key) {
  MEZZO_TRY(Fd folder, Enter(root_.get(), "."));
  for (const std::string& name : FoldersOf(key)) {
    MEZZO_TRY_VOID(disk_.MakeFolder(folder.get(), name));
    // Also when it was there: whoever made it may not have come to this line yet.
    MEZZO_TRY_VOID(disk_.Sync(folder.get()));
    MEZZO_TRY(folder, Enter(folder.get(), name));
  }
  return folder;
}

Result<void> ObjectTree::MoveIn(int from, const std::string& from_name, const BlobKey& key) {
  const std::string name(key.name());
  for (int i = 0; i < kMaxTries; ++i) {
    const Result<Fd> folder = MakeFolders(key);
    if (!folder.ok() && Vanished(folder.error())) continue;
    if (!folder.ok()) return folder.error();
    const Result<void> moved = disk_.Rename(from, from_name, folder->get(), name);
    if (!moved.ok() && Vanished(moved.error())) continue;
    MEZZO_TRY_VOID(moved);
    return disk_.Sync(folder->get());
  }
  return Unavailable("blob_disk_error", "the folder of '" + key.text() + "' vanishes again and again");
}

Result<bool> ObjectTree::Remove(const BlobKey& key) {
  const Result<Fd> folder = OpenFolder(key);
  if (!folder.ok() && Vanished(folder.error())) return false;
  if (!folder.ok()) return folder.error();
  MEZZO_TRY(const bool removed, disk_.Remove(folder->get(), std::string(key.name())));
  if (removed) MEZZO_TRY_VOID(disk_.Sync(folder->get()));
  return removed;
}

void ObjectTree::RemoveEmptyFolders(const BlobKey& key) {
  const auto names = FoldersOf(key);
  for (std::size_t depth = names.size(); depth > 0; --depth) {
    Result<Fd> parent = Enter(root_.get(), ".");
    for (std::size_t i = 0; i + 1 < depth && parent.ok(); ++i) parent = Enter(parent->get(), names[i]);
    if (!parent.ok()) return;
    // Fails when it is not empty, which is the answer.
    const Result<bool> removed = disk_.RemoveFolder(parent->get(), names[depth - 1]);
    if (!removed.ok() || !*removed) return;
  }
}

Result<BlobPage> ObjectLister::List(const BlobPrefix& prefix, const std::string& after, std::size_t limit) {
  fixed_.clear();
  for (const std::string_view part : Split(prefix.text(), '/')) {
    if (!part.empty()) fixed_.emplace_back(part);
  }
  after_ = after;
  limit_ = limit;
  page_ = {};
  MEZZO_TRY_VOID(Walk({}));
  page_.more = full();
  if (page_.more) page_.entries.pop_back();
  return std::move(page_);
}

namespace {

constexpr std::size_t kNameLevel = 3;

/// By these texts names of one folder sort as the keys below them do.
std::string OrderText(const std::string& name, std::size_t level) {
  return level < kNameLevel ? name + "/" : name;
}

std::string PathText(const std::vector<std::string>& path) {
  std::string text;
  for (const std::string& part : path) text += part + "/";
  return text;
}

}  // namespace

Result<void> ObjectLister::Walk(const Parts& path) {
  const std::size_t level = path.size();
  if (level < fixed_.size()) {
    Parts inner = path;
    inner.push_back(fixed_[level]);
    return Walk(inner);
  }
  MEZZO_TRY_VOID(storage::CheckDeadline(clock_, deadline_));
  MEZZO_TRY(const std::vector<Fd> folders, OpenFolders(path));
  std::string bound;
  while (!folders.empty() && !full()) {
    const std::size_t wanted = limit_ + 1 - page_.entries.size();
    MEZZO_TRY(const std::vector<std::string> names, NextNames(folders, path, bound, wanted));
    if (level == kNameLevel) {
      MEZZO_TRY_VOID(AddObjects(folders, path, names));
    } else {
      for (auto name = names.begin(); name != names.end() && !full(); ++name) {
        Parts inner = path;
        inner.push_back(*name);
        MEZZO_TRY_VOID(Walk(inner));
      }
    }
    if (names.size() < wanted) break;
    bound = OrderText(names.back(), level);
  }
  return {};
}

Result<std::vector<Fd>> ObjectLister::OpenFolders(const Parts& path) const {
  std::vector<Fd> folders;
  for (const ObjectTree* tree : trees_) {
    Result<Fd> folder = disk_.Open(tree->root(), ".", O_RDONLY | O_DIRECTORY);
    for (std::size_t i = 0; i < path.size() && folder.ok(); ++i) {
      if (i == 1) folder = disk_.Open(folder->get(), ShardOf(path[i]), O_RDONLY | O_DIRECTORY);
      if (folder.ok()) folder = disk_.Open(folder->get(), path[i], O_RDONLY | O_DIRECTORY);
    }
    if (folder.ok()) {
      folders.push_back(*std::move(folder));
    } else if (!Vanished(folder.error())) {
      return std::move(folder).error();
    }
  }
  return folders;
}

Result<std::vector<std::string>> ObjectLister::NextNames(const std::vector<Fd>& folders, const Parts& path,
                                                         const std::string& bound, std::size_t count) const {
  const std::size_t level = path.size();
  const std::string outer = PathText(path);
  std::set<std::string> next;  // Order texts, the `count` smallest.
  const auto visit = [&](std::string_view found) {
    if (!IsSafeName(found)) return true;
    std::string text = OrderText(std::string(found), level);
    const std::string whole = outer + text;
    // A folder is of interest unless all keys below it are behind us.
    const bool ahead =
        level == kNameLevel ? whole > after_ : whole.compare(after_.substr(0, whole.size())) >= 0;
    if (!ahead || text <= bound) return true;
    next.insert(std::move(text));
    if (next.size() > count) next.erase(std::prev(next.end()));
    return true;
  };
  for (const Fd& folder : folders) {
    if (level != 1) {
      MEZZO_TRY_VOID(disk_.ForEachName(folder.get(), visit));
      continue;
    }
    std::vector<std::string> shards;
    MEZZO_TRY_VOID(disk_.ForEachName(folder.get(), [&](std::string_view shard) {
      shards.emplace_back(shard);
      return true;
    }));
    for (const std::string& shard : shards) {
      MEZZO_TRY_VOID(storage::CheckDeadline(clock_, deadline_));
      const Result<Fd> jobs = disk_.Open(folder.get(), shard, O_RDONLY | O_DIRECTORY);
      if (!jobs.ok() && Vanished(jobs.error())) continue;
      if (!jobs.ok()) return jobs.error();
      MEZZO_TRY_VOID(disk_.ForEachName(jobs->get(), visit));
    }
  }
  std::vector<std::string> names(next.begin(), next.end());
  if (level < kNameLevel) {
    for (std::string& name : names) name.pop_back();
  }
  return names;
}

Result<void> ObjectLister::AddObjects(const std::vector<Fd>& folders, const Parts& path,
                                      const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto key = BlobKey::Parse(PathText(path) + name);
    if (!key.ok()) continue;  // Nothing of ours.
    for (const Fd& folder : folders) {
      struct ::stat facts{};
      if (::fstatat(folder.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0)
        continue;  // Removed meanwhile.
      const auto size = static_cast<ByteCount>(facts.st_size);
      if (!S_ISREG(facts.st_mode) || size < kTrailerBytes) continue;
      page_.entries.push_back({.key = *key, .size = size - kTrailerBytes});
      break;
    }
  }
  return {};
}

}  // namespace mezzo::drivers::internal
