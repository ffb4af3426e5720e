#include "mezzo/api/openai/media_jobs.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_io.h"

namespace mezzo::api::openai {

using storage::BlobKey;

runtime::Task<Result<jobs::Job>> MediaJobs::Await(runtime::Context ctx, TenantId tenant, jobs::JobId id,
                                                  TimePoint until) const {
  Result<jobs::Job> job =
      co_await ports_.jobs.Wait(ctx, tenant, id, 0, /*until_end=*/true, std::min(until, ctx.deadline()));
  if (!job.ok() || !jobs::IsTerminal(job->state)) {
    co_await Abandon(tenant, id);
    if (!job.ok()) co_return job;
    co_return DeadlineExceeded("media_timeout",
                               "the job '" + id.str() +
                                   "' did not end in time and was cancelled: ask for less, or "
                                   "submit it to /v1/jobs");
  }
  if (job->state != jobs::JobState::kSucceeded) co_return FailureOf(*job);
  co_return job;
}

runtime::Task<void> MediaJobs::Abandon(TenantId tenant, jobs::JobId id) const {
  // A context of its own: the caller's is over.
  static_cast<void>(co_await ports_.jobs.Cancel(runtime::Context(), std::move(tenant), std::move(id)));
}

Result<std::vector<BlobKey>> MediaJobs::NewArtifacts(const TenantId& tenant, const jobs::JobId& id,
                                                     std::int64_t attempt, std::string_view prefix,
                                                     std::set<std::string>* seen) const {
  constexpr std::size_t kMost = 200;
  MEZZO_TRY(const auto folder,
            storage::BlobPrefix::Of(tenant, id.str(), static_cast<std::uint32_t>(attempt)));
  const TimePoint deadline = ports_.clock.Now() + options_.store_timeout;
  MEZZO_TRY(const storage::BlobPage page, ports_.artifacts.List(folder, "", kMost, deadline));
  std::vector<BlobKey> found;
  for (const storage::BlobEntry& entry : page.entries) {
    if (entry.key.name().starts_with(prefix) && seen->insert(entry.key.text()).second)
      found.push_back(entry.key);
  }
  return found;
}

Result<BlobKey> MediaJobs::KeyOf(const TenantId& tenant, const std::string& key) {
  auto parsed = BlobKey::Parse(key);
  if (parsed.ok() && parsed->tenant() == tenant.str()) return parsed;
  return Internal("job_result",
                  "the job names an artifact that is not the tenant's: '" + Printable(key) + "'");
}

Result<std::string> MediaJobs::ReadArtifact(const TenantId& tenant, const std::string& key) const {
  MEZZO_TRY(const BlobKey parsed, KeyOf(tenant, key));
  return storage::ReadBlob(ports_.artifacts, parsed, options_.max_artifact,
                           ports_.clock.Now() + options_.store_timeout);
}

Result<std::string> MediaJobs::SignArtifact(const TenantId& tenant, const std::string& key,
                                            Duration lifetime) const {
  MEZZO_TRY(const BlobKey parsed, KeyOf(tenant, key));
  return ports_.artifacts.SignUrl(parsed, {.lifetime = lifetime});
}

runtime::Task<Result<void>> MediaJobs::Discard(runtime::Context ctx, TenantId tenant, jobs::JobId id) const {
  constexpr std::size_t kAtOnce = 200;
  const TimePoint deadline = std::min(ctx.deadline(), ports_.clock.Now() + options_.store_timeout);
  const auto discard = [&]() -> Result<void> {
    MEZZO_TRY(const auto folder, storage::BlobPrefix::Of(tenant, id.str()));
    std::string after;
    for (bool more = true; more;) {
      MEZZO_TRY(const storage::BlobPage page, ports_.artifacts.List(folder, after, kAtOnce, deadline));
      for (const storage::BlobEntry& entry : page.entries) {
        MEZZO_TRY_VOID(ports_.artifacts.Delete(entry.key, deadline));
        after = entry.key.text();
      }
      more = page.more;
    }
    return {};
  };
  co_return co_await runtime::Offload(ports_.pool, discard);
}

Error MediaJobs::FailureOf(const jobs::Job& job) {
  if (!job.error) {
    return Cancelled("job_cancelled", "the job '" + job.id.str() + "' was cancelled");
  }
  // A job keeps the reason of its failure and not the code. These are the caller's to mend.
  static constexpr std::string_view kOfTheRequest[] = {
      "image_request",      "sampler_unknown",      "prompt_too_long",      "prompt_not_utf8",
      "picture_invalid",    "picture_too_large",    "model_unknown",        "storyboard_invalid",
      "version_unknown",    "pipeline_unsupported", "storyboard_reference", "storyboard_request",
      "storyboard_unknown", "picture_too_costly",   "sound_invalid",        "sound_too_large",
      "text_unsupported",   "fetch_refused",        "address_not_allowed",  "bad_url"};
  const std::string& reason = job.error->reason;
  const bool request =
      std::find(std::begin(kOfTheRequest), std::end(kOfTheRequest), reason) != std::end(kOfTheRequest);
  Code code = request ? Code::kInvalidArgument : Code::kInternal;
  if (reason == "job_cancelled" || reason == "cancelled") code = Code::kCancelled;
  if (reason == "deadline" || reason == "job_deadline") code = Code::kDeadlineExceeded;
  return Error(code, reason, job.error->message);
}

}  // namespace mezzo::api::openai
