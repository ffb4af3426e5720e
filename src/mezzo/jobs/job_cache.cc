#include "mezzo/jobs/job_cache.h"

#include <algorithm>
#include <utility>

#include "mezzo/jobs/job_store.h"

namespace mezzo::jobs {
namespace {

ByteCount BytesOf(const Job& job) {
  ByteCount bytes = job.id.str().size() + job.tenant.str().size() + job.kind.size() + job.model.size() +
                    job.stage.size() + job.request.size() + job.checkpoint.size() + job.result.size();
  if (job.error) bytes += job.error->reason.size() + job.error->message.size();
  return bytes;
}

}  // namespace

JobCache::JobCache(Options options, cache::RecentItems& items, storage::SqlDb& db, const Clock& clock)
    : options_(options),
      clock_(clock),
      kept_(items, "job"),
      subscription_(db.Listen(std::string(kChangedChannel),
                              [this](std::string_view payload) { OnChanged(payload); })) {}

JobCache::~JobCache() { subscription_.reset(); }

std::shared_ptr<const Job> JobCache::Find(const TenantId& tenant, const JobId& id) {
  return kept_.Get(id.str(), [&tenant](const Job& job) { return job.tenant == tenant; });
}

JobCache::Reading::Reading(JobCache& cache, JobId id) : cache_(cache), id_(std::move(id)) {
  const MutexLock lock(cache_.mu_);
  cache_.readings_.emplace(id_.str(), this);
}

JobCache::Reading::~Reading() {
  const MutexLock lock(cache_.mu_);
  const auto [first, last] = cache_.readings_.equal_range(id_.str());
  const auto mine = std::find_if(first, last, [this](const auto& entry) { return entry.second == this; });
  cache_.readings_.erase(mine);
}

void JobCache::Reading::Keep(const Job& job) {
  if (!IsTerminal(job.state)) return;
  Duration keep = cache_.options_.keep;
  if (job.finished) {
    const auto left = *job.finished + cache_.options_.retention - cache_.clock_.WallNow();
    keep = std::min(keep, std::chrono::duration_cast<Duration>(left));
  }
  if (keep <= Duration::zero()) return;
  // Under the lock: a change is heard either before, and then nothing is kept, or after, and then it erases.
  const MutexLock lock(cache_.mu_);
  if (outdated_) return;
  cache_.kept_.Put(id_.str(), job, BytesOf(job), AddSaturating(cache_.clock_.Now(), keep));
}

void JobCache::Forget(const JobId& id) { OnChanged(id.str()); }

void JobCache::OnChanged(std::string_view payload) {
  const MutexLock lock(mu_);
  if (payload.empty()) {
    for (const auto& [id, reading] : readings_) reading->outdated_ = true;
    kept_.Clear();
    return;
  }
  while (!payload.empty()) {
    const std::size_t end = std::min(payload.find(' '), payload.size());
    const std::string id(payload.substr(0, end));
    const auto [first, last] = readings_.equal_range(id);
    for (auto it = first; it != last; ++it) it->second->outdated_ = true;
    kept_.Erase(id);
    payload.remove_prefix(std::min(end + 1, payload.size()));
  }
}

}  // namespace mezzo::jobs
