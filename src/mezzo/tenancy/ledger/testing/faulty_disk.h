#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "mezzo/tenancy/ledger/journal.h"

namespace mezzo::tenancy::testing {

/// A disk whose calls fail when they are told to. A failing write leaves the first half of its bytes; what a
/// failing sync was to sync may be there afterwards or not: here it is, until LoseUnsynced(). One thread.
class FaultyDisk final : public JournalDisk {
 public:
  /// The `call`th call from now on fails, counted from 1, and with `for_good` all that follow; 0: none.
  void FailAt(std::size_t call, bool for_good) {
    calls_ = 0;
    fail_at_ = call;
    for_good_ = for_good;
  }
  [[nodiscard]] std::size_t calls() const { return calls_; }

  /// As a machine that loses its power leaves the disk at worst: without what has not been synced.
  void LoseUnsynced() {
    for (auto& [path, file] : files_) {
      std::error_code ignored;
      if (file.named) {
        if (std::filesystem::exists(path, ignored)) std::filesystem::resize_file(path, file.synced, ignored);
      } else {
        std::filesystem::remove(path, ignored);
      }
    }
    files_.clear();
  }

  Result<void> MakeFolder(const std::string& folder) override {
    if (Fails()) return Broken();
    return JournalDisk::MakeFolder(folder);
  }
  Result<std::vector<std::string>> List(const std::string& folder) override {
    if (Fails()) return Broken();
    return JournalDisk::List(folder);
  }
  Result<std::string> Read(const std::string& path) override {
    if (Fails()) return Broken();
    return JournalDisk::Read(path);
  }
  Result<Fd> Create(const std::string& path) override {
    if (Fails()) return Broken();
    auto made = JournalDisk::Create(path);
    if (made.ok()) {
      path_of_[made->get()] = path;
      files_[path] = {};
    }
    return made;
  }
  Result<void> Write(int file, BytesView bytes) override {
    if (!Fails()) {
      files_[path_of_[file]].written += bytes.size();
      return JournalDisk::Write(file, bytes);
    }
    (void)JournalDisk::Write(file, bytes.first(bytes.size() / 2));
    return Broken();
  }
  Result<void> Sync(int file) override {
    if (Fails()) return Broken();
    files_[path_of_[file]].synced = files_[path_of_[file]].written;
    return JournalDisk::Sync(file);
  }
  Result<void> SyncFolder(const std::string& folder) override {
    if (Fails()) return Broken();
    for (auto& [path, file] : files_) file.named = true;
    return JournalDisk::SyncFolder(folder);
  }
  Result<void> Remove(const std::string& path) override {
    if (Fails()) return Broken();
    return JournalDisk::Remove(path);
  }

 private:
  [[nodiscard]] bool Fails() {
    ++calls_;
    return fail_at_ != 0 && (calls_ == fail_at_ || (for_good_ && calls_ > fail_at_));
  }
  static Error Broken() { return Unavailable("usage_journal", "the disk fails, as it was told to"); }

  struct File {
    std::size_t written = 0;
    std::size_t synced = 0;
    bool named = false;  // The folder has been synced since.
  };
  std::map<std::string, File> files_;
  std::map<int, std::string> path_of_;
  std::size_t calls_ = 0;
  std::size_t fail_at_ = 0;
  bool for_good_ = false;
};

}  // namespace mezzo::tenancy::testing
