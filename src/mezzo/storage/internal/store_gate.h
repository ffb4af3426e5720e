#pragma once

#include <optional>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/breaker.h"

namespace mezzo::storage::internal {

/// True for an error that says something about the store and nothing about the call: another store could do
/// it.
bool IsStoreFailure(const Error& error);

/// A breaker in front of a store, shared by threads. Thread-safe.
class StoreGate {
 public:
  StoreGate(runtime::Breaker::Options options, const Clock& clock, observe::Gauge& open)
      : clock_(clock), open_gauge_(open), breaker_(options) {}

  /// One use of the store, whose outcome is reported once; dying without a report says nothing about the
  /// store. Move-only; must not outlive the gate.
  class Attempt {
   public:
    Attempt(StoreGate* gate, bool probe, bool hurried) : gate_(gate), probe_(probe), hurried_(hurried) {}
    Attempt(Attempt&& other) noexcept
        : gate_(std::exchange(other.gate_, nullptr)), probe_(other.probe_), hurried_(other.hurried_) {}
    Attempt& operator=(Attempt&& other) = delete;
    ~Attempt() {
      if (gate_ != nullptr && probe_) gate_->ProbeGone();
    }
    void Succeed() { Report(true); }
    /// An error of the caller's making is a success of the store; running out of a time that was too short
    /// from the beginning says nothing.
    void Fail(const Error& error) {
      if (hurried_ && error.code() == Code::kDeadlineExceeded) return;
      Report(!IsStoreFailure(error));
    }
    template <typename T>
    void ReportResult(const Result<T>& result) {
      if (result.ok()) return Succeed();
      Fail(result.error());
    }

   private:
    void Report(bool ok) {
      if (gate_ != nullptr) std::exchange(gate_, nullptr)->OnRun(ok, probe_);
    }
    StoreGate* gate_;
    const bool probe_;
    const bool hurried_;
  };

  /// For a use that ends at `deadline`. Fails with kUnavailable "blob_store_unavailable" and a time to come
  /// back while the breaker is open.
  Result<Attempt> Enter(TimePoint deadline) EXCLUDES(mu_);
  [[nodiscard]] runtime::Breaker::State state() const EXCLUDES(mu_);

 private:
  void OnRun(bool ok, bool probe) EXCLUDES(mu_);
  void ProbeGone() EXCLUDES(mu_);

  const Clock& clock_;
  observe::Gauge& open_gauge_;
  mutable Mutex mu_;
  runtime::Breaker breaker_ GUARDED_BY(mu_);
};

}  // namespace mezzo::storage::internal
