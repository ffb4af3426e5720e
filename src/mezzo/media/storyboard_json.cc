#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/media/internal/json_object.h"
#include "mezzo/media/internal/storyboard_names.h"
#include "mezzo/media/storyboard.h"
#include "mezzo/media/style_preset.h"

namespace mezzo::media {
namespace {

using internal::JsonObject;
using internal::WrongKind;
using Json = nlohmann::json;

constexpr std::string_view kDefaultStyle = "technology";

/// "zoom_in" or {"kind": "zoom_in", "amount": 0.1}.
Result<void> ReadMotion(JsonObject& shot, Motion* motion) {
  const Json* value = shot.Find("motion");
  if (value == nullptr) return {};
  if (value->is_string()) return shot.Read("motion", internal::kMotionNames, &motion->kind);
  MEZZO_TRY(JsonObject object, JsonObject::Open(*value, shot.PlaceOf("motion")));
  MEZZO_TRY_VOID(object.Read("kind", internal::kMotionNames, &motion->kind));
  MEZZO_TRY_VOID(object.Read("amount", &motion->amount));
  return object.Finish();
}

/// "fade" or {"kind": "fade", "duration": 0.5, "direction": "left"}. Where no duration is said it is
/// `longest` or half a second, whichever is shorter.
Result<void> ReadTransition(JsonObject& shot, Duration longest, Transition* transition) {
  const Json* value = shot.Find("transition");
  if (value == nullptr) return {};
  *transition = {};
  bool timed = false;
  if (value->is_string()) {
    MEZZO_TRY_VOID(shot.Read("transition", internal::kTransitionNames, &transition->kind));
  } else {
    MEZZO_TRY(JsonObject object, JsonObject::Open(*value, shot.PlaceOf("transition")));
    MEZZO_TRY_VOID(object.Read("kind", internal::kTransitionNames, &transition->kind));
    MEZZO_TRY_VOID(object.Read("duration", &transition->duration));
    MEZZO_TRY_VOID(object.Read("direction", internal::kDirectionNames, &transition->direction));
    timed = object.Has("duration");
    MEZZO_TRY_VOID(object.Finish());
  }
  if (transition->kind != TransitionKind::kCut && !timed) {
    transition->duration = std::min<Duration>(std::chrono::milliseconds(500), longest);
  }
  return {};
}

Result<void> ReadSubtitles(JsonObject& shot, Shot* out) {
  const Json* value = shot.Find("subtitle");
  if (value == nullptr) return {};
  MEZZO_TRY(JsonObject object, JsonObject::Open(*value, shot.PlaceOf("subtitle")));
  for (const auto& [tag, language] : internal::kLanguageNames) {
    MEZZO_TRY_VOID(object.Read(tag, &out->subtitles[static_cast<std::size_t>(language)]));
  }
  return object.Finish();
}

/// What the style does at this place: its motions and transitions in turn.
void FillFromStyle(const StylePreset& style, std::size_t index, Duration longest, Shot* shot) {
  if (!style.motions.empty()) shot->motion = style.motions[index % style.motions.size()];
  if (index == 0 || style.transitions.empty()) return;
  shot->transition = style.transitions[(index - 1) % style.transitions.size()];
  shot->transition.duration = std::min(shot->transition.duration, longest);
}

Result<Shot> ReadShot(const Json& value, std::size_t index, const Shot* before, const StylePreset& style) {
  MEZZO_TRY(JsonObject object, JsonObject::Open(value, fmt::format("shots[{}]", index)));
  Shot shot;
  MEZZO_TRY_VOID(object.Read("prompt", &shot.prompt));
  MEZZO_TRY_VOID(object.Read("picture", &shot.picture));
  MEZZO_TRY_VOID(object.Read("duration", &shot.duration));
  const Duration longest =
      (before == nullptr ? shot.duration : std::min(shot.duration, before->duration)) / 2;
  FillFromStyle(style, index, longest, &shot);
  MEZZO_TRY_VOID(ReadMotion(object, &shot.motion));
  MEZZO_TRY_VOID(ReadTransition(object, longest, &shot.transition));
  MEZZO_TRY_VOID(object.Read("fit", internal::kFitNames, &shot.fit));
  MEZZO_TRY_VOID(object.Read("text", &shot.text));
  MEZZO_TRY_VOID(object.Read("text_place", internal::kTextPlaceNames, &shot.text_place));
  MEZZO_TRY_VOID(ReadSubtitles(object, &shot));
  MEZZO_TRY_VOID(object.Read("speech", &shot.speech));
  MEZZO_TRY_VOID(object.Finish());
  return shot;
}

Result<void> ReadShots(JsonObject& top, const StylePreset& style, const StoryboardLimits& limits,
                       Storyboard* out) {
  const Json* value = top.Find("shots");
  if (value == nullptr) return {};
  if (!value->is_array()) return WrongKind("shots", *value, "an array");
  if (value->size() > limits.max_shots) {
    return InvalidArgument("storyboard_invalid", fmt::format("shots has {} items; the limit is {}",
                                                             value->size(), limits.max_shots));
  }
  for (std::size_t i = 0; i < value->size(); ++i) {
    MEZZO_TRY(Shot shot, ReadShot((*value)[i], i, i == 0 ? nullptr : &out->shots.back(), style));
    out->shots.push_back(std::move(shot));
  }
  return {};
}

/// {"burn": ["zh"], "tracks": true}. Left out, the first language that has subtitles is burned in.
Result<void> ReadSubtitleSpec(JsonObject& top, Storyboard* out) {
  const Json* burn = nullptr;
  const Json* value = top.Find("subtitles");
  if (value != nullptr) {
    MEZZO_TRY(JsonObject object, JsonObject::Open(*value, "subtitles"));
    MEZZO_TRY_VOID(object.Read("tracks", &out->subtitles.tracks));
    burn = object.Find("burn");
    MEZZO_TRY_VOID(object.Finish());
  }
  if (burn == nullptr) {
    for (const auto& [tag, language] : internal::kLanguageNames) {
      const auto index = static_cast<std::size_t>(language);
      const bool used = std::any_of(out->shots.begin(), out->shots.end(),
                                    [index](const Shot& shot) { return !shot.subtitles[index].empty(); });
      if (!used) continue;
      out->subtitles.burn[index] = true;
      break;
    }
    return {};
  }
  if (!burn->is_array()) return WrongKind("subtitles.burn", *burn, "an array");
  for (std::size_t i = 0; i < burn->size(); ++i) {
    const Json& item = (*burn)[i];
    const std::string place = fmt::format("subtitles.burn[{}]", i);
    if (!item.is_string()) return WrongKind(place, item, "a string");
    const auto& tag = item.get_ref<const std::string&>();
    const auto at = std::find_if(std::begin(internal::kLanguageNames), std::end(internal::kLanguageNames),
                                 [&tag](const auto& named) { return named.name == tag; });
    if (at == std::end(internal::kLanguageNames)) {
      return InvalidArgument("storyboard_invalid",
                             fmt::format("{} is \"{}\"; it must be one of {}", place, Printable(tag),
                                         internal::ListNames(internal::kLanguageNames)));
    }
    out->subtitles.burn[static_cast<std::size_t>(at->value)] = true;
  }
  return {};
}

/// "auto" (also when left out: the style's track), "none", or an object.
Result<void> ReadMusic(JsonObject& top, const StylePreset& style, Storyboard* out) {
  const Json* value = top.Find("music");
  MusicSpec music;
  if (value == nullptr || *value == "auto") {
    music.track = style.music;
  } else if (*value == "none") {
    return {};
  } else if (value->is_string()) {
    return InvalidArgument("storyboard_invalid",
                           fmt::format("music is \"{}\"; it must be \"auto\", \"none\" or an object",
                                       Printable(value->get_ref<const std::string&>())));
  } else {
    MEZZO_TRY(JsonObject object, JsonObject::Open(*value, "music"));
    MEZZO_TRY_VOID(object.Read("track", &music.track));
    MEZZO_TRY_VOID(object.Read("upload", &music.upload));
    MEZZO_TRY_VOID(object.Read("fade_in", &music.fade_in));
    MEZZO_TRY_VOID(object.Read("fade_out", &music.fade_out));
    MEZZO_TRY_VOID(object.Finish());
  }
  out->music = std::move(music);
  return {};
}

Result<void> ReadSpeech(JsonObject& top, Storyboard* out) {
  const Json* value = top.Find("speech");
  if (value == nullptr) return {};
  MEZZO_TRY(JsonObject object, JsonObject::Open(*value, "speech"));
  MEZZO_TRY_VOID(object.Read("language", internal::kLanguageNames, &out->speech_language));
  return object.Finish();
}

Result<void> ReadLogo(JsonObject& top, Storyboard* out) {
  const Json* value = top.Find("logo");
  if (value == nullptr) return {};
  MEZZO_TRY(JsonObject object, JsonObject::Open(*value, "logo"));
  LogoSpec logo;
  MEZZO_TRY_VOID(object.Read("picture", &logo.picture));
  MEZZO_TRY_VOID(object.Read("corner", internal::kCornerNames, &logo.corner));
  MEZZO_TRY_VOID(object.Read("height", &logo.height));
  MEZZO_TRY_VOID(object.Read("opacity", &logo.opacity));
  MEZZO_TRY_VOID(object.Finish());
  out->logo = std::move(logo);
  return {};
}

Result<const StylePreset*> ReadStyle(JsonObject& top, Storyboard* out) {
  out->style = kDefaultStyle;
  MEZZO_TRY_VOID(top.Read("style", &out->style));
  const StylePreset* style = FindStylePreset(out->style);
  if (style != nullptr) return style;
  std::string names;
  for (const StylePreset& preset : StylePresets())
    names += (names.empty() ? "" : ", ") + std::string(preset.name);
  return InvalidArgument("storyboard_invalid",
                         fmt::format("style is \"{}\"; it must be one of {}", Printable(out->style), names));
}

}  // namespace

Result<Storyboard> ParseStoryboard(std::string_view json, const StoryboardLimits& limits) {
  if (json.size() > limits.max_json_bytes) {
    return InvalidArgument("storyboard_invalid", fmt::format("the storyboard has {} bytes; the limit is {}",
                                                             json.size(), limits.max_json_bytes));
  }
  Json value;
  try {
    value = Json::parse(json);
  } catch (const Json::exception& e) {
    return InvalidArgument("storyboard_invalid",
                           std::string("the storyboard is not JSON: ") + Printable(e.what(), 200));
  }
  MEZZO_TRY(JsonObject top, JsonObject::Open(value, ""));
  Storyboard out;
  MEZZO_TRY_VOID(top.Read("resolution", internal::kResolutionNames, &out.resolution));
  MEZZO_TRY_VOID(top.Read("aspect", internal::kAspectNames, &out.aspect));
  MEZZO_TRY_VOID(top.Read("format", internal::kFormatNames, &out.format));
  MEZZO_TRY_VOID(top.Read("fps", &out.fps));
  MEZZO_TRY(const StylePreset* style, ReadStyle(top, &out));
  MEZZO_TRY_VOID(ReadShots(top, *style, limits, &out));
  MEZZO_TRY_VOID(ReadSubtitleSpec(top, &out));
  MEZZO_TRY_VOID(ReadMusic(top, *style, &out));
  MEZZO_TRY_VOID(ReadSpeech(top, &out));
  MEZZO_TRY_VOID(ReadLogo(top, &out));
  MEZZO_TRY_VOID(top.Finish());
  MEZZO_TRY_VOID(ValidateStoryboard(out, limits));
  return out;
}

}  // namespace mezzo::media
