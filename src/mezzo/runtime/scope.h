#pragma once

#include <memory>
#include <unordered_set>

#include "mezzo/base/mutex.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/task.h"

namespace mezzo::runtime {

/// Owns background tasks: the only way to start one. Stop() cancels their contexts and waits for their end;
/// the destructor does the same without limit. Thread-safe; Stop() never on a loop's thread.
class Scope {
 public:
  Scope() = default;
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  /// Starts `make(ctx)` on `loop`; its context is cancelled by Stop(). False when the scope is stopping.
  template <typename Make>
  bool Spawn(Loop& loop, const Context& ctx, Make make) {
    if (!Enter(ctx)) return false;
    loop.Post([this, ctx, make = std::move(make)]() mutable {
      Start(make(ctx), [this, ctx](auto&&...) { Leave(ctx); });
    });
    return true;
  }

  /// Cancels all and waits; false when some still ran after `limit`.
  bool Stop(Duration limit) EXCLUDES(mu_);
  [[nodiscard]] std::size_t running() const EXCLUDES(mu_);

 private:
  bool Enter(const Context& ctx) EXCLUDES(mu_);
  void Leave(const Context& ctx) EXCLUDES(mu_);
  void CancelAll() EXCLUDES(mu_);

  mutable Mutex mu_;
  CondVar idle_;
  std::vector<Context> running_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
};

}  // namespace mezzo::runtime
