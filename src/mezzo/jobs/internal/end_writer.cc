#include "mezzo/jobs/internal/end_writer.h"

#include <algorithm>
#include <utility>

#include "mezzo/runtime/loop.h"

namespace mezzo::jobs::internal {
namespace {

constexpr std::size_t kMostAtOnce = 1000;
constexpr Duration kWriteTimeout = std::chrono::seconds(10);
constexpr Duration kPause = std::chrono::milliseconds(500);  // After a write that failed.
constexpr std::string_view kNotStorable = "job_result_not_storable";

/// A fault of the database's, not of what is written.
bool MayPass(const Error& error) { return error.IsRetryable() || error.code() == Code::kDeadlineExceeded; }

}  // namespace

EndWriter::EndWriter(JobStore& store, const Clock& clock, observe::Logger& log, OnWritten on_written)
    : store_(store), clock_(clock), log_(log), on_written_(std::move(on_written)), thread_([this] {
        Run();
      }) {}

EndWriter::~EndWriter() { Stop(Duration::zero()); }

void EndWriter::Add(RunEnd end) {
  MutexLock lock(mu_);
  waiting_.push_back(std::move(end));
  changed_.NotifyOne();
}

void EndWriter::Stop(Duration limit) {
  {
    MutexLock lock(mu_);
    if (!stopping_) give_up_ = AddSaturating(clock_.Now(), limit);
    stopping_ = true;
    changed_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void EndWriter::Run() {
  runtime::SetThreadName("job-ends");
  std::vector<RunEnd> ends;
  while (true) {
    {
      MutexLock lock(mu_);
      while (waiting_.empty() && !stopping_) changed_.Wait(mu_);
      if (waiting_.empty()) return;
      const auto last =
          waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kMostAtOnce));
      ends.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(last));
      waiting_.erase(waiting_.begin(), last);
    }
    while (!Write(ends)) {
      MutexLock lock(mu_);
      if (stopping_ && clock_.Now() >= give_up_) return;
      // Woken early by another end or by Stop(): then the write is tried a little sooner.
      changed_.WaitUntil(mu_, std::chrono::steady_clock::now() + kPause);
    }
  }
}

bool EndWriter::Write(const std::vector<RunEnd>& ends) {
  const auto held = store_.End(ends, clock_.Now() + kWriteTimeout);
  if (!held.ok()) {
    if (!MayPass(held.error())) return WriteOneByOne(ends, held.error());
    log_.Warn("ends of runs could not be written; trying again",
              {{"runs", ends.size()}, {"reason", held.error().message()}});
    return false;
  }
  for (std::size_t i = 0; i < ends.size(); ++i) on_written_(ends[i], (*held)[i]);
  return true;
}

bool EndWriter::WriteOneByOne(const std::vector<RunEnd>& ends, const Error& error) {
  if (ends.size() > 1) {
    for (const RunEnd& end : ends) {
      while (!Write({end})) std::this_thread::sleep_for(kPause);
    }
    return true;
  }
  RunEnd failed = ends[0];
  if (failed.kind == RunEnd::Kind::kFailed && failed.error.reason == kNotStorable) {
    log_.Error("the end of a run can't be written",
               {{"job", failed.fence.id.str()}, {"reason", error.message()}});
    on_written_(failed, false);
    return true;
  }
  failed.kind = RunEnd::Kind::kFailed;
  failed.result.clear();
  failed.error = {.reason = std::string(kNotStorable),
                  .message = "its result can't be stored: " + error.message()};
  return Write({failed});
}

}  // namespace mezzo::jobs::internal
