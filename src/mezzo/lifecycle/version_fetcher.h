#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/artifact_manifest.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::lifecycle {

/// Versions' files on this host's disk, by the versions' digests: `<folder>/ready/<digest>/<path>`. A folder
/// below `ready` is whole: it has come there in one step, after every file's size and SHA-256 were verified
/// as they were written. What a crash leaves in `<folder>/incoming` is verified again and gone on with.
///
/// Bounded: when there is no room, what is not pinned goes, the least recently used first. Blocks.
/// Thread-safe; one process has the folder.
class VersionFetcher {
 public:
  struct Options {
    std::string folder;                         ///< Made when missing; its parent must be there.
    ByteCount max_bytes = ByteCount{64} << 30;  ///< Of all versions on the disk.
  };
  /// All outlive the fetcher.
  struct Ports {
    storage::BlobStore& contents;
    const Clock& clock;
  };

  /// Keeps a version on the disk while it lives. Movable.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept;
    Pin& operator=(Pin&& other) noexcept;
    ~Pin();
    /// The folder with the version's files, which nobody may change.
    [[nodiscard]] const std::string& folder() const { return folder_; }

   private:
    friend class VersionFetcher;
    Pin(VersionFetcher* fetcher, std::string digest, std::string folder)
        : fetcher_(fetcher), digest_(std::move(digest)), folder_(std::move(folder)) {}
    VersionFetcher* fetcher_ = nullptr;
    std::string digest_;
    std::string folder_;
  };

  /// Finds what is there. Fails with kUnavailable "version_folder".
  static Result<std::unique_ptr<VersionFetcher>> Open(Options options, Ports ports);
  VersionFetcher(const VersionFetcher&) = delete;
  VersionFetcher& operator=(const VersionFetcher&) = delete;

  /// The version's files, brought here when they are not. Calls for one version share one transfer. Errors:
  /// kDataLoss "version_corrupt", naming the file, when what the store has is not what the manifest says:
  /// nothing of it is ever seen; kResourceExhausted "version_no_room"; kUnavailable "version_folder" of the
  /// disk; kDeadlineExceeded "version_timeout"; the store's.
  Result<Pin> Fetch(const Manifest& manifest, TimePoint deadline) EXCLUDES(mu_);

  /// The host ends: transfers fail from now on with kUnavailable "shutting_down", and can be gone on with.
  void Interrupt() EXCLUDES(mu_);

  [[nodiscard]] ByteCount bytes() const EXCLUDES(mu_);
  [[nodiscard]] bool Has(const std::string& digest) const EXCLUDES(mu_);
  /// Of all contents since the start, brought from the store.
  [[nodiscard]] std::uint64_t bytes_fetched() const EXCLUDES(mu_);

 private:
  struct Kept {
    ByteCount bytes = 0;
    std::uint64_t used = 0;  ///< Counts uses: who has the lowest was used longest ago.
    std::size_t pins = 0;
    bool coming = false;  ///< In transfer: not there yet.
    std::uint64_t failures = 0;
    std::optional<Error> failure;  ///< Of the last transfer.
  };

  VersionFetcher(Options options, Ports ports) : options_(std::move(options)), ports_(ports) {}
  Result<void> Look();
  Result<void> MakeRoom(const std::string& digest, ByteCount need) REQUIRES(mu_);
  Result<void> Bring(const Manifest& manifest, const std::string& digest, TimePoint deadline);
  Result<void> BringFile(const ManifestFile& file, const std::string& folder, TimePoint deadline);
  void Unpin(const std::string& digest) EXCLUDES(mu_);
  [[nodiscard]] std::string ReadyFolder(const std::string& digest) const;
  [[nodiscard]] std::string IncomingFolder(const std::string& digest) const;

  const Options options_;
  const Ports ports_;
  std::atomic<bool> interrupted_{false};  // Alone: nothing is published by it.
  mutable Mutex mu_;
  CondVar changed_;
  std::map<std::string, Kept> kept_ GUARDED_BY(mu_);  // By digest; half a version counts, too.
  ByteCount bytes_ GUARDED_BY(mu_) = 0;
  std::uint64_t uses_ GUARDED_BY(mu_) = 0;
  std::uint64_t fetched_ GUARDED_BY(mu_) = 0;
};

}  // namespace mezzo::lifecycle
