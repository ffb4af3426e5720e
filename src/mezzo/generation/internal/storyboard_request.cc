#include "mezzo/generation/internal/storyboard_request.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::generation::internal {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxSeed = (std::uint64_t{1} << 53U) - 1;  // What JSON's numbers hold exactly.
constexpr std::size_t kMaxRedoneShots = 60;

Error Bad(std::string message) { return InvalidArgument("storyboard_request", std::move(message)); }

/// Fails when `object` has a member that is none of `known`.
template <std::size_t kCount>
Result<void> CheckMembers(const Json& object, const std::string& place,
                          const std::array<std::string_view, kCount>& known) {
  if (!object.is_object()) return Bad("'" + place + "' is not an object");
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      return Bad("'" + place + "." + Printable(name) + "' is not a known member");
  }
  return {};
}

/// A whole number from 0 on.
Result<std::optional<std::uint64_t>> Whole(const Json& object, const std::string& place,
                                           std::string_view name) {
  const auto at = object.find(name);
  if (at == object.end() || at->is_null()) return std::optional<std::uint64_t>();
  if (!at->is_number_unsigned() || at->get<std::uint64_t>() > kMaxSeed) {
    return Bad(fmt::format("'{}.{}' is not a whole number from 0 to {}", place, name, kMaxSeed));
  }
  return std::optional(at->get<std::uint64_t>());
}

Result<StoryboardRedo> ParseRedo(const Json& input) {
  MEZZO_TRY_VOID((CheckMembers<2>(input, "input", {"redo", "painting"})));
  const Json& value = input["redo"];
  MEZZO_TRY_VOID((CheckMembers<2>(value, "redo", {"job", "shots"})));
  StoryboardRedo redo;
  if (value.contains("job") && value["job"].is_string()) redo.job = value["job"].get<std::string>();
  if (!IsSafeName(redo.job)) return Bad("'redo.job' is not the id of a job");
  const auto shots = value.find("shots");
  if (shots == value.end() || !shots->is_array() || shots->empty() || shots->size() > kMaxRedoneShots) {
    return Bad(fmt::format("'redo.shots' is not a list of 1 to {} shots", kMaxRedoneShots));
  }
  for (std::size_t i = 0; i < shots->size(); ++i) {
    const std::string place = fmt::format("redo.shots[{}]", i);
    Json change = (*shots)[i];
    if (!change.is_object()) return Bad("'" + place + "' is not an object");
    MEZZO_TRY(const auto shot, Whole(change, place, "shot"));
    if (!shot.has_value()) return Bad("'" + place + ".shot' is missing: the number of a shot, from 0");
    change.erase("shot");
    const bool twice = std::any_of(redo.shots.begin(), redo.shots.end(),
                                   [&shot](const ShotChange& other) { return other.shot == *shot; });
    if (twice) return Bad(fmt::format("'{}.shot' is {} again", place, *shot));
    redo.shots.push_back({static_cast<std::size_t>(*shot), change.dump()});
  }
  return redo;
}

}  // namespace

Result<PaintingOptions> ParsePainting(const Json& value) {
  MEZZO_TRY_VOID((CheckMembers<3>(value, "painting", {"seed", "steps", "guidance"})));
  PaintingOptions out;
  MEZZO_TRY(out.seed, Whole(value, "painting", "seed"));
  MEZZO_TRY(const auto steps, Whole(value, "painting", "steps"));
  if (steps.has_value()) out.steps = static_cast<std::size_t>(*steps);
  const auto guidance = value.find("guidance");
  if (guidance != value.end() && !guidance->is_null()) {
    if (!guidance->is_number()) return Bad("'painting.guidance' is not a number");
    out.guidance = guidance->get<double>();
  }
  return out;
}

Json ToJson(const PaintingOptions& painting) {
  Json out = Json::object();
  if (painting.seed.has_value()) out["seed"] = *painting.seed;
  if (painting.steps.has_value()) out["steps"] = *painting.steps;
  if (painting.guidance.has_value()) out["guidance"] = *painting.guidance;
  return out;
}

Result<StoryboardRequest> ParseStoryboardRequest(const std::string& request) {
  Json json = Json::parse(request, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("input") || !json["input"].is_object()) {
    return Bad("'input' is not an object: a storyboard, or what is to be made again");
  }
  StoryboardRequest out;
  for (const auto& [name, target] : {std::pair("model", &out.model), std::pair("version", &out.version)}) {
    const auto at = json.find(name);
    if (at != json.end() && at->is_string()) *target = at->get<std::string>();
  }
  Json& input = json["input"];
  if (input.contains("painting")) {
    MEZZO_TRY(out.painting, ParsePainting(input["painting"]));
  }
  if (input.contains("redo")) {
    MEZZO_TRY(out.redo, ParseRedo(input));
    return out;
  }
  input.erase("painting");
  out.storyboard = input.dump();
  return out;
}

Result<std::string> ApplyChanges(const std::string& storyboard, const std::vector<ShotChange>& changes) {
  Json json = Json::parse(storyboard, nullptr, /*allow_exceptions=*/false);
  Json& shots = json["shots"];
  for (const ShotChange& change : changes) {
    if (change.shot >= shots.size()) {
      return Bad(fmt::format("redo names shot {}, and the video has {} (the first is 0)", change.shot,
                             shots.size()));
    }
    shots[change.shot].merge_patch(Json::parse(change.members));
  }
  return json.dump();
}

}  // namespace mezzo::generation::internal
