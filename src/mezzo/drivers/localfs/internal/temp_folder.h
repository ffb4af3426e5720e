#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/localfs/internal/disk.h"

namespace mezzo::drivers::internal {

/// The folder in which one open store writes what is not yet visible. It is locked (flock(2)) as long as it
/// is in use, so the folder of a killed process can be told from one that lives. Thread-safe.
class TempFolder {
 public:
  /// Makes a folder below `parent` (a descriptor), after removing those that nobody holds. `parent` itself is
  /// locked meanwhile: nobody sees a folder between its making and its locking.
  static Result<std::unique_ptr<TempFolder>> Create(Disk& disk, int parent);
  /// Removes the folder.
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::string NewName() { return "w" + std::to_string(++count_); }

 private:
  TempFolder(Disk& disk, Fd parent, std::string name, Fd fd)
      : disk_(disk), parent_(std::move(parent)), name_(std::move(name)), fd_(std::move(fd)) {}

  Disk& disk_;
  const Fd parent_;
  const std::string name_;
  const Fd fd_;
  std::atomic<std::uint64_t> count_{0};  // No partner: names only.
};

}  // namespace mezzo::drivers::internal
