#include "mezzo/media/internal/row_workers.h"

#include <latch>

#include "mezzo/base/check.h"

namespace mezzo::media::internal {

RowWorkers::RowWorkers(int threads) : threads_(threads) {
  MEZZO_CHECK(threads >= 1);
  if (threads > 1) {
    const auto others = static_cast<std::size_t>(threads - 1);
    pool_ = std::make_unique<runtime::BlockingPool>(
        runtime::BlockingPool::Options{.name = "rows", .threads = others, .max_queued = others});
  }
}

void RowWorkers::Run(int rows, const std::function<void(int, int, int)>& work) {
  const auto edge = [this, rows](int worker) { return rows / 2 * worker / threads_ * 2; };
  // Not a wait for the outside: the bands are pure computation, as long as the caller's own.
  std::latch others(threads_ - 1);
  for (int worker = 1; worker < threads_; ++worker) {
    const bool submitted = pool_->TrySubmit([&work, &others, &edge, worker] {
      work(worker, edge(worker), edge(worker + 1));
      others.count_down();
    });
    if (!submitted) {
      work(worker, edge(worker), edge(worker + 1));
      others.count_down();
    }
  }
  work(0, edge(0), edge(1));
  others.wait();
}

}  // namespace mezzo::media::internal
