#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <type_traits>

#include <sqlite3.h>

#include "mezzo/base/check.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"

namespace mezzo::drivers::testing {

/// SQLite's default file system with a disk that can be slow, stuck, broken or full. Registered while it
/// lives, under name(); databases on it must be closed before. Thread-safe.
class FaultVfs {
 public:
  FaultVfs() : name_("fault-" + std::to_string(reinterpret_cast<std::uintptr_t>(this))) {
    real_ = sqlite3_vfs_find(nullptr);
    vfs_ = *real_;
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.zName = name_.c_str();
    vfs_.pNext = nullptr;
    vfs_.pAppData = this;
    vfs_.xOpen = &FaultVfs::Open;
    MEZZO_CHECK(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
  }
  ~FaultVfs() { sqlite3_vfs_unregister(&vfs_); }
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }

  /// Every sync takes this longer.
  void SlowSyncs(Duration delay) { sync_delay_ = delay.count(); }
  /// The n-th write or sync from now (1: the next) fails with `error`, once.
  void FailOperation(int n, int error = SQLITE_IOERR) {
    error_ = error;
    until_failure_ = n;
  }
  /// The next sync fails, once.
  void FailSync() { fail_sync_ = true; }
  [[nodiscard]] bool failed() const { return failed_; }

  /// From now on syncs wait for Release().
  void Hold() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    held_ = true;
  }
  void Release() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    held_ = false;
    changed_.NotifyAll();
  }
  /// Waits until a sync waits.
  void AwaitHeldSync() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    while (waiting_ == 0) changed_.Wait(mu_);
  }

 private:
  struct File {
    sqlite3_file base;  // First: SQLite sees this.
    FaultVfs* owner;
    sqlite3_io_methods methods;
    [[nodiscard]] sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  };
  static File& Of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }

  /// The method of the real file, called with it.
  template <auto kMethod>
  struct Forward {
    template <typename... Args>
    static int Call(sqlite3_file* file, Args... args) {
      sqlite3_file* real = Of(file).real();
      return (real->pMethods->*kMethod)(real, args...);
    }
  };

  static int Open(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* out, int flags, int* out_flags) {
    auto* self = static_cast<FaultVfs*>(vfs->pAppData);
    File& file = *new (out) File{.base = {}, .owner = self, .methods = {}};
    const int opened = self->real_->xOpen(self->real_, name, file.real(), flags, out_flags);
    if (opened != SQLITE_OK || file.real()->pMethods == nullptr) return opened;
    using M = sqlite3_io_methods;
    file.methods.iVersion = 2;  // With shared memory, as WAL needs it; without memory-mapped reads.
    file.methods.xClose = &Forward<&M::xClose>::Call<>;
    file.methods.xRead = &Forward<&M::xRead>::Call<void*, int, sqlite3_int64>;
    file.methods.xWrite = &FaultVfs::Write;
    file.methods.xTruncate = &Forward<&M::xTruncate>::Call<sqlite3_int64>;
    file.methods.xSync = &FaultVfs::Sync;
    file.methods.xFileSize = &Forward<&M::xFileSize>::Call<sqlite3_int64*>;
    file.methods.xLock = &Forward<&M::xLock>::Call<int>;
    file.methods.xUnlock = &Forward<&M::xUnlock>::Call<int>;
    file.methods.xCheckReservedLock = &Forward<&M::xCheckReservedLock>::Call<int*>;
    file.methods.xFileControl = &Forward<&M::xFileControl>::Call<int, void*>;
    file.methods.xSectorSize = &Forward<&M::xSectorSize>::Call<>;
    file.methods.xDeviceCharacteristics = &Forward<&M::xDeviceCharacteristics>::Call<>;
    file.methods.xShmMap = &Forward<&M::xShmMap>::Call<int, int, int, void volatile**>;
    file.methods.xShmLock = &Forward<&M::xShmLock>::Call<int, int, int>;
    file.methods.xShmBarrier = &FaultVfs::ShmBarrier;
    file.methods.xShmUnmap = &Forward<&M::xShmUnmap>::Call<int>;
    file.base.pMethods = &file.methods;
    return SQLITE_OK;
  }
  static void ShmBarrier(sqlite3_file* file) {
    sqlite3_file* real = Of(file).real();
    real->pMethods->xShmBarrier(real);
  }
  static int Write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
    if (const int error = Of(file).owner->Count(); error != SQLITE_OK) {
      return error == SQLITE_IOERR ? SQLITE_IOERR_WRITE : error;
    }
    return Forward<&sqlite3_io_methods::xWrite>::Call(file, bytes, count, offset);
  }
  static int Sync(sqlite3_file* file, int flags) {
    FaultVfs& owner = *Of(file).owner;
    owner.WaitWhileHeld();
    std::this_thread::sleep_for(Duration(owner.sync_delay_));
    if (owner.fail_sync_.exchange(false) || owner.Count() != SQLITE_OK) {
      owner.failed_ = true;
      return SQLITE_IOERR_FSYNC;
    }
    return Forward<&sqlite3_io_methods::xSync>::Call(file, flags);
  }
  int Count() {
    if (until_failure_ == 0 || until_failure_.fetch_sub(1) != 1) return SQLITE_OK;
    failed_ = true;
    return error_;
  }
  void WaitWhileHeld() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    ++waiting_;
    changed_.NotifyAll();
    while (held_) changed_.Wait(mu_);
    --waiting_;
  }

  const std::string name_;
  sqlite3_vfs* real_ = nullptr;
  sqlite3_vfs vfs_{};
  std::atomic<std::int64_t> sync_delay_{0};  // The atomics are set by the test and read by SQLite's threads.
  std::atomic<int> until_failure_{0};
  std::atomic<int> error_{SQLITE_IOERR};
  std::atomic<bool> fail_sync_{false};
  std::atomic<bool> failed_{false};
  Mutex mu_;
  CondVar changed_;
  bool held_ GUARDED_BY(mu_) = false;
  int waiting_ GUARDED_BY(mu_) = 0;
};

}  // namespace mezzo::drivers::testing
