#include "mezzo/cache/publications.h"

#include "mezzo/runtime/loop.h"

namespace mezzo::cache {

Publications::~Publications() { Stop(); }

void Publications::Start() {
  thread_ = std::thread([this] { Work(); });
}

void Publications::Stop() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

Publications::MarkRef Publications::Publish(std::string model, std::string version,
                                            const Sha256Digest& content) {
  auto mark = std::make_shared<Mark>();
  const TimePoint until = std::chrono::steady_clock::now() + options_.wait;
  MutexLock lock(mu_);
  Live& live = live_[Name(model, version)];
  const bool again = live.content == content && !live.mark.expired();
  live = {.content = content, .mark = mark};
  if (tasks_.size() >= options_.max_pending) {
    ports_.log.Limited("publications")
        .Error("the publication of a model can't be written down: its answers are not kept",
               {{"model", model}, {"version", version}, {"pending", tasks_.size()}});
    return mark;
  }
  tasks_.push_back({.publication = {.model = std::move(model),
                                    .version = std::move(version),
                                    .content = content,
                                    .again = again},
                    .mark = mark});
  const std::uint64_t ticket = ++added_;
  changed_.NotifyAll();
  while (done_ < ticket && !failing_ && !stopping_) {
    if (!changed_.WaitUntil(mu_, until)) break;
  }
  return mark;
}

void Publications::Withdraw(const std::string& model, const std::string& version) {
  const MutexLock lock(mu_);
  if (live_.erase(Name(model, version)) == 0) return;
  if (tasks_.size() >= options_.max_pending) {
    ports_.log.Limited("publications")
        .Error("the withdrawal of a model can't be written down",
               {{"model", model}, {"version", version}, {"pending", tasks_.size()}});
    return;
  }
  tasks_.push_back({.publication = {.model = model, .version = version}, .withdraws = true});
  ++added_;
  changed_.NotifyAll();
}

std::size_t Publications::pending() const {
  const MutexLock lock(mu_);
  return tasks_.size();
}

void Publications::Work() {
  runtime::SetThreadName("publications");
  while (true) {
    Task task;
    {
      MutexLock lock(mu_);
      while (tasks_.empty() && !stopping_) {
        changed_.WaitUntil(mu_, std::chrono::steady_clock::now() + std::chrono::seconds(60));
      }
      if (stopping_) return;
      task = tasks_.front();
    }
    const bool done = Do(task);
    MutexLock lock(mu_);
    failing_ = !done;
    if (done) {
      tasks_.pop_front();
      ++done_;
    }
    changed_.NotifyAll();
    if (done) continue;
    const TimePoint next = std::chrono::steady_clock::now() + options_.retry;
    while (!stopping_ && changed_.WaitUntil(mu_, next)) {
    }
  }
}

bool Publications::Do(const Task& task) {
  const Publication& what = task.publication;
  const std::shared_ptr<Mark> mark = task.mark.lock();
  if (!task.withdraws && mark == nullptr) return true;  // Nobody serves it any more.
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.database_timeout);
  const std::int64_t now_us =
      std::chrono::duration_cast<std::chrono::microseconds>(ports_.clock.WallNow().time_since_epoch())
          .count();
  const Result<bool> raised = task.withdraws
                                  ? ports_.store.Withdraw(what.model, what.version, now_us, deadline)
                                  : ports_.store.Publish(what, now_us, deadline);
  if (!raised.ok()) {
    const bool hopeless = raised.error().code() == Code::kInvalidArgument;
    ports_.log.Limited("publications")
        .Warn(hopeless ? "the database refuses a publication: its answers are not kept"
                       : "a publication can't be written down yet: its answers are not kept",
              {{"model", what.model}, {"version", what.version}, {"error", raised.error().ToString()}});
    return hopeless;
  }
  // The host's own epoch first: what was kept before the change must not answer calls of the new version.
  if (!ports_.feed.CatchUp(options_.database_timeout)) return false;
  if (mark != nullptr) mark->recorded_.store(true, std::memory_order_release);
  return true;
}

}  // namespace mezzo::cache
