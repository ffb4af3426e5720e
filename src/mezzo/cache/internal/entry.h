#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/cache/cached.h"

namespace mezzo::cache::internal {

/// What the result cache knows of a model. Thread-safe.
struct CachedModel {
  explicit CachedModel(std::string n) : name(std::move(n)) {}

  const std::string name;
  /// Partner: the stamps of entries. Sequentially consistent: who begins after a rise returned sees it.
  std::atomic<std::uint64_t> epoch{1};
  /// When the next refresh is due by the pace (GCRA's theoretical arrival time, in the clock's nanoseconds).
  std::atomic<std::int64_t> next_refresh{0};
  // Counts; no partners.
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> stale{0};
  std::atomic<std::uint64_t> negative{0};
  std::atomic<std::uint64_t> misses{0};
  std::atomic<std::uint64_t> shared{0};
  std::atomic<std::uint64_t> joins{0};
  std::atomic<std::uint64_t> bypasses{0};
  std::atomic<std::uint64_t> refreshes{0};
  std::atomic<std::uint64_t> fills{0};
  std::atomic<std::uint64_t> outdated{0};
  std::atomic<std::uint64_t> entries{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::int64_t> saved{0};  // Nanoseconds.
};

/// A result, or an error, as the tier holds it. Immutable. Counted by its model from its making until the one
/// tier that it is given to has taken it out.
class Entry final : public Cached {
 public:
  struct Facts {
    std::shared_ptr<CachedModel> model;
    CachedRef value;  ///< Null: the error is the result.
    std::optional<Error> error;
    Duration cost{};
    TimePoint filled{};
    TimePoint fresh_until{};
    Duration ttl{};  ///< Before jitter.
    ByteCount key_bytes = 0;
  };

  explicit Entry(Facts facts) : facts_(std::move(facts)), bytes_(SizeOf(facts_)) {
    facts_.model->entries.fetch_add(1, std::memory_order_relaxed);
    facts_.model->bytes.fetch_add(bytes_ + facts_.key_bytes, std::memory_order_relaxed);
  }
  void TakenOut() const noexcept override {
    facts_.model->entries.fetch_sub(1, std::memory_order_relaxed);
    facts_.model->bytes.fetch_sub(bytes_ + facts_.key_bytes, std::memory_order_relaxed);
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  [[nodiscard]] ByteCount bytes() const override { return bytes_; }
  [[nodiscard]] const Facts& facts() const { return facts_; }

 private:
  static ByteCount SizeOf(const Facts& facts) {
    ByteCount bytes = sizeof(Entry);
    if (facts.value != nullptr) bytes += facts.value->bytes();
    if (facts.error.has_value()) bytes += facts.error->reason().size() + facts.error->message().size();
    return bytes;
  }

  const Facts facts_;
  const ByteCount bytes_;
};

}  // namespace mezzo::cache::internal
