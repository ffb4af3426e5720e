#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "mezzo/storage/sql_db.h"

namespace mezzo::storage::testing {

/// A database that can be cut off. Thread-safe; `db` outlives it.
class CuttableDb final : public SqlDb {
 public:
  explicit CuttableDb(SqlDb& db) : db_(db) {}
  void Cut(bool cut) { cut_ = cut; }

  [[nodiscard]] SqlDialect dialect() const override { return db_.dialect(); }
  Result<void> Transact(const Work& work, TimePoint deadline) override {
    if (cut_) return Unavailable("sql_connection", "cut");
    return db_.Transact(work, deadline);
  }
  Result<void> Read(const Work& work, TimePoint deadline) override {
    if (cut_) return Unavailable("sql_connection", "cut");
    return db_.Read(work, deadline);
  }
  std::shared_ptr<void> Listen(std::string channel, Listener listener) override {
    return db_.Listen(std::move(channel), std::move(listener));
  }

 private:
  SqlDb& db_;
  std::atomic<bool> cut_ = false;  // No partner.
};

}  // namespace mezzo::storage::testing
