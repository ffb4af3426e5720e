#pragma once

#include <functional>
#include <memory>

#include "mezzo/runtime/pool.h"

namespace mezzo::media::internal {

/// Divides the rows of a picture between threads: the caller's and `threads - 1` others. One caller at a
/// time.
class RowWorkers {
 public:
  /// `threads` is at least 1.
  explicit RowWorkers(int threads);

  /// Calls `work(worker, first_row, last_row)` for bands of an even number of rows that together are [0,
  /// rows), each worker number (0 to threads - 1) at most once, and returns when all have ended. `rows` is
  /// even.
  void Run(int rows, const std::function<void(int worker, int first_row, int last_row)>& work);
  [[nodiscard]] int threads() const { return threads_; }

 private:
  const int threads_;
  std::unique_ptr<runtime::BlockingPool> pool_;  // Null for one thread.
};

}  // namespace mezzo::media::internal
