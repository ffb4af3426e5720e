#include "mezzo/lifecycle/version_fetcher.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "mezzo/base/fd.h"
#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/version_uploads.h"

namespace mezzo::lifecycle {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr const char* kPartEnd = ".part";

Error DiskError(const std::string& path, int number) {
  return Unavailable("version_folder", "'" + path + "' can't be used: " + std::strerror(number));
}

Error Corrupt(const ManifestFile& file, const std::string& why) {
  return {Code::kDataLoss, "version_corrupt",
          "the content of '" + Printable(file.path) + "' is not what the manifest says: " + why};
}

Result<void> MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return DiskError(path, errno);
}

Result<void> SyncFolder(const std::string& path) {
  const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok() || ::fsync(folder.get()) != 0) return DiskError(path, errno);
  return {};
}

/// Of regular files below the folder; 0 when there is none.
ByteCount SizeOf(const std::string& folder) {
  ByteCount bytes = 0;
  std::error_code failed;
  for (fs::recursive_directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    std::error_code gone;
    if (at->is_regular_file(gone)) bytes += at->file_size(gone);
  }
  return bytes;
}

/// Adds what the file has to `hash`. How many bytes.
Result<ByteCount> HashFile(int fd, const std::string& path, Sha256& hash) {
  std::vector<std::byte> piece(kPiece);
  ByteCount bytes = 0;
  while (true) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return DiskError(path, errno);
    if (got == 0) return bytes;
    hash.Update({piece.data(), static_cast<std::size_t>(got)});
    bytes += static_cast<ByteCount>(got);
  }
}

Result<void> WriteAll(int fd, const std::string& path, BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return DiskError(path, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Error Ending() { return Unavailable("shutting_down", "the host is ending; the transfer can go on"); }

/// Whether the file that an earlier transfer has finished still is what it should be.
bool IsWhole(const std::string& path, const ManifestFile& file) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.ok()) return false;
  Sha256 hash;
  const auto bytes = HashFile(fd.get(), path, hash);
  return bytes.ok() && *bytes == file.bytes && HexEncode(hash.Finish()) == file.sha256;
}

}  // namespace

VersionFetcher::Pin::Pin(Pin&& other) noexcept
    : fetcher_(std::exchange(other.fetcher_, nullptr)),
      digest_(std::move(other.digest_)),
      folder_(std::move(other.folder_)) {}

VersionFetcher::Pin& VersionFetcher::Pin::operator=(Pin&& other) noexcept {
  std::swap(fetcher_, other.fetcher_);
  std::swap(digest_, other.digest_);
  std::swap(folder_, other.folder_);
  return *this;
}

VersionFetcher::Pin::~Pin() {
  if (fetcher_ != nullptr) fetcher_->Unpin(digest_);
}

std::string VersionFetcher::ReadyFolder(const std::string& digest) const {
  return options_.folder + "/ready/" + digest;
}
std::string VersionFetcher::IncomingFolder(const std::string& digest) const {
  return options_.folder + "/incoming/" + digest;
}

Result<std::unique_ptr<VersionFetcher>> VersionFetcher::Open(Options options, Ports ports) {
  std::unique_ptr<VersionFetcher> fetcher(new VersionFetcher(std::move(options), ports));
  MEZZO_TRY_VOID(fetcher->Look());
  return fetcher;
}

Result<void> VersionFetcher::Look() {
  MutexLock lock(mu_);
  for (const char* part : {"", "/ready", "/incoming"}) MEZZO_TRY_VOID(MakeFolder(options_.folder + part));
  for (const char* part : {"/ready", "/incoming"}) {
    std::error_code failed;
    for (fs::directory_iterator at(options_.folder + part, failed), end; !failed && at != end;
         at.increment(failed)) {
      const std::string digest = at->path().filename().string();
      if (!ParseSha256(digest)) continue;
      const ByteCount bytes = SizeOf(at->path().string());
      kept_[digest].bytes += bytes;
      bytes_ += bytes;
    }
    if (failed) return DiskError(options_.folder + part, failed.value());
  }
  return {};
}

Result<void> VersionFetcher::MakeRoom(const std::string& digest, ByteCount need) {
  if (need > options_.max_bytes) {
    return ResourceExhausted("version_no_room", "the version has " + std::to_string(need) +
                                                    " bytes; this host keeps at most " +
                                                    std::to_string(options_.max_bytes));
  }
  while (bytes_ + need > options_.max_bytes) {
    auto victim = kept_.end();
    for (auto at = kept_.begin(); at != kept_.end(); ++at) {
      const bool free = at->second.pins == 0 && !at->second.coming && at->first != digest;
      if (free && (victim == kept_.end() || at->second.used < victim->second.used)) victim = at;
    }
    if (victim == kept_.end()) {
      return ResourceExhausted("version_no_room", "there is no room for " + std::to_string(need) +
                                                      " bytes: versions that are served take " +
                                                      std::to_string(bytes_) + " of " +
                                                      std::to_string(options_.max_bytes));
    }
    std::error_code failed;
    fs::remove_all(ReadyFolder(victim->first), failed);
    if (!failed) fs::remove_all(IncomingFolder(victim->first), failed);
    if (failed) return DiskError(ReadyFolder(victim->first), failed.value());
    bytes_ -= victim->second.bytes;
    kept_.erase(victim);
  }
  return {};
}

Result<VersionFetcher::Pin> VersionFetcher::Fetch(const Manifest& manifest, TimePoint deadline) {
  const std::string digest = manifest.Digest();
  const std::string folder = ReadyFolder(digest);
  if (manifest.files().empty()) {
    return FailedPrecondition("version_no_files", "the version has no files here: only its source is known");
  }
  {
    MutexLock lock(mu_);
    // Whoever comes while it is on its way waits, and fails with it.
    auto at = kept_.find(digest);
    if (at != kept_.end() && at->second.coming) {
      const std::uint64_t failures = at->second.failures;
      while ((at = kept_.find(digest)) != kept_.end() && at->second.coming) {
        if (interrupted_.load()) return Ending();
        if (ports_.clock.Now() >= deadline) {
          return DeadlineExceeded("version_timeout", "the version did not come in time");
        }
        // In short turns: the clock need not be the one that the wait goes by.
        const TimePoint turn = std::min(deadline, ports_.clock.Now() + std::chrono::milliseconds(100));
        changed_.WaitUntil(mu_, turn);
      }
      if (at != kept_.end() && at->second.failures != failures && at->second.failure) {
        return *at->second.failure;
      }
    }
    Kept& kept = kept_[digest];
    kept.used = ++uses_;
    struct stat s{};
    if (!kept.coming && ::stat(folder.c_str(), &s) == 0) {
      ++kept.pins;
      return Pin(this, digest, folder);
    }
    const ByteCount have = kept.bytes;
    const ByteCount all = manifest.bytes();
    auto room = MakeRoom(digest, all > have ? all - have : 0);
    if (!room.ok()) {
      if (have == 0) kept_.erase(digest);
      return room.error();
    }
    bytes_ += all - std::min(have, all);
    kept.bytes = std::max(all, have);
    kept.coming = true;
  }
  const auto brought = Bring(manifest, digest, deadline);
  MutexLock lock(mu_);
  Kept& kept = kept_[digest];
  kept.coming = false;
  changed_.NotifyAll();
  if (!brought.ok()) {
    const ByteCount left = SizeOf(IncomingFolder(digest));
    bytes_ = bytes_ - kept.bytes + left;
    kept.bytes = left;
    ++kept.failures;
    kept.failure = brought.error();
    return brought.error();
  }
  kept.failure.reset();
  ++kept.pins;
  return Pin(this, digest, folder);
}

Result<void> VersionFetcher::Bring(const Manifest& manifest, const std::string& digest, TimePoint deadline) {
  const std::string folder = IncomingFolder(digest);
  MEZZO_TRY_VOID(MakeFolder(folder));
  std::set<std::string> folders = {folder};
  for (const ManifestFile& file : manifest.files()) {
    std::string parent = folder;
    const auto parts = Split(file.path, '/');
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      parent += "/" + std::string(parts[i]);
      if (folders.insert(parent).second) MEZZO_TRY_VOID(MakeFolder(parent));
    }
    MEZZO_TRY_VOID(BringFile(file, folder, deadline));
  }
  for (const std::string& made : folders) MEZZO_TRY_VOID(SyncFolder(made));
  const std::string ready = ReadyFolder(digest);
  if (::rename(folder.c_str(), ready.c_str()) != 0) return DiskError(ready, errno);
  return SyncFolder(options_.folder + "/ready");
}

Result<void> VersionFetcher::BringFile(const ManifestFile& file, const std::string& folder,
                                       TimePoint deadline) {
  const std::string path = folder + "/" + file.path;
  if (IsWhole(path, file)) return {};
  // Beside the folder's files no path can have this name: none begins with a dot.
  const std::string part = folder + "/." + file.sha256 + kPartEnd;
  const Fd fd(::open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.ok()) return DiskError(part, errno);
  Sha256 hash;
  MEZZO_TRY(ByteCount bytes, HashFile(fd.get(), part, hash));
  if (bytes > file.bytes) {
    if (::ftruncate(fd.get(), 0) != 0 || ::lseek(fd.get(), 0, SEEK_SET) != 0) return DiskError(part, errno);
    hash = Sha256();
    bytes = 0;
  }
  MEZZO_TRY(const auto reader, ports_.contents.Read(VersionUploads::KeyOf(file.sha256),
                                                    {.offset = bytes, .length = {}}, deadline));
  if (reader->facts().size != file.bytes) {
    return Corrupt(
        file, "it has " + std::to_string(reader->facts().size) + " bytes, not " + std::to_string(file.bytes));
  }
  std::vector<std::byte> piece(kPiece);
  while (true) {
    if (interrupted_.load()) return Ending();
    if (ports_.clock.Now() >= deadline) {
      return DeadlineExceeded("version_timeout", "the version did not come in time; its transfer can go on");
    }
    auto got = reader->Read(piece, deadline);
    if (!got.ok() && got.error().reason() == "blob_corrupt") {
      ::unlink(part.c_str());
      return Corrupt(file, got.error().message());
    }
    MEZZO_TRY_VOID(got);
    if (*got == 0) break;
    const BytesView view(piece.data(), *got);
    bytes += *got;
    if (bytes > file.bytes) {
      ::unlink(part.c_str());
      return Corrupt(file, "there are more bytes than " + std::to_string(file.bytes));
    }
    hash.Update(view);
    MEZZO_TRY_VOID(WriteAll(fd.get(), part, view));
    MutexLock lock(mu_);
    fetched_ += *got;
  }
  const std::string made = HexEncode(hash.Finish());
  if (bytes != file.bytes || made != file.sha256) {
    ::unlink(part.c_str());  // Nothing to go on with.
    return Corrupt(file, "it has " + std::to_string(bytes) + " bytes and the SHA-256 " + made + ", not " +
                             std::to_string(file.bytes) + " and " + file.sha256);
  }
  if (::fchmod(fd.get(), 0444) != 0 || ::fsync(fd.get()) != 0) return DiskError(part, errno);
  if (::rename(part.c_str(), path.c_str()) != 0) return DiskError(path, errno);
  return {};
}

void VersionFetcher::Interrupt() {
  interrupted_.store(true);
  const MutexLock lock(mu_);
  changed_.NotifyAll();
}

void VersionFetcher::Unpin(const std::string& digest) {
  MutexLock lock(mu_);
  const auto at = kept_.find(digest);
  if (at != kept_.end() && at->second.pins > 0) --at->second.pins;
}

ByteCount VersionFetcher::bytes() const {
  MutexLock lock(mu_);
  return bytes_;
}

bool VersionFetcher::Has(const std::string& digest) const {
  MutexLock lock(mu_);
  const auto at = kept_.find(digest);
  struct stat s{};
  return at != kept_.end() && !at->second.coming && ::stat(ReadyFolder(digest).c_str(), &s) == 0;
}

std::uint64_t VersionFetcher::bytes_fetched() const {
  MutexLock lock(mu_);
  return fetched_;
}

}  // namespace mezzo::lifecycle
