#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/media/motion.h"
#include "mezzo/media/picture.h"

namespace mezzo::media {

/// How videos of one kind look and sound. Immutable; lives as long as the program.
struct StylePreset {
  std::string_view name;
  std::string_view description;

  std::string_view prompt_suffix;    ///< Added to each shot's prompt.
  std::string_view negative_prompt;  ///< For engines that take one.

  Rgb background;  ///< Behind pictures that leave the frame uncovered or have transparency.
  Rgb title;       ///< Colour of titles.
  Rgb outline;     ///< Around titles and subtitles.
  Rgb accent;      ///< The bar beside titles.
  // Families. What one lacks (Chinese in a Latin font) the text renderer takes elsewhere.
  std::string_view title_font;
  std::string_view subtitle_font;

  // What shots that say nothing take in turn; the first shot begins with a cut in any case.
  std::span<const Motion> motions;
  std::span<const Transition> transitions;
  std::string_view music;  ///< The built-in track for "music": "auto".
};

/// All presets, in the order in which they are shown.
std::span<const StylePreset> StylePresets();
/// Null when there is no such preset.
const StylePreset* FindStylePreset(std::string_view name);

/// The prompt that a picture model gets for a shot of this style.
std::string StyledPrompt(const StylePreset& style, std::string_view prompt);

}  // namespace mezzo::media
