#include "mezzo/media/storyboard.h"

#include <algorithm>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/base/utf8.h"
#include "mezzo/media/internal/storyboard_names.h"
#include "mezzo/media/music_library.h"
#include "mezzo/media/style_preset.h"

namespace mezzo::media {
namespace {

Error Bad(std::string message) { return InvalidArgument("storyboard_invalid", std::move(message)); }

/// Characters of well-formed UTF-8; nothing when it is not.
std::optional<std::size_t> CountCharacters(std::string_view text) {
  std::size_t count = 0;
  for (; !text.empty(); ++count) {
    const std::size_t length = Utf8Length(text);
    if (length == 0) return std::nullopt;
    text.remove_prefix(length);
  }
  return count;
}

Result<void> CheckText(const std::string& place, std::string_view text, std::size_t limit) {
  const auto count = CountCharacters(text);
  if (!count.has_value()) return Bad(place + " is not valid UTF-8");
  if (*count > limit) {
    return Bad(fmt::format("{} has {} characters; the limit is {}", place, *count, limit));
  }
  return {};
}

Result<void> CheckReference(const std::string& place, std::string_view reference,
                            const StoryboardLimits& limits) {
  if (!IsUtf8(reference)) return Bad(place + " is not valid UTF-8");
  if (reference.size() <= limits.max_reference_bytes) return {};
  return Bad(
      fmt::format("{} has {} bytes; the limit is {}", place, reference.size(), limits.max_reference_bytes));
}

Result<void> CheckMotion(const std::string& place, const Motion& motion, const StoryboardLimits& limits) {
  // Negated, so that a NaN fails too.
  if (!(motion.amount >= 0 && motion.amount <= limits.max_motion_amount)) {
    return Bad(fmt::format("{}.motion.amount is {:g}; it must be 0 to {:g}", place, motion.amount,
                           limits.max_motion_amount));
  }
  return {};
}

Result<void> CheckTransition(const Storyboard& storyboard, std::size_t index,
                             const StoryboardLimits& limits) {
  const Transition& transition = storyboard.shots[index].transition;
  const std::string place = fmt::format("shots[{}].transition", index);
  if (transition.kind == TransitionKind::kCut) {
    if (transition.duration == Duration::zero()) return {};
    return Bad(fmt::format("{}.duration is {:g}; a cut takes no time", place, Seconds(transition.duration)));
  }
  if (index == 0) {
    return Bad(
        fmt::format("{} is \"{}\"; the first shot has nothing to take over from and must begin with \"cut\"",
                    place, internal::NameOf(internal::kTransitionNames, transition.kind)));
  }
  const Duration shorter = std::min(storyboard.shots[index].duration, storyboard.shots[index - 1].duration);
  const Duration longest = std::min(limits.max_transition, shorter / 2);
  if (transition.duration < limits.min_transition || transition.duration > longest) {
    return Bad(fmt::format(
        "{}.duration is {:g}; it must be {:g} to {:g} seconds (at most half of each of its shots)", place,
        Seconds(transition.duration), Seconds(limits.min_transition), Seconds(longest)));
  }
  return {};
}

Result<void> CheckShot(const Storyboard& storyboard, std::size_t index, const StoryboardLimits& limits) {
  const Shot& shot = storyboard.shots[index];
  const std::string place = fmt::format("shots[{}]", index);
  if (shot.prompt.empty() && shot.picture.empty()) {
    return Bad(place + " has neither a prompt nor a picture; it needs one of them");
  }
  MEZZO_TRY_VOID(CheckText(place + ".prompt", shot.prompt, limits.max_prompt_characters));
  MEZZO_TRY_VOID(CheckReference(place + ".picture", shot.picture, limits));
  if (shot.duration < limits.min_shot || shot.duration > limits.max_shot) {
    return Bad(fmt::format("{}.duration is {:g}; a shot lasts {:g} to {:g} seconds", place,
                           Seconds(shot.duration), Seconds(limits.min_shot), Seconds(limits.max_shot)));
  }
  MEZZO_TRY_VOID(CheckMotion(place, shot.motion, limits));
  MEZZO_TRY_VOID(CheckText(place + ".text", shot.text, limits.max_text_characters));
  for (const Language language : {Language::kChinese, Language::kEnglish}) {
    MEZZO_TRY_VOID(CheckText(fmt::format("{}.subtitle.{}", place, LanguageTag(language)),
                             shot.subtitles[static_cast<std::size_t>(language)],
                             limits.max_subtitle_characters));
  }
  return CheckText(place + ".speech", shot.speech, limits.max_speech_characters);
}

Result<void> CheckMusic(const MusicSpec& music, Duration total, const StoryboardLimits& limits) {
  if (music.track.empty() == music.upload.empty()) {
    return Bad("music names both or none of \"track\" and \"upload\"; it needs one of them");
  }
  MEZZO_TRY_VOID(CheckReference("music.upload", music.upload, limits));
  if (!music.track.empty() && FindMusicTrack(music.track) == nullptr) {
    std::string names;
    for (const MusicTrack& track : MusicTracks())
      names += (names.empty() ? "" : ", ") + std::string(track.name);
    return Bad(
        fmt::format("music.track is \"{}\"; the built-in tracks are {}", Printable(music.track), names));
  }
  for (const auto& [name, fade] :
       {std::pair("fade_in", music.fade_in), std::pair("fade_out", music.fade_out)}) {
    if (fade < Duration::zero() || fade > total / 2) {
      return Bad(fmt::format("music.{} is {:g}; it must be 0 to {:g} seconds (half of the video)", name,
                             Seconds(fade), Seconds(total / 2)));
    }
  }
  return {};
}

Result<void> CheckLogo(const LogoSpec& logo, const StoryboardLimits& limits) {
  if (logo.picture.empty()) return Bad("logo.picture is empty; a logo needs one");
  MEZZO_TRY_VOID(CheckReference("logo.picture", logo.picture, limits));
  if (!(logo.height >= 0.02 && logo.height <= 0.5)) {
    return Bad(fmt::format("logo.height is {:g}; it must be 0.02 to 0.5 of the frame's height", logo.height));
  }
  if (!(logo.opacity > 0 && logo.opacity <= 1)) {
    return Bad(fmt::format("logo.opacity is {:g}; it must be above 0, up to 1", logo.opacity));
  }
  return {};
}

}  // namespace

FrameSize SizeOf(Resolution resolution, Aspect aspect) {
  const int small = resolution == Resolution::k720p ? 720 : 1080;
  const int large = small * 16 / 9;
  switch (aspect) {
    case Aspect::kLandscape:
      return {large, small};
    case Aspect::kPortrait:
      return {small, large};
    case Aspect::kSquare:
      return {small, small};
  }
  return {};
}

std::string_view LanguageTag(Language language) { return language == Language::kChinese ? "zh" : "en"; }

Duration Storyboard::TotalDuration() const {
  Duration total = Duration::zero();
  for (const Shot& shot : shots) total += shot.duration;
  return total;
}

Result<void> ValidateStoryboard(const Storyboard& storyboard, const StoryboardLimits& limits) {
  if (storyboard.shots.empty()) return Bad("shots is empty; a video has at least one");
  if (storyboard.shots.size() > limits.max_shots) {
    return Bad(fmt::format("shots has {} items; the limit is {}", storyboard.shots.size(), limits.max_shots));
  }
  if (FindStylePreset(storyboard.style) == nullptr) {
    std::string names;
    for (const StylePreset& preset : StylePresets())
      names += (names.empty() ? "" : ", ") + std::string(preset.name);
    return Bad(fmt::format("style is \"{}\"; the styles are {}", Printable(storyboard.style), names));
  }
  if (storyboard.fps != 24 && storyboard.fps != 25 && storyboard.fps != 30) {
    return Bad(fmt::format("fps is {}; it must be 24, 25 or 30", storyboard.fps));
  }
  for (std::size_t i = 0; i < storyboard.shots.size(); ++i) {
    MEZZO_TRY_VOID(CheckShot(storyboard, i, limits));
    MEZZO_TRY_VOID(CheckTransition(storyboard, i, limits));
  }
  const Duration total = storyboard.TotalDuration();
  if (total < limits.min_total || total > limits.max_total) {
    return Bad(fmt::format("the shots last {:g} seconds together; a video lasts {:g} to {:g}", Seconds(total),
                           Seconds(limits.min_total), Seconds(limits.max_total)));
  }
  if (storyboard.music.has_value()) MEZZO_TRY_VOID(CheckMusic(*storyboard.music, total, limits));
  if (storyboard.logo.has_value()) MEZZO_TRY_VOID(CheckLogo(*storyboard.logo, limits));
  return {};
}

}  // namespace mezzo::media
