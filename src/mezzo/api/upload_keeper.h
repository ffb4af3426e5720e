#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/task.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::api {

/// Puts what callers send where their jobs find it: beside the tenant's artifacts, for a while. Thread-safe.
class UploadKeeper {
 public:
  struct Options {
    Duration store_timeout = std::chrono::seconds(60);
    Duration retention = std::chrono::hours(24 * 8);  ///< Longer than the latest deadline of a job.
  };
  /// All outlive the object. `pool` writes.
  struct Ports {
    storage::BlobStore& artifacts;
    runtime::BlockingPool& pool;
    const Clock& clock;
  };
  UploadKeeper(Options options, Ports ports) : options_(options), ports_(ports) {}

  struct Upload {
    std::string name;  ///< A safe name.
    std::string content_type;
    std::string_view content;  ///< Lives until the task has ended.
  };
  struct Kept {
    std::vector<std::string> keys;  ///< In the order of the uploads, under an id of their own.
    WallTime expires_at;
  };
  /// Errors: the store's.
  runtime::Task<Result<Kept>> Keep(runtime::Context ctx, TenantId tenant, std::vector<Upload> uploads) const;

 private:
  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api
