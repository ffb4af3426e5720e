#pragma once

#include <memory>
#include <string>
#include <utility>

#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

/// A database whose `at`th writing transaction from Arm() on meets the end of its host: before anything of it
/// is written, or after it was committed and before the host hears of it. All later ones fail, until Arm() is
/// called again: the host is gone. For one thread.
class CrashingDb final : public storage::SqlDb {
 public:
  explicit CrashingDb(storage::SqlDb& inner) : inner_(inner) {}
  /// 0: never.
  void Arm(int at, bool after_commit) {
    left_ = at;
    after_commit_ = after_commit;
    down_ = false;
  }
  [[nodiscard]] bool crashed() const { return down_; }

  [[nodiscard]] storage::SqlDialect dialect() const override { return inner_.dialect(); }
  Result<void> Transact(const Work& work, TimePoint deadline) override {
    if (down_) return Down();
    if (left_ > 0 && --left_ == 0) {
      down_ = true;
      if (after_commit_) MEZZO_TRY_VOID(inner_.Transact(work, deadline));
      return Down();
    }
    return inner_.Transact(work, deadline);
  }
  Result<void> Read(const Work& work, TimePoint deadline) override {
    if (down_) return Down();
    return inner_.Read(work, deadline);
  }
  [[nodiscard]] std::shared_ptr<void> Listen(std::string channel, Listener listener) override {
    return inner_.Listen(std::move(channel), std::move(listener));
  }

 private:
  static Error Down() { return Unavailable("sql_unavailable", "the test's host has ended"); }

  storage::SqlDb& inner_;
  int left_ = 0;
  bool after_commit_ = false;
  bool down_ = false;
};

}  // namespace mezzo::lifecycle
