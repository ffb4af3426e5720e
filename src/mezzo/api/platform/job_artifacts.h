#pragma once

#include <cstddef>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/cache/signed_urls.h"
#include "mezzo/jobs/job.h"
#include "mezzo/net/http_types.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/task.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::api::platform {

/// What a job has made, as a list with URLs that work for a while:
///
///     {"object":"list","data":[{"object":"artifact","key","attempt","name","bytes","url","url_expires_at"}],
///      "last_key","has_more"}
///
/// Thread-safe.
class JobArtifacts {
 public:
  struct Options {
    Duration url_lifetime = std::chrono::hours(1);
    Duration store_timeout = std::chrono::seconds(10);
  };
  /// All outlive the object. `pool` asks the store.
  struct Ports {
    storage::BlobStore& store;
    cache::SignedUrls& urls;  ///< Of its objects.
    runtime::BlockingPool& pool;
    const Clock& clock;
  };
  JobArtifacts(Options options, Ports ports) : options_(options), ports_(ports) {}

  /// At most `limit` of the job's artifacts behind the key `after`, of all its attempts. The caller has
  /// checked that the job is the tenant's; `request` says how this server is reached.
  runtime::Task<Result<std::string>> List(TenantId tenant, jobs::JobId job, std::string after,
                                          std::size_t limit, const net::HttpRequest* request) const;

 private:
  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
