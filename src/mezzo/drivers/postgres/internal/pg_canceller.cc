#include "mezzo/drivers/postgres/internal/pg_canceller.h"

#include <array>
#include <utility>

#include "mezzo/runtime/loop.h"

namespace mezzo::drivers::internal {
namespace {

constexpr std::size_t kMaxQueued = 64;

}  // namespace

PgCanceller::PgCanceller() : thread_([this] { Work(); }) {}

PgCanceller::~PgCanceller() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  changed_.NotifyOne();
  thread_.join();
}

PgCanceller::Done PgCanceller::Cancel(PGconn* connection) {
  Request request{.cancel = PgCancel(PQgetCancel(connection)),
                  .done = std::make_shared<std::atomic<bool>>(false)};
  Done done = request.done;
  cancels_.fetch_add(1, std::memory_order_relaxed);
  {
    MutexLock lock(mu_);
    if (request.cancel == nullptr || queue_.size() >= kMaxQueued) return done;
    queue_.push_back(std::move(request));
  }
  changed_.NotifyOne();
  return done;
}

void PgCanceller::Work() {
  runtime::SetThreadName("pg-cancel");
  while (true) {
    Request request;
    {
      MutexLock lock(mu_);
      while (queue_.empty() && !stopping_) changed_.Wait(mu_);
      if (stopping_) return;
      request = std::move(queue_.front());
      queue_.pop_front();
    }
    std::array<char, 256> error{};
    // Returns after the server has closed the request's connection, which it does after it signalled the
    // backend.
    if (PQcancel(request.cancel.get(), error.data(), static_cast<int>(error.size())) == 1)
      *request.done = true;
  }
}

}  // namespace mezzo::drivers::internal
