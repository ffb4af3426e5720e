#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/api/upload_keeper.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/jobs/job_service.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/task.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::api::openai {

/// What requests for pictures and for videos do alike: put what the caller sends where a job finds it, wait
/// for the job, and read what it has made. Everything that blocks runs on a pool. Thread-safe.
class MediaJobs {
 public:
  struct Options {
    ByteCount max_artifact = ByteCount{64} << 20;  ///< That is answered in a body.
    Duration store_timeout = std::chrono::seconds(60);
  };
  /// All outlive the object.
  struct Ports {
    jobs::JobService& jobs;
    storage::BlobStore& artifacts;
    runtime::BlockingPool& pool;
    const Clock& clock;
  };
  MediaJobs(Options options, Ports ports)
      : options_(options),
        ports_(ports),
        uploads_({}, {.artifacts = ports.artifacts, .pool = ports.pool, .clock = ports.clock}) {}

  [[nodiscard]] jobs::JobService& jobs() const { return ports_.jobs; }

  [[nodiscard]] const UploadKeeper& uploads() const { return uploads_; }

  /// The job at its end, succeeded. Ends the job when the caller leaves or `until` passes, and then fails
  /// with kCancelled "client_gone" or kDeadlineExceeded "media_timeout"; otherwise as FailureOf().
  runtime::Task<Result<jobs::Job>> Await(runtime::Context ctx, TenantId tenant, jobs::JobId id,
                                         TimePoint until) const;
  /// Cancels a job whose result nobody waits for any more. What fails is left to the job's deadline.
  runtime::Task<void> Abandon(TenantId tenant, jobs::JobId id) const;

  /// Artifacts of an attempt whose names begin with `prefix` and that `seen` does not have yet, which it then
  /// has; by name.
  [[nodiscard]] Result<std::vector<storage::BlobKey>> NewArtifacts(const TenantId& tenant,
                                                                   const jobs::JobId& id,
                                                                   std::int64_t attempt,
                                                                   std::string_view prefix,
                                                                   std::set<std::string>* seen) const;
  /// The content of an artifact that must be the tenant's. Both block.
  [[nodiscard]] Result<std::string> ReadArtifact(const TenantId& tenant, const std::string& key) const;
  /// A URL of it, which may be a path only.
  [[nodiscard]] Result<std::string> SignArtifact(const TenantId& tenant, const std::string& key,
                                                 Duration lifetime) const;

  /// Removes all artifacts of a job.
  runtime::Task<Result<void>> Discard(runtime::Context ctx, TenantId tenant, jobs::JobId id) const;

  /// A key in a job's result, which must be the tenant's. Fails with kInternal "job_result".
  static Result<storage::BlobKey> KeyOf(const TenantId& tenant, const std::string& key);
  /// How a job ended that has not succeeded, as an error of the request that has waited for it.
  static Error FailureOf(const jobs::Job& job);
  [[nodiscard]] runtime::BlockingPool& pool() const { return ports_.pool; }
  [[nodiscard]] const Clock& clock() const { return ports_.clock; }

 private:
  const Options options_;
  const Ports ports_;
  const UploadKeeper uploads_;
};

}  // namespace mezzo::api::openai
