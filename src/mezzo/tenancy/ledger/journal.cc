#include "mezzo/tenancy/ledger/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include <fmt/format.h>

namespace mezzo::tenancy {
namespace {

Error DiskFailure(std::string_view what, std::string_view path, int number) {
  return Unavailable("usage_journal", "the usage journal: can't " + std::string(what) + " '" +
                                          std::string(path) + "': " + std::strerror(number));
}

}  // namespace

Result<void> JournalDisk::MakeFolder(const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return DiskFailure("make", folder, failed.value());
  if (::chmod(folder.c_str(), 0700) != 0) return DiskFailure("protect", folder, errno);
  return {};
}

Result<std::vector<std::string>> JournalDisk::List(const std::string& folder) {
  std::error_code failed;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator it(folder, failed), end; !failed && it != end;
       it.increment(failed)) {
    names.push_back(it->path().filename().string());
  }
  if (failed) return DiskFailure("list", folder, failed.value());
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::string> JournalDisk::Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return DiskFailure("read", path, errno);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) return DiskFailure("read", path, EIO);
  return bytes;
}

Result<Fd> JournalDisk::Create(const std::string& path) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.ok()) return DiskFailure("create", path, errno);
  return file;
}

Result<void> JournalDisk::Write(int file, BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(file, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return DiskFailure("write", "its file", wrote < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
  return {};
}

Result<void> JournalDisk::Sync(int file) {
  if (::fdatasync(file) != 0) return DiskFailure("sync", "its file", errno);
  return {};
}

Result<void> JournalDisk::SyncFolder(const std::string& folder) {
  const Fd opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.ok() || ::fsync(opened.get()) != 0) return DiskFailure("sync", folder, errno);
  return {};
}

Result<void> JournalDisk::Remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return DiskFailure("remove", path, errno);
  return {};
}

Result<std::vector<UsageJournal::Recovered>> UsageJournal::Recover(ByteCount& torn_bytes) {
  torn_bytes = 0;
  MEZZO_TRY_VOID(disk_.MakeFolder(folder_));
  MEZZO_TRY(const std::vector<std::string> names, disk_.List(folder_));
  std::vector<Recovered> recovered;
  for (const std::string& name : names) {
    const std::size_t dot = name.rfind('.');
    if (dot == std::string::npos) continue;
    const std::string epoch = name.substr(0, dot);
    auto segment = std::make_shared<Segment>(Segment{.path = folder_ + "/" + name});
    MEZZO_TRY(const std::string bytes, disk_.Read(segment->path));
    std::string_view rest = bytes;
    while (auto record = TakeRecord(epoch, rest)) {
      ++segment->unsettled;
      recovered.push_back({.epoch = epoch, .record = *std::move(record), .segment = segment});
    }
    torn_bytes += rest.size();
    MutexLock lock(mu_);
    RemoveIfDone(segment);
  }
  // This brings together what was written twice, into two files.
  std::sort(recovered.begin(), recovered.end(), [](const Recovered& a, const Recovered& b) {
    return std::pair(a.epoch, a.record.sequence) < std::pair(b.epoch, b.record.sequence);
  });
  std::vector<Recovered> once;
  for (Recovered& one : recovered) {
    if (!once.empty() && once.back().epoch == one.epoch &&
        once.back().record.sequence == one.record.sequence) {
      Settle(one.segment);
      continue;
    }
    once.push_back(std::move(one));
  }
  return once;
}

Result<void> UsageJournal::OpenSegment() {
  auto segment = std::make_shared<Segment>();
  segment->path = fmt::format("{}/{}.{:08}", folder_, epoch_, next_number_++);
  segment->open = true;
  MEZZO_TRY(file_, disk_.Create(segment->path));
  current_ = std::move(segment);
  // Else a crash of the machine could take the name away from what is synced in it.
  return disk_.SyncFolder(folder_);
}

Result<UsageJournal::SegmentRef> UsageJournal::Append(const UsageRecord& record) {
  const std::string frame = EncodeRecord(epoch_, record);
  const auto write = [&]() -> Result<void> {
    if (current_ == nullptr) MEZZO_TRY_VOID(OpenSegment());
    MEZZO_TRY_VOID(disk_.Write(file_.get(), AsBytes(frame)));
    return disk_.Sync(file_.get());
  };
  if (auto written = write(); !written.ok()) {
    Close();
    return std::move(written).error();
  }
  SegmentRef segment = current_;
  {
    MutexLock lock(mu_);
    ++segment->unsettled;
    segment->size += frame.size();
  }
  if (segment->size >= segment_bytes_) Close();
  return segment;
}

void UsageJournal::Close() {
  if (current_ == nullptr) return;
  const SegmentRef ended = std::exchange(current_, nullptr);
  file_ = Fd();
  MutexLock lock(mu_);
  ended->open = false;
  RemoveIfDone(ended);
}

void UsageJournal::Settle(const SegmentRef& segment) {
  MutexLock lock(mu_);
  --segment->unsettled;
  RemoveIfDone(segment);
}

void UsageJournal::RemoveIfDone(const SegmentRef& segment) {
  // One that can't be removed is read again at the next start, and then the database knows its records.
  if (segment->unsettled == 0 && !segment->open) (void)disk_.Remove(segment->path);
}

}  // namespace mezzo::tenancy
