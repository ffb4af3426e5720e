#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/net/http_types.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::api {

/// Answers GET and HEAD with objects of a store, whoever has decided that the caller may read them. One byte
/// range, If-Range and If-None-Match are heeded; memory is bounded whatever the length.
///
/// Objects are what jobs and callers have made: data to a browser. Their type is never guessed, only
/// pictures, films and sounds are shown, and nothing of them runs. Thread-safe.
class BlobServer {
 public:
  struct Options {
    std::size_t max_downloads = 64;  ///< At the same time; more are answered 503 "artifacts_busy".
    std::size_t piece_bytes = std::size_t{256} << 10;   ///< Read and written at a time.
    Duration store_timeout = std::chrono::seconds(30);  ///< Of opening, and of each piece.
  };
  /// All outlive the server and its answers. `pool` reads from the store.
  struct Ports {
    storage::BlobStore& store;
    runtime::BlockingPool& pool;
    const Clock& clock;
    observe::Registry& registry;
  };
  BlobServer(Options options, Ports ports);

  /// How the answer presents an object.
  struct Presentation {
    std::string file_name;              ///< Under which it is to be saved; may be empty.
    Duration fresh = Duration::zero();  ///< Caches of the caller's own may keep it so long.
    /// The error as the route's protocol writes it, with this status. Never null.
    net::HttpResponse (*refusal)(int status, const Error& error) = nullptr;
  };
  /// Also 206, 304 and 416. Fails as BlobStore::Read() does, and with kUnavailable "artifacts_busy".
  /// `request` lives until the response is finished.
  runtime::Task<Result<net::HttpResponse>> Serve(runtime::Context ctx, storage::BlobKey key,
                                                 const net::HttpRequest* request, Presentation presentation);

 private:
  class Download;
  struct Opened;

  [[nodiscard]] Result<Opened> Open(const runtime::Context& ctx, const storage::BlobKey& key,
                                    const net::HttpRequest& request) const;
  [[nodiscard]] std::shared_ptr<Download> BeginDownload();

  const Options options_;
  const Ports ports_;
  observe::Gauge& running_;
  observe::Counter& refused_;
  std::atomic<std::size_t> downloads_{0};  // Counts; publishes nothing.
};

}  // namespace mezzo::api
