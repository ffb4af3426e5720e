#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/published.h"

namespace mezzo::tenancy {

/// What was used. Counts only ever grow; sums of many years fit. Device time is kept in nanoseconds, so that
/// a million runs of microseconds lose nothing to rounding.
struct Usage {
  std::int64_t requests = 0;   ///< That were answered, and those that failed.
  std::int64_t failed = 0;     ///< Of them.
  std::int64_t device_ns = 0;  ///< Measured; of a batch the share by rows.
  std::int64_t images = 0;
  std::int64_t video_ms = 0;   ///< Length of the videos made.
  std::int64_t bytes_in = 0;   ///< Of tensors and pictures that came in.
  std::int64_t bytes_out = 0;  ///< Of tensors and artifacts that went out.
  std::int64_t cache_hits = 0;
  std::int64_t saved_ns = 0;  ///< Device time that hits have saved.

  Usage& operator+=(const Usage& other);
  [[nodiscard]] Usage operator-(const Usage& other) const;
  [[nodiscard]] bool empty() const { return *this == Usage(); }
  friend bool operator==(const Usage&, const Usage&) = default;
};

/// The members by position, as records, tables and reports have them.
inline constexpr std::size_t kUsageFields = 9;
inline constexpr std::array<std::int64_t Usage::*, kUsageFields> kUsageMembers = {
    &Usage::requests, &Usage::failed,    &Usage::device_ns,  &Usage::images,  &Usage::video_ms,
    &Usage::bytes_in, &Usage::bytes_out, &Usage::cache_hits, &Usage::saved_ns};

inline Usage& Usage::operator+=(const Usage& other) {
  for (const auto member : kUsageMembers) this->*member += other.*member;
  return *this;
}
inline Usage Usage::operator-(const Usage& other) const {
  Usage rest = *this;
  for (const auto member : kUsageMembers) rest.*member -= other.*member;
  return rest;
}

/// Whom and what for. Texts without control characters, each at most 256 bytes.
struct UsageKey {
  std::string tenant;
  std::string project;  ///< Empty: none.
  std::string key_id;   ///< Of the API key; empty: none.
  std::string model;
  std::string version;
  std::string kind;  ///< "inference" or "job".

  friend auto operator<=>(const UsageKey&, const UsageKey&) = default;
};

/// The members by position, and what they are called in tables and reports.
inline constexpr std::size_t kKeyParts = 6;
inline constexpr std::array<std::string UsageKey::*, kKeyParts> kKeyMembers = {
    &UsageKey::tenant, &UsageKey::project, &UsageKey::key_id,
    &UsageKey::model,  &UsageKey::version, &UsageKey::kind};
inline constexpr std::array<std::string_view, kKeyParts> kKeyNames = {"tenant", "project", "key",
                                                                      "model",  "version", "kind"};

/// What has been used under one key since the process began. Thread-safe: Add() takes no lock.
class Account {
 public:
  explicit Account(UsageKey key) : key_(std::move(key)) {}
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  [[nodiscard]] const UsageKey& key() const { return key_; }

  void Add(const Usage& usage) {
    Shard& shard = shards_[ThreadStripe<kShards>()];
    for (std::size_t i = 0; i < kUsageFields; ++i) {
      const std::int64_t more = usage.*kUsageMembers[i];
      if (more != 0) shard.counts[i].fetch_add(more, std::memory_order_relaxed);
    }
    // Always written: whoever takes the mark sees what was added before it was set.
    shard.changed.exchange(true, std::memory_order_release);
  }

  /// Whether anything may have been added since the last call.
  [[nodiscard]] bool TakeChanged() {
    bool changed = false;
    for (Shard& shard : shards_)
      changed = shard.changed.exchange(false, std::memory_order_acquire) || changed;
    return changed;
  }
  [[nodiscard]] Usage Total() const {
    Usage total;
    for (const Shard& shard : shards_) {
      for (std::size_t i = 0; i < kUsageFields; ++i)
        total.*kUsageMembers[i] += shard.counts[i].load(std::memory_order_relaxed);
    }
    return total;
  }

 private:
  static constexpr std::size_t kShards = 4;
  struct alignas(64) Shard {
    std::array<std::atomic<std::int64_t>, kUsageFields> counts{};
    std::atomic<bool> changed{false};  // Set after counts have grown; partner of TakeChanged().
  };
  const UsageKey key_;
  std::array<Shard, kShards> shards_;
};

}  // namespace mezzo::tenancy
