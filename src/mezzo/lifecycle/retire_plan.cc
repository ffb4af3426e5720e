#include "mezzo/lifecycle/retire_plan.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mezzo::lifecycle {
namespace {

constexpr std::array<std::pair<std::string_view, RetireStage>, 5> kNames = {
    {{"serving", RetireStage::kServing},
     {"warned", RetireStage::kWarned},
     {"draining", RetireStage::kDraining},
     {"archiving", RetireStage::kArchiving},
     {"archived", RetireStage::kArchived}}};

}  // namespace

std::string_view RetireStageName(RetireStage stage) {
  return kNames.at(static_cast<std::size_t>(stage)).first;
}

std::optional<RetireStage> ParseRetireStage(std::string_view name) {
  for (const auto& [known, stage] : kNames) {
    if (known == name) return stage;
  }
  return std::nullopt;
}

RetireDecision NextRetireStep(const RetirePolicy& policy, const RetireFacts& facts, WallTime now) {
  auto stay = RetireDecision{.to = facts.stage, .reason = ""};
  const auto undo = [](const char* why) {
    return RetireDecision{.to = RetireStage::kServing, .reason = why};
  };
  // Whoever has begun it by hand may mean the last version.
  const bool kept = facts.used || (facts.only_ready && !facts.by_hand);
  switch (facts.stage) {
    case RetireStage::kServing:
      if (policy.after <= Duration::zero() || kept || now - facts.idle_since < policy.after) return stay;
      return {.to = RetireStage::kWarned, .reason = "no call for so long"};
    case RetireStage::kWarned:
      if (facts.used) return undo("it is needed again");
      if (facts.only_ready && !facts.by_hand) return undo("it is the only one that is ready");
      if (facts.idle_since > facts.stage_since) return undo("it has calls again");
      if (policy.after <= Duration::zero() && !facts.by_hand)
        return undo("versions are not retired any more");
      if (now - facts.stage_since < policy.warning) return stay;
      return {.to = RetireStage::kDraining, .reason = "no call since the warning"};
    case RetireStage::kDraining:
      if (facts.used) return undo("it is needed again");
      if (facts.only_ready && !facts.by_hand) return undo("it is the only one that is ready");
      // Calls that were under way put it off.
      if (now - std::max(facts.idle_since, facts.stage_since) < policy.drain) return stay;
      return {.to = RetireStage::kArchiving, .reason = "it is drained"};
    case RetireStage::kArchiving:
    case RetireStage::kArchived:
      break;
  }
  return stay;
}

std::optional<WallTime> NextRetireTime(const RetirePolicy& policy, RetireStage stage, WallTime since,
                                       std::optional<WallTime> last_call) {
  if (stage == RetireStage::kWarned) return since + policy.warning;
  if (stage == RetireStage::kDraining) return std::max(since, last_call.value_or(since)) + policy.drain;
  return std::nullopt;
}

}  // namespace mezzo::lifecycle
