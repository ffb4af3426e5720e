#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mezzo/api/blob_server.h"
#include "mezzo/api/platform/artifacts_handler.h"
#include "mezzo/api/platform/job_artifacts.h"
#include "mezzo/app/artifacts_config.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/cache/signed_urls.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/periodic_thread.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/storage/blob_store.h"
#include "mezzo/storage/blob_upkeep.h"
#include "mezzo/storage/metered_blob_store.h"
#include "mezzo/storage/retaining_blob_store.h"
#include "mezzo/storage/spill_blob_store.h"
#include "mezzo/storage/url_signer.h"

namespace mezzo::app {

/// What jobs make, wired: a folder or a bucket with what bridges its outages, who serves it over HTTP, and
/// the thread that looks after it. Everything is metered.
class ArtifactStore {
 public:
  /// All outlive the store.
  struct Ports {
    const Clock& clock;
    observe::Logger& log;
    observe::Registry& registry;
    cache::RecentItems* recent = nullptr;  ///< Keeps signed URLs; null: none are kept.
  };
  /// `data_dir` exists and is this server's alone. Fails with kInvalidArgument "config_invalid_value" or
  /// "blob_store_options_invalid", kUnavailable "data_dir", or as the folder's store does. Asks no bucket.
  static Result<std::unique_ptr<ArtifactStore>> Open(const ArtifactsConfig& config,
                                                     const std::string& data_dir, Ports ports);
  /// For jobs' handlers: blocks.
  [[nodiscard]] storage::BlobStore& store() { return *front_; }
  /// The same, where objects stay unless they are written with a time to expire at.
  [[nodiscard]] storage::BlobStore& lasting() { return *lasting_; }
  /// Threads for calls of the store from protocols.
  [[nodiscard]] runtime::BlockingPool& pool() { return pool_; }
  [[nodiscard]] Duration url_lifetime() const { return url_lifetime_; }
  /// For protocols that answer with objects themselves.
  [[nodiscard]] api::BlobServer& blobs() { return *blobs_; }
  /// Serves ArtifactsHandler::kRoot.
  [[nodiscard]] api::Protocol& handler() { return *handler_; }
  /// For JobsHandler.
  [[nodiscard]] const api::platform::JobArtifacts& list() const { return *list_; }

  /// Begins the upkeep: moving, removing, archiving.
  void Start() { thread_.Start(); }
  /// Ends it; waits for the round that runs, 10 s at most.
  void Stop() { thread_.Stop(); }

 private:
  ArtifactStore(Ports ports, Duration url_lifetime);
  Result<void> OpenLocal(const ArtifactsConfig& config, const std::string& folder);
  Result<void> OpenS3(const ArtifactsConfig& config, const std::string& folder);
  runtime::PeriodicThread::Pause Upkeep();

  const Ports ports_;
  const Duration url_lifetime_;
  std::unique_ptr<storage::UrlSigner> signer_;
  // From the disk or bucket to the front, each on top of those before it.
  std::unique_ptr<storage::BlobStore> local_;
  std::unique_ptr<storage::MeteredBlobStore> metered_local_;
  std::unique_ptr<storage::BlobStore> remote_;
  std::unique_ptr<storage::MeteredBlobStore> metered_remote_;
  std::unique_ptr<storage::SpillBlobStore> spill_;
  std::unique_ptr<storage::RetainingBlobStore> retaining_;
  storage::BlobStore* lasting_ = nullptr;  // The one below `retaining_`.
  storage::BlobStore* front_ = nullptr;    // The last one of them.

  runtime::BlockingPool pool_;
  std::unique_ptr<api::BlobServer> blobs_;
  std::unique_ptr<api::platform::ArtifactsHandler> handler_;
  std::unique_ptr<cache::SignedUrls> urls_;
  std::unique_ptr<api::platform::JobArtifacts> list_;
  std::unique_ptr<storage::BlobUpkeep> upkeep_;  // The thread's alone, once it runs.
  runtime::PeriodicThread thread_;               // Last: uses everything above.
};

}  // namespace mezzo::app
