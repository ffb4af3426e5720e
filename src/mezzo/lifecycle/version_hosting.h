#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/version_fetcher.h"

namespace mezzo::lifecycle {

/// Which registered versions this host serves: each that was asked for lies in a repository of its own,
/// `<root>/<model>/<version>/`, as hard links to what VersionFetcher has (a repository refuses symbolic
/// ones), and appears and goes in one step. Nothing lies beside the versions: each has its own configuration
/// (model.yaml, config.pbtxt) and labels. What a restart finds is served again.
///
/// Blocks. Thread-safe; one process has the root, which lies in one file system with the fetcher's folder.
class VersionHosting {
 public:
  struct Options {
    std::string root;  ///< Made when missing.
    std::string host;  ///< What the history calls this one.
  };
  /// All outlive the object.
  struct Ports {
    RegistryStore& registry;
    VersionFetcher& fetcher;
    const Clock& clock;
    /// Takes up what the root now has of a model; false when the catalog is busy with it.
    std::function<Result<bool>(const std::string& model)> look;
    /// Which route or release of this host needs the version; nothing, or a null function: none does.
    std::function<std::optional<std::string>(const std::string& model, std::int64_t version)> needed =
        nullptr;
  };
  /// Why a version is here: what nobody has asked for by hand goes when nothing needs it any more.
  enum class Why : std::uint8_t { kByHand, kNeeded };
  /// Makes the root. Fails with kUnavailable "version_folder".
  static Result<std::unique_ptr<VersionHosting>> Open(Options options, Ports ports);

  /// Pins what the root has, and forgets what is not whole. Once, before the first call of the others.
  Result<void> Restore(TimePoint deadline) EXCLUDES(mu_);

  /// Brings the version here and lets the catalog take it up; when it returns, it is being loaded. Whether it
  /// was not here before. Errors: the registry's, the fetcher's, kFailedPrecondition
  /// "registry_version_not_ready".
  Result<bool> Serve(const std::string& model, std::int64_t version, Why why, TimePoint deadline)
      EXCLUDES(mu_);
  Result<bool> Serve(const std::string& model, std::int64_t version, TimePoint deadline) EXCLUDES(mu_) {
    return Serve(model, version, Why::kByHand, deadline);
  }
  /// It has been loaded: a line of the history, unless it is there.
  Result<void> NoteServed(const std::string& model, std::int64_t version, TimePoint deadline) EXCLUDES(mu_);
  /// Tells the history what it could not be told when it happened.
  Result<void> CatchUpHistory(TimePoint deadline) EXCLUDES(mu_);
  /// The end of it. kNotFound "version_not_served"; kFailedPrecondition "version_in_use" while a route or a
  /// release of this host needs it, which the message names as the database does, if it does.
  Result<void> Withdraw(const std::string& model, std::int64_t version, TimePoint deadline) EXCLUDES(mu_);

  /// The end of what nothing needs; whether it was here and has gone. What is here by hand stays unless
  /// `by_hand_too`.
  Result<bool> LetGo(const std::string& model, std::int64_t version, bool by_hand_too, TimePoint deadline)
      EXCLUDES(mu_);
  /// The host ends: transfers and waits for the catalog fail from now on with kUnavailable "shutting_down".
  void Interrupt();

  struct Served {
    std::string model;
    std::int64_t version = 0;
    std::string digest;
    bool by_hand = true;
  };
  [[nodiscard]] bool Has(const std::string& model, std::int64_t version) const EXCLUDES(mu_);
  /// By model and version.
  [[nodiscard]] std::vector<Served> served() const EXCLUDES(mu_);

 private:
  using Key = std::pair<std::string, std::int64_t>;
  struct Hosted {
    std::string digest;
    VersionFetcher::Pin pin;
    bool by_hand = true;
  };

  VersionHosting(Options options, Ports ports) : options_(std::move(options)), ports_(std::move(ports)) {}
  Result<void> Materialise(const std::string& model, std::int64_t version, const std::string& digest,
                           const Manifest& manifest, const std::string& from, Why why);
  Result<void> PutMark(const std::string& model, std::int64_t version, const Hosted& hosted) const;
  Result<void> End(const std::string& model, std::int64_t version) REQUIRES(one_mu_);
  Result<void> Ended(const std::string& model, std::int64_t version, TimePoint deadline) EXCLUDES(mu_);
  Result<void> Note(const Key& key, bool begun, TimePoint deadline) EXCLUDES(mu_);
  Result<void> TellCatalog(const std::string& model, TimePoint deadline);
  [[nodiscard]] std::string FolderOf(const std::string& model, std::int64_t version) const;
  [[nodiscard]] std::string MarkOf(const std::string& model, std::int64_t version) const;

  const Options options_;
  const Ports ports_;
  std::atomic<bool> interrupted_{false};  // Alone: nothing is published by it.
  Mutex one_mu_;                          // One change of the root at a time; taken before mu_.
  mutable Mutex mu_;
  std::map<Key, Hosted> hosted_ GUARDED_BY(mu_);
  std::map<Key, bool> untold_ GUARDED_BY(mu_);  // Begun or ended, and the history does not know it.
};

}  // namespace mezzo::lifecycle
