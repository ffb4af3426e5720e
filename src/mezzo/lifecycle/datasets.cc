#include "mezzo/lifecycle/datasets.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mezzo/base/fd.h"
#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"

namespace mezzo::lifecycle {
namespace {

constexpr std::size_t kMaxParts = 8;
constexpr std::size_t kMaxPrefix = 200;
constexpr std::size_t kLooksAtTheClock = 256;

std::vector<std::string> PartsOf(std::string_view prefix) {
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  std::vector<std::string> parts;
  while (!prefix.empty()) {
    const std::size_t end = std::min(prefix.find('/'), prefix.size());
    parts.emplace_back(prefix.substr(0, end));
    prefix.remove_prefix(std::min(end + 1, prefix.size()));
  }
  return parts;
}

WallTime TimeOf(const timespec& time) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::seconds(time.tv_sec) +
                                                                 std::chrono::nanoseconds(time.tv_nsec)));
}

/// One look: what it has found so far, and where.
class Walk {
 public:
  Walk(const std::string& name, std::size_t max_files, const Clock& clock, TimePoint deadline)
      : name_(name), max_files_(max_files), clock_(clock), deadline_(deadline) {}

  Result<void> Folder(Fd folder, const std::string& path, std::size_t depth) {
    if (depth > FolderDatasets::kMaxDepth) {
      return ResourceExhausted("pipeline_dataset_limit",
                               fmt::format("{} has folders below '{}', deeper than {}", name_,
                                           Printable(path, 200), FolderDatasets::kMaxDepth));
    }
    const int number = folder.Release();
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::fdopendir(number), ::closedir);
    if (open == nullptr) {
      const Fd closed(number);
      return Unreadable(path, errno);
    }
    while (true) {
      errno = 0;
      const dirent* const entry = ::readdir(open.get());
      if (entry == nullptr) return errno == 0 ? Result<void>() : Unreadable(path, errno);
      if (entry->d_name[0] == '.') continue;
      MEZZO_TRY_VOID(Entry(::dirfd(open.get()), entry->d_name, path, depth));
    }
  }

  DataSight Sight() {
    std::sort(lines_.begin(), lines_.end());
    Sha256 hash;
    for (const std::string& line : lines_) hash.Update(AsBytes(line));
    sight_.digest = HexEncode(hash.Finish());
    sight_.files = lines_.size();
    return sight_;
  }

 private:
  Result<void> Entry(int folder, const char* entry, const std::string& path, std::size_t depth) {
    if (++entries_ % kLooksAtTheClock == 0 && clock_.Now() >= deadline_) {
      return DeadlineExceeded(
          "pipeline_dataset_slow",
          fmt::format("{} could not be read in time: {} entries were seen", name_, entries_));
    }
    // Folders count, too: a tree of empty ones is no way around the limit.
    if (entries_ > max_files_) {
      return ResourceExhausted(
          "pipeline_dataset_limit",
          fmt::format("{} has more than {} files and folders (max_files)", name_, max_files_));
    }
    struct ::stat facts{};
    if (::fstatat(folder, entry, &facts, AT_SYMLINK_NOFOLLOW) != 0)
      return errno == ENOENT ? Result<void>() : Unreadable(path, errno);
    const std::string below = path.empty() ? std::string(entry) : path + "/" + entry;
    if (S_ISDIR(facts.st_mode)) {
      Fd inner(::openat(folder, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!inner.ok()) return errno == ENOENT ? Result<void>() : Unreadable(below, errno);
      return Folder(std::move(inner), below, depth + 1);
    }
    if (!S_ISREG(facts.st_mode)) return {};
    std::string line = below;
    line.push_back('\0');
    line += fmt::format("{} {} {}\n", facts.st_size, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
    lines_.push_back(std::move(line));
    sight_.bytes += static_cast<ByteCount>(facts.st_size);
    // Not the time of writing, which a copy may bring along: when it changed here.
    sight_.newest = std::max(sight_.newest, TimeOf(facts.st_ctim));
    return {};
  }
  [[nodiscard]] Error Unreadable(const std::string& path, int number) const {
    return Unavailable("pipeline_dataset_unreadable",
                       name_ + ": '" + Printable(path, 200) + "' can't be read: " + std::strerror(number));
  }

  const std::string name_;
  const std::size_t max_files_;
  const Clock& clock_;
  const TimePoint deadline_;
  std::size_t entries_ = 0;
  std::vector<std::string> lines_;
  DataSight sight_;
};

}  // namespace

bool IsDatasetPrefix(std::string_view text) {
  if (text.empty()) return true;
  if (text.size() > kMaxPrefix || text.front() == '/' || text.find("//") != std::string_view::npos)
    return false;
  const std::vector<std::string> parts = PartsOf(text);
  if (parts.empty() || parts.size() > kMaxParts) return false;
  constexpr std::string_view kMarks = "._=+-";
  return std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
    return !part.empty() && part.front() != '.' && std::all_of(part.begin(), part.end(), [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             kMarks.find(c) != std::string_view::npos;
    });
  });
}

Result<DataSight> FolderDatasets::Look(const std::string& dataset, const std::string& prefix,
                                       TimePoint deadline) {
  const auto rule = rules_.find(dataset);
  if (rule == rules_.end()) {
    return FailedPrecondition("pipeline_dataset", "'" + Printable(dataset, 64) +
                                                      "' is no dataset of this host: pipelines.datasets "
                                                      "does not name it");
  }
  if (!IsDatasetPrefix(prefix)) {
    return FailedPrecondition("pipeline_dataset",
                              "'" + Printable(prefix, 200) + "' is no prefix of a dataset");
  }
  const std::string name = "dataset '" + dataset + "'";
  const auto unreadable = [&](const std::string& what, int number) {
    return Unavailable("pipeline_dataset_unreadable",
                       name + ": " + what + " can't be read: " + std::strerror(number));
  };
  // The operator's own folder may be a link; nothing below it may.
  Fd folder(::open(rule->second.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return unreadable("its folder", errno);
  Walk walk(name, rule->second.max_files, clock_, deadline);
  for (const std::string& part : PartsOf(prefix)) {
    Fd next(::openat(folder.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.ok() && errno == ENOENT) return walk.Sight();
    if (!next.ok()) return unreadable("'" + part + "', which must be a folder and no link,", errno);
    folder = std::move(next);
  }
  MEZZO_TRY_VOID(walk.Folder(std::move(folder), "", 0));
  return walk.Sight();
}

}  // namespace mezzo::lifecycle
