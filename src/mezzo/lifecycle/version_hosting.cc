#include "mezzo/lifecycle/version_hosting.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"

namespace mezzo::lifecycle {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = ".served-";
/// What a mark says after the digest when nobody has asked for the version by hand.
constexpr std::string_view kNeededMark = "needed";

Error DiskError(const std::string& path, int number) {
  return Unavailable("version_folder", "'" + path + "' can't be used: " + std::strerror(number));
}

Result<void> MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return DiskError(path, errno);
}

Result<void> RemoveAll(const std::string& path) {
  std::error_code failed;
  fs::remove_all(path, failed);
  if (failed) return DiskError(path, failed.value());
  return {};
}

Result<void> Link(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return {};
  return DiskError(to, errno);
}

}  // namespace

std::string VersionHosting::FolderOf(const std::string& model, std::int64_t version) const {
  return options_.root + "/" + model + "/" + std::to_string(version);
}
std::string VersionHosting::MarkOf(const std::string& model, std::int64_t version) const {
  return options_.root + "/" + model + "/" + std::string(kMark) + std::to_string(version);
}

Result<std::unique_ptr<VersionHosting>> VersionHosting::Open(Options options, Ports ports) {
  std::unique_ptr<VersionHosting> hosting(new VersionHosting(std::move(options), std::move(ports)));
  MEZZO_TRY_VOID(MakeFolder(hosting->options_.root));
  return hosting;
}

Result<void> VersionHosting::Restore(TimePoint deadline) {
  MutexLock one(one_mu_);
  std::error_code failed;
  for (fs::directory_iterator at(options_.root, failed), end; !failed && at != end; at.increment(failed)) {
    const std::string model = at->path().filename().string();
    if (!IsSafeName(model)) {
      if (model.starts_with(".new-")) MEZZO_TRY_VOID(RemoveAll(at->path().string()));
      continue;
    }
    std::error_code unreadable;
    for (fs::directory_iterator mark(at->path(), unreadable), last; !unreadable && mark != last;
         mark.increment(unreadable)) {
      const std::string name = mark->path().filename().string();
      // Releases of this program before each version had its own put the newest one's configuration here.
      std::error_code gone;
      if (!name.starts_with('.') && mark->is_regular_file(gone))
        MEZZO_TRY_VOID(RemoveAll(mark->path().string()));
      if (!name.starts_with(kMark)) continue;
      const auto version = ParseUint(std::string_view(name).substr(kMark.size()));
      std::ifstream in(mark->path());
      std::string digest;
      std::string why;
      in >> digest >> why;
      if (!version || !ParseSha256(digest)) continue;
      const auto number = static_cast<std::int64_t>(*version);
      struct stat s{};
      if (::stat(FolderOf(model, number).c_str(), &s) != 0) {
        std::error_code ignored;
        fs::remove(mark->path(), ignored);  // It was ended between two steps.
        continue;
      }
      Hosted hosted{.digest = digest, .pin = {}, .by_hand = why != kNeededMark};
      // Pinned, so that the place it takes is counted. Gone from the registry: it is served all the same.
      const auto files = ports_.registry.FilesOf(model, number, deadline);
      if (files.ok() && ports_.fetcher.Has(digest)) {
        auto manifest = Manifest::Make(*files, {});
        if (manifest.ok() && manifest->Digest() == digest) {
          auto pin = ports_.fetcher.Fetch(*manifest, deadline);
          if (pin.ok()) hosted.pin = *std::move(pin);
        }
      }
      MutexLock lock(mu_);
      hosted_.insert_or_assign(Key(model, number), std::move(hosted));
    }
  }
  if (failed) return DiskError(options_.root, failed.value());
  return {};
}

Result<bool> VersionHosting::Serve(const std::string& model, std::int64_t version, Why why,
                                   TimePoint deadline) {
  MEZZO_TRY(const VersionRecord record, ports_.registry.GetVersion(model, version, deadline));
  if (record.state != VersionState::kReady) {
    return FailedPrecondition("registry_version_not_ready",
                              "version " + std::to_string(version) + " of model '" + model + "' is " +
                                  std::string(VersionStateName(record.state)) + ", not ready");
  }
  MEZZO_TRY(const auto files, ports_.registry.FilesOf(model, version, deadline));
  // The limits were those of the host that took it.
  ManifestLimits any;
  any.max_files = SIZE_MAX;
  any.max_file_bytes = ByteCount{1} << 62;
  any.max_bytes = ByteCount{1} << 62;
  if (files.empty()) {
    return FailedPrecondition("version_no_files", "the version has no files here: only its source is known");
  }
  MEZZO_TRY(const Manifest manifest, Manifest::Make(files, any));
  MEZZO_TRY(VersionFetcher::Pin pin, ports_.fetcher.Fetch(manifest, deadline));
  const std::string digest = manifest.Digest();
  bool here = false;
  {
    MutexLock one(one_mu_);
    {
      MutexLock lock(mu_);
      const auto at = hosted_.find(Key(model, version));
      here = at != hosted_.end() && at->second.digest == digest;
      if (here && why == Why::kByHand && !at->second.by_hand) {
        at->second.by_hand = true;
        MEZZO_TRY_VOID(PutMark(model, version, at->second));
      }
    }
    if (!here) {
      MEZZO_TRY_VOID(Materialise(model, version, digest, manifest, pin.folder(), why));
      {
        MutexLock lock(mu_);
        hosted_.insert_or_assign(
            Key(model, version),
            Hosted{.digest = digest, .pin = std::move(pin), .by_hand = why == Why::kByHand});
      }
    }
  }
  MEZZO_TRY_VOID(TellCatalog(model, deadline));
  return !here;
}

Result<void> VersionHosting::NoteServed(const std::string& model, std::int64_t version, TimePoint deadline) {
  return Note(Key(model, version), /*begun=*/true, deadline);
}

Result<void> VersionHosting::Note(const Key& key, bool begun, TimePoint deadline) {
  auto noted = ports_.registry.NoteServing(key.first, key.second, options_.host, begun, deadline);
  MutexLock lock(mu_);
  if (noted.ok() || noted.error().code() == Code::kNotFound) {
    untold_.erase(key);
  } else {
    untold_.insert_or_assign(key, begun);
  }
  return noted;
}

Result<void> VersionHosting::CatchUpHistory(TimePoint deadline) {
  std::map<Key, bool> untold;
  {
    MutexLock lock(mu_);
    untold = untold_;
  }
  for (const auto& [key, began] : untold) {
    const auto noted = Note(key, began, deadline);
    if (!noted.ok() && noted.error().code() != Code::kNotFound) return noted.error();
  }
  return {};
}

Result<void> VersionHosting::Materialise(const std::string& model, std::int64_t version,
                                         const std::string& digest, const Manifest& manifest,
                                         const std::string& from, Why why) {
  const std::string fresh = options_.root + "/.new-" + model + "-" + std::to_string(version);
  MEZZO_TRY_VOID(RemoveAll(fresh));
  MEZZO_TRY_VOID(MakeFolder(fresh));
  std::set<std::string> folders;
  for (const ManifestFile& file : manifest.files()) {
    std::string parent = fresh;
    const auto parts = Split(file.path, '/');
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      parent += "/" + std::string(parts[i]);
      if (folders.insert(parent).second) MEZZO_TRY_VOID(MakeFolder(parent));
    }
    MEZZO_TRY_VOID(Link(from + "/" + file.path, fresh + "/" + file.path));
  }
  MEZZO_TRY_VOID(MakeFolder(options_.root + "/" + model));
  // The mark first: a folder without one would not be known after a crash.
  MEZZO_TRY_VOID(PutMark(model, version, {.digest = digest, .pin = {}, .by_hand = why == Why::kByHand}));
  const std::string folder = FolderOf(model, version);
  MEZZO_TRY_VOID(RemoveAll(folder));
  if (::rename(fresh.c_str(), folder.c_str()) != 0) return DiskError(folder, errno);
  return {};
}

Result<void> VersionHosting::PutMark(const std::string& model, std::int64_t version,
                                     const Hosted& hosted) const {
  const std::string mark = MarkOf(model, version);
  std::ofstream out(mark, std::ios::trunc);
  out << hosted.digest << (hosted.by_hand ? "" : " ") << (hosted.by_hand ? "" : kNeededMark) << "\n";
  out.close();
  if (!out) return DiskError(mark, EIO);
  return {};
}

Result<void> VersionHosting::TellCatalog(const std::string& model, TimePoint deadline) {
  while (true) {
    MEZZO_TRY(const bool taken, ports_.look(model));
    if (taken) return {};
    if (interrupted_.load()) return Unavailable("shutting_down", "the host is ending");
    if (ports_.clock.Now() >= deadline) {
      return DeadlineExceeded("version_timeout",
                              "model '" + model + "' is being loaded all the time: try again");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Result<void> VersionHosting::Withdraw(const std::string& model, std::int64_t version, TimePoint deadline) {
  const auto here = ports_.needed == nullptr ? std::nullopt : ports_.needed(model, version);
  const auto named = ports_.registry.UserOf(model, version, deadline);
  const std::string user = named.ok() && !named->empty() ? *named : here.value_or("");
  if (!user.empty() && Has(model, version)) {
    return FailedPrecondition("version_in_use", user + " needs version " + std::to_string(version) +
                                                    " of model '" + Printable(model) + "' on host '" +
                                                    Printable(options_.host) + "'");
  }
  {
    MutexLock one(one_mu_);
    MEZZO_TRY_VOID(End(model, version));
  }
  return Ended(model, version, deadline);
}

Result<bool> VersionHosting::LetGo(const std::string& model, std::int64_t version, bool by_hand_too,
                                   TimePoint deadline) {
  {
    MutexLock one(one_mu_);
    {
      MutexLock lock(mu_);
      const auto at = hosted_.find(Key(model, version));
      if (at == hosted_.end() || (at->second.by_hand && !by_hand_too)) return false;
    }
    MEZZO_TRY_VOID(End(model, version));
  }
  MEZZO_TRY_VOID(Ended(model, version, deadline));
  return true;
}

Result<void> VersionHosting::End(const std::string& model, std::int64_t version) {
  {
    MutexLock lock(mu_);
    if (!hosted_.contains(Key(model, version))) {
      return NotFound("version_not_served", "this host does not serve version " + std::to_string(version) +
                                                " of model '" + Printable(model) + "' from the registry");
    }
  }
  // Out of sight in one step; sessions that have its files open keep them.
  const std::string folder = FolderOf(model, version);
  const std::string old = options_.root + "/.new-" + model + "-" + std::to_string(version);
  MEZZO_TRY_VOID(RemoveAll(old));
  if (::rename(folder.c_str(), old.c_str()) != 0 && errno != ENOENT) return DiskError(folder, errno);
  MEZZO_TRY_VOID(RemoveAll(MarkOf(model, version)));
  MEZZO_TRY_VOID(RemoveAll(old));
  bool others = false;
  {
    MutexLock lock(mu_);
    hosted_.erase(Key(model, version));
    const auto next = hosted_.lower_bound(Key(model, 0));
    others = next != hosted_.end() && next->first.first == model;
  }
  if (others) return {};
  return RemoveAll(options_.root + "/" + model);
}

Result<void> VersionHosting::Ended(const std::string& model, std::int64_t version, TimePoint deadline) {
  MEZZO_TRY_VOID(TellCatalog(model, deadline));
  auto noted = Note(Key(model, version), /*begun=*/false, deadline);
  if (!noted.ok() && noted.error().code() == Code::kNotFound) return {};  // The registry has forgotten it.
  return noted;
}

void VersionHosting::Interrupt() {
  interrupted_.store(true);
  ports_.fetcher.Interrupt();
}

bool VersionHosting::Has(const std::string& model, std::int64_t version) const {
  MutexLock lock(mu_);
  return hosted_.contains(Key(model, version));
}

std::vector<VersionHosting::Served> VersionHosting::served() const {
  MutexLock lock(mu_);
  std::vector<Served> all;
  all.reserve(hosted_.size());
  for (const auto& [key, hosted] : hosted_) {
    all.push_back(
        {.model = key.first, .version = key.second, .digest = hosted.digest, .by_hand = hosted.by_hand});
  }
  return all;
}

}  // namespace mezzo::lifecycle
