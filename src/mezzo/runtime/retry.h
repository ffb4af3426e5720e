#pragma once

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"

namespace mezzo::runtime {

/// Pauses between the attempts of one call: the n-th is uniform in [0, min(longest, first · 2^n)] ("full
/// jitter", M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Not thread-safe.
class Backoff {
 public:
  struct Options {
    Duration first = std::chrono::milliseconds(100);
    Duration longest = std::chrono::seconds(5);
  };
  explicit Backoff(Options options) : ceiling_(options.first), longest_(options.longest) {}

  /// The pause before the next attempt.
  [[nodiscard]] Duration Next();

 private:
  Duration ceiling_;
  const Duration longest_;
};

/// Bounds retries to a share of the calls, so that a dependency in trouble gets at most `1 + per_call` times
/// its load: a retry takes one token of a bucket, a call puts a part of one back (gRPC proposal A6,
/// "throttling retry attempts"). Starts full. Thread-safe.
class RetryBudget {
 public:
  struct Options {
    double per_call = 0.1;
    double max_tokens = 10;
  };
  explicit RetryBudget(Options options) : options_(options), tokens_(options.max_tokens) {}

  /// A call begins.
  void OnCall() EXCLUDES(mu_);
  /// False when the budget is spent: the call fails with what it has.
  [[nodiscard]] bool TryRetry() EXCLUDES(mu_);

 private:
  const Options options_;
  Mutex mu_;
  double tokens_ GUARDED_BY(mu_);
};

}  // namespace mezzo::runtime
