#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"

namespace mezzo::lifecycle {

/// How far a version's retirement is. Legal: serving → warned → draining → archiving → archived; from each of
/// them back to serving. Who names a version begins with draining. Archiving: the registry says archived;
/// files are on their way to the cheaper class.
enum class RetireStage : std::uint8_t { kServing, kWarned, kDraining, kArchiving, kArchived };
std::string_view RetireStageName(RetireStage stage);
std::optional<RetireStage> ParseRetireStage(std::string_view name);

struct RetirePolicy {
  Duration after{};                               ///< Without a call for so long: warned. 0: never.
  Duration warning = std::chrono::hours(24 * 7);  ///< Between the warning and the end of new calls.
  Duration drain = std::chrono::minutes(2);       ///< Without any call before the files are archived.
};

/// What the next step of a ready version's retirement depends on.
struct RetireFacts {
  RetireStage stage = RetireStage::kServing;
  bool by_hand = false;     ///< Somebody has begun it.
  bool used = false;        ///< A route, an alias or a release names it.
  bool only_ready = false;  ///< The model has no other ready version.
  WallTime idle_since;      ///< Its last call, or its last change.
  WallTime stage_since;
};

/// Where a list of candidates was left: the last one's time, model and version.
struct RetireCursor {
  std::int64_t since_us = 0;
  std::string model_id;
  std::int64_t version = 0;
};

/// A version whose retirement may go on.
struct RetireCandidate {
  std::string model;
  std::int64_t version = 0;
  RetireFacts facts;
  RetireCursor at;
};

/// Which candidates are asked for.
struct RetireQuery {
  bool begun = false;    ///< Those whose retirement has begun; else those that serve, and may be idle.
  WallTime idle_before;  ///< Of those that serve.
  std::optional<RetireCursor> after;
  std::size_t limit = 1000;
};

struct RetireDecision {
  RetireStage to = RetireStage::kServing;  ///< Equal to the facts' stage: nothing is to be done.
  std::string reason;
};
/// Pure. Of stages before kArchiving.
RetireDecision NextRetireStep(const RetirePolicy& policy, const RetireFacts& facts, WallTime now);

/// Pure. When the next step of a warned or draining version is due if nobody calls or needs it until then;
/// nullopt of other stages. `last_call`: nullopt, none is known.
std::optional<WallTime> NextRetireTime(const RetirePolicy& policy, RetireStage stage, WallTime since,
                                       std::optional<WallTime> last_call);

}  // namespace mezzo::lifecycle
