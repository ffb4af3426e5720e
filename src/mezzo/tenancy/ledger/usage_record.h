#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/tenancy/ledger/usage.h"

namespace mezzo::tenancy {

/// What was used in one short span of time: what the journal keeps and the database is told, as a whole and
/// once. Immutable once it has its number.
struct UsageRecord {
  struct Row {
    UsageKey key;
    Usage usage;
    friend bool operator==(const Row&, const Row&) = default;
  };
  std::int64_t sequence = 0;  ///< 1, 2, 3, ... within an epoch.
  std::int64_t hour_us = 0;   ///< When the hour began that it is charged to, Unix time.
  std::vector<Row> rows;
  friend bool operator==(const UsageRecord&, const UsageRecord&) = default;
};

/// A record in the journal of `epoch`: a magic number, the payload's length, 8 bytes of the SHA-256 of epoch
/// and payload, the payload. Numbers are little-endian.
std::string EncodeRecord(std::string_view epoch, const UsageRecord& record);

/// Takes the record in front of `bytes` away. Nothing when there is no whole and sound one: of a journal that
/// is the end, whatever follows (a write that a crash cut short).
std::optional<UsageRecord> TakeRecord(std::string_view epoch, std::string_view& bytes);

}  // namespace mezzo::tenancy
