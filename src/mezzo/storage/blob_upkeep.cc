#include "mezzo/storage/blob_upkeep.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace mezzo::storage {
namespace {

/// When a UUIDv7 was made (RFC 9562 section 5.7: its first 48 bits are milliseconds); nothing for other
/// texts.
std::optional<WallTime> TimeOfUuidV7(std::string_view text) {
  constexpr std::size_t kLength = 36;
  constexpr std::size_t kVersionAt = 14;
  constexpr std::size_t kTimeEnd = 13;
  if (text.size() != kLength || text[8] != '-' || text[kTimeEnd] != '-' || text[kVersionAt] != '7')
    return std::nullopt;
  std::int64_t millis = 0;
  for (std::size_t i = 0; i < kTimeEnd; ++i) {
    if (i == 8) continue;
    const std::size_t digit = std::string_view("0123456789abcdef").find(text[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    millis = millis * 16 + static_cast<std::int64_t>(digit);
  }
  constexpr std::int64_t kLastMillis =
      9'000'000'000'000;  // Of the year 2255: fits in WallTime's nanoseconds.
  if (millis > kLastMillis) return std::nullopt;
  return WallTime(std::chrono::milliseconds(millis));
}

}  // namespace

BlobUpkeep::BlobUpkeep(Options options, Ports ports)
    : options_(options),
      ports_(ports),
      objects_(ports.registry.NewCounterFamily("mezzo_storage_blob_upkeep_objects_total",
                                               "Objects that upkeep has moved, removed or archived.",
                                               {"work"})),
      failures_(ports.registry.NewCounterFamily("mezzo_storage_blob_upkeep_failures_total",
                                                "Rounds of upkeep in which a work failed.", {"work"})) {}

BlobUpkeep::Round BlobUpkeep::Run(TimePoint deadline) {
  Round round;
  Move(round, deadline);
  const TimePoint now = ports_.clock.Now();
  if (now >= next_sweep_) Sweep(round, deadline);
  if (options_.archive_after && !walk_ && now >= next_walk_) {
    walk_.emplace();
    next_walk_ = AddSaturating(now, options_.archive_interval);
  }
  if (walk_) {
    if (auto walked = ArchivePage(round, deadline); !walked.ok()) {
      Failed("archive", std::move(walked).error(), round);
    }
  }
  objects_.With({"move"}).Add(round.moved);
  objects_.With({"remove"}).Add(round.removed);
  objects_.With({"archive"}).Add(round.archived);
  return round;
}

void BlobUpkeep::Failed(std::string_view work, Error error, Round& round) {
  failures_.With({work}).Add();
  if (!round.error) round.error = std::move(error);
}

void BlobUpkeep::Move(Round& round, TimePoint deadline) {
  if (ports_.spill == nullptr) return;
  BlobMove move = ports_.spill->MoveSome(options_.batch, deadline);
  round.moved = move.moved;
  round.more = move.more && move.moved > 0;
  if (move.error) Failed("move", *std::move(move.error), round);
}

void BlobUpkeep::Sweep(Round& round, TimePoint deadline) {
  auto sweep = ports_.store.SweepExpired(ports_.clock.WallNow(), options_.batch, deadline);
  if (sweep.ok() && sweep->more) {
    round.more = true;
  } else {
    next_sweep_ = AddSaturating(ports_.clock.Now(), options_.sweep_interval);
  }
  if (!sweep.ok()) return Failed("remove", std::move(sweep).error(), round);
  round.removed = sweep->removed;
}

Result<void> BlobUpkeep::ArchivePage(Round& round, TimePoint deadline) {
  MEZZO_TRY(const BlobPage page, ports_.store.List(BlobPrefix::All(), *walk_, options_.batch, deadline));
  const WallTime old = ports_.clock.WallNow() - *options_.archive_after;
  for (const BlobEntry& entry : page.entries) {
    walk_ = entry.key.text();  // One that fails waits for the next walk.
    const auto made = TimeOfUuidV7(entry.key.job());
    if (made && *made > old) continue;
    const auto facts = ports_.store.Stat(entry.key, deadline);
    if (!facts.ok() && facts.error().code() == Code::kNotFound) continue;  // It was deleted just now.
    MEZZO_TRY_VOID(facts);
    if (facts->archived || facts->stored_at > old) continue;
    MEZZO_TRY_VOID(ports_.store.Archive(entry.key, deadline));
    ++round.archived;
  }
  if (page.more) {
    round.more = true;
  } else {
    walk_.reset();
  }
  return {};
}

}  // namespace mezzo::storage
