#include "mezzo/drivers/localfs/internal/temp_folder.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <vector>

#include "mezzo/base/uuid.h"

namespace mezzo::drivers::internal {
namespace {

constexpr int kFolder = O_RDONLY | O_DIRECTORY;

/// Best effort: what stays is found again at the next start.
void RemoveFiles(Disk& disk, int folder) {
  std::vector<std::string> names;
  const auto listed = disk.ForEachName(folder, [&](std::string_view name) {
    names.emplace_back(name);
    return true;
  });
  if (!listed.ok()) return;
  for (const std::string& name : names) (void)disk.Remove(folder, name);
}

void RemoveAbandoned(Disk& disk, int parent) {
  std::vector<std::string> abandoned;
  const auto listed = disk.ForEachName(parent, [&](std::string_view name) {
    abandoned.emplace_back(name);
    return true;
  });
  if (!listed.ok()) return;
  for (const std::string& name : abandoned) {
    const auto folder = disk.Open(parent, name, kFolder);
    if (!folder.ok() || ::flock(folder->get(), LOCK_EX | LOCK_NB) != 0) continue;
    RemoveFiles(disk, folder->get());
    (void)disk.RemoveFolder(parent, name);
  }
}

/// Whoever holds the lock does so for the few calls of Create(); a process that was stopped there must not
/// stop others.
Result<void> LockSoon(int parent) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    if (::flock(parent, LOCK_EX | LOCK_NB) == 0) return {};
    if (errno != EWOULDBLOCK && errno != EINTR) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return DiskError("can't lock", "the temporary folder", errno);
}

}  // namespace

Result<std::unique_ptr<TempFolder>> TempFolder::Create(Disk& disk, int parent) {
  MEZZO_TRY(Fd held, disk.Open(parent, ".", kFolder));
  MEZZO_TRY_VOID(LockSoon(held.get()));
  RemoveAbandoned(disk, held.get());
  const std::string name = "p" + std::to_string(RandomUint64());
  MEZZO_TRY_VOID(disk.MakeFolder(held.get(), name));
  MEZZO_TRY(Fd fd, disk.Open(held.get(), name, kFolder));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return DiskError("can't lock", name, errno);
  ::flock(held.get(), LOCK_UN);
  return std::unique_ptr<TempFolder>(new TempFolder(disk, std::move(held), name, std::move(fd)));  // Private.
}

TempFolder::~TempFolder() {
  RemoveFiles(disk_, fd_.get());
  (void)disk_.RemoveFolder(parent_.get(), name_);
}

}  // namespace mezzo::drivers::internal
