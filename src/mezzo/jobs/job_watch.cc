#include "mezzo/jobs/job_watch.h"

#include <algorithm>
#include <vector>

#include "mezzo/jobs/job_store.h"

namespace mezzo::jobs {

JobWatch::JobWatch(storage::SqlDb& db)
    : subscription_(db.Listen(std::string(kChangedChannel),
                              [this](std::string_view payload) { OnChanged(payload); })) {}

JobWatch::~JobWatch() { subscription_.reset(); }

std::shared_ptr<JobWatch::Waiter> JobWatch::Add(const JobId& id) {
  auto waiter = std::make_shared<Waiter>();
  MutexLock lock(mu_);
  // Jobs that never change would keep their dead waiters for ever.
  if (waiters_.size() >= until_cleaning_) {
    std::erase_if(waiters_, [](const auto& entry) { return entry.second.expired(); });
    until_cleaning_ = std::max<std::size_t>(64, 2 * waiters_.size());
  }
  waiters_.emplace(id.str(), waiter);
  return waiter;
}

void JobWatch::OnChanged(std::string_view payload) {
  std::vector<std::shared_ptr<Waiter>> woken;
  const auto take = [&woken](const std::weak_ptr<Waiter>& weak) {
    if (auto waiter = weak.lock()) woken.push_back(std::move(waiter));
  };
  {
    MutexLock lock(mu_);
    if (payload.empty()) {
      for (const auto& [id, waiter] : waiters_) take(waiter);
      waiters_.clear();
    }
    while (!payload.empty() && !waiters_.empty()) {
      const std::size_t end = std::min(payload.find(' '), payload.size());
      const auto [first, last] = waiters_.equal_range(std::string(payload.substr(0, end)));
      for (auto it = first; it != last; ++it) take(it->second);
      waiters_.erase(first, last);
      payload.remove_prefix(std::min(end + 1, payload.size()));
    }
  }
  // Without the lock: cancelling resumes whoever waits.
  for (const auto& waiter : woken) waiter->wake().Cancel();
}

}  // namespace mezzo::jobs
