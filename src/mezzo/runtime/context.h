#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/observe/trace.h"
#include "mezzo/runtime/callback.h"

namespace mezzo::runtime {

class CancelRegistration;

/// One cancellation: set once, never unset. Thread-safe.
class CancelState {
 public:
  [[nodiscard]] bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  /// Runs the registered callbacks on this thread, each at most once. Later calls do nothing.
  void Cancel() EXCLUDES(mu_);

 private:
  friend class CancelRegistration;
  std::atomic<bool> cancelled_{false};  // Partner: registrations_, both set under mu_ in Cancel().
  Mutex mu_;
  CancelRegistration* head_ GUARDED_BY(mu_) = nullptr;
  CancelRegistration* running_ GUARDED_BY(mu_) = nullptr;
  CondVar finished_;
};

/// Calls `callback` when the state is cancelled, from the cancelling thread; at once when it already is.
/// The destructor waits for a running callback, so what the callback uses may die after it.
/// The callback must not destroy its own registration.
class CancelRegistration {
 public:
  CancelRegistration(CancelState& state, Callback callback);
  ~CancelRegistration();
  CancelRegistration(const CancelRegistration&) = delete;
  CancelRegistration& operator=(const CancelRegistration&) = delete;

 private:
  friend class CancelState;
  CancelState& state_;
  Callback callback_;
  CancelRegistration* next_ = nullptr;
  CancelRegistration* previous_ = nullptr;
  bool linked_ = false;
};

/// What a call carries through every layer: tenant, deadline, cancellation, trace, request id. Cheap to copy;
/// copies share the cancellation. Thread-safe to read.
class Context {
 public:
  struct Facts {
    TenantId tenant;
    std::string request_id;
    observe::TraceContext trace;
  };

  explicit Context(Facts facts = {}) : state_(std::make_shared<State>(std::move(facts))) {}

  [[nodiscard]] const TenantId& tenant() const { return state_->facts.tenant; }
  [[nodiscard]] const std::string& request_id() const { return state_->facts.request_id; }
  [[nodiscard]] const observe::TraceContext& trace() const { return state_->facts.trace; }
  [[nodiscard]] TimePoint deadline() const { return deadline_; }
  [[nodiscard]] bool cancelled() const { return state_->cancel.cancelled(); }
  [[nodiscard]] CancelState& cancel_state() const { return state_->cancel; }

  void Cancel() const { state_->cancel.Cancel(); }
  /// The same call with the earlier of the two deadlines.
  [[nodiscard]] Context WithDeadline(TimePoint deadline) const {
    Context copy = *this;
    if (deadline < copy.deadline_) copy.deadline_ = deadline;
    return copy;
  }

 private:
  struct State {
    explicit State(Facts f) : facts(std::move(f)) {}
    const Facts facts;
    CancelState cancel;
  };

  std::shared_ptr<State> state_;
  TimePoint deadline_ = kNever;
};

}  // namespace mezzo::runtime
