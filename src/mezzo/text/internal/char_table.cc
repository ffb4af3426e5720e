#include "mezzo/text/internal/char_table.h"

namespace mezzo::text::internal {
namespace {

#include "mezzo/text/internal/char_table.inc"

constexpr std::uint16_t kFirstMapping = static_cast<std::uint16_t>(CharAction::kCombining) + 1;

std::uint16_t ActionOf(char32_t code) {
  return kActions[kBlockOf[code / kBlockSize] * kBlockSize + code % kBlockSize];
}

}  // namespace

CharFate FateOf(char32_t code) {
  const std::uint16_t action = ActionOf(code);
  if (action < kFirstMapping) return {.action = static_cast<CharAction>(action), .mapping = {}};
  const std::uint32_t target = kMappings[action - kFirstMapping];
  const std::uint32_t count = target >> 24U;
  if (count != 0) {
    return {.action = CharAction::kKeep, .mapping = std::span(kSequences).subspan(target & 0xFFFFFFU, count)};
  }
  // Decomposition can turn a symbol into punctuation, and keeps CJK what it is.
  const std::uint16_t of_target = ActionOf(target);
  return {.action = of_target < kFirstMapping ? static_cast<CharAction>(of_target) : CharAction::kKeep,
          .mapping = {},
          .single = target};
}

}  // namespace mezzo::text::internal
