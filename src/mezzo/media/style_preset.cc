#include "mezzo/media/style_preset.h"

#include <array>

namespace mezzo::media {
namespace {

using std::chrono::milliseconds;

constexpr Motion kGentle[] = {{MotionKind::kZoomIn, 0.10}, {MotionKind::kZoomOut, 0.10}};
constexpr Motion kLively[] = {{MotionKind::kZoomIn, 0.16},
                              {MotionKind::kPanRight, 0.14},
                              {MotionKind::kZoomOut, 0.16},
                              {MotionKind::kPanLeft, 0.14}};
constexpr Motion kDrifting[] = {
    {MotionKind::kPanRight, 0.08}, {MotionKind::kZoomIn, 0.08}, {MotionKind::kPanUp, 0.08}};
constexpr Motion kNone[] = {{MotionKind::kStill, 0}};

constexpr Transition kSlides[] = {{TransitionKind::kSlide, milliseconds(500), Direction::kLeft},
                                  {TransitionKind::kWipe, milliseconds(600), Direction::kLeft}};
constexpr Transition kSlowFades[] = {{TransitionKind::kFade, milliseconds(1000), Direction::kLeft}};
constexpr Transition kFades[] = {{TransitionKind::kFade, milliseconds(500), Direction::kLeft}};
constexpr Transition kMixed[] = {{TransitionKind::kWipe, milliseconds(600), Direction::kRight},
                                 {TransitionKind::kSlide, milliseconds(500), Direction::kUp},
                                 {TransitionKind::kFade, milliseconds(400), Direction::kLeft}};

constexpr std::string_view kNegative = "blurry, low quality, watermark, text, deformed";
constexpr std::string_view kSans = "WenQuanYi Micro Hei";
constexpr std::string_view kKai = "AR PL KaitiM GB";

constexpr std::array kPresets = {
    StylePreset{.name = "technology",
                .description = "Cool and precise: deep blue, quick slides, synthesizer pulse.",
                .prompt_suffix =
                    "sleek futuristic product photography, cool blue light, clean reflections, high detail",
                .negative_prompt = kNegative,
                .background = {8, 14, 28},
                .title = {240, 248, 255},
                .outline = {6, 18, 40},
                .accent = {0, 194, 255},
                .title_font = kSans,
                .subtitle_font = kSans,
                .motions = kLively,
                .transitions = kSlides,
                .music = "technology"},
    StylePreset{
        .name = "literary",
        .description = "Quiet and warm: paper tones, slow fades, piano.",
        .prompt_suffix =
            "soft natural light, film grain, muted warm tones, poetic still life, shallow depth of field",
        .negative_prompt = kNegative,
        .background = {236, 228, 212},
        .title = {255, 250, 240},
        .outline = {62, 48, 36},
        .accent = {178, 122, 74},
        .title_font = kKai,
        .subtitle_font = kSans,
        .motions = kDrifting,
        .transitions = kSlowFades,
        .music = "literary"},
    StylePreset{
        .name = "fresh",
        .description = "Light and airy: greens and daylight, gentle zooms, plucked strings.",
        .prompt_suffix = "bright airy daylight, fresh green and white palette, crisp, minimal background",
        .negative_prompt = kNegative,
        .background = {240, 250, 242},
        .title = {255, 255, 255},
        .outline = {28, 92, 64},
        .accent = {92, 200, 120},
        .title_font = kSans,
        .subtitle_font = kSans,
        .motions = kGentle,
        .transitions = kFades,
        .music = "fresh"},
    StylePreset{.name = "festive",
                .description = "Joyful and rich: red and gold, changing transitions, bells.",
                .prompt_suffix = "festive celebration, red and gold, warm lights, bokeh, joyful atmosphere",
                .negative_prompt = kNegative,
                .background = {120, 10, 18},
                .title = {255, 226, 140},
                .outline = {96, 6, 14},
                .accent = {255, 196, 60},
                .title_font = kSans,
                .subtitle_font = kSans,
                .motions = kLively,
                .transitions = kMixed,
                .music = "festive"},
    StylePreset{.name = "minimal",
                .description = "Nothing but the product: no motion, cuts, no ornament.",
                .prompt_suffix = "plain studio background, soft even light, product photography",
                .negative_prompt = kNegative,
                .background = {245, 245, 245},
                .title = {255, 255, 255},
                .outline = {40, 40, 40},
                .accent = {255, 255, 255},
                .title_font = kSans,
                .subtitle_font = kSans,
                .motions = kNone,
                .transitions = {},
                .music = "fresh"},
};

}  // namespace

std::span<const StylePreset> StylePresets() { return kPresets; }

const StylePreset* FindStylePreset(std::string_view name) {
  for (const StylePreset& preset : kPresets) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

std::string StyledPrompt(const StylePreset& style, std::string_view prompt) {
  std::string out(prompt);
  if (!out.empty() && !style.prompt_suffix.empty()) out += ", ";
  return out + std::string(style.prompt_suffix);
}

}  // namespace mezzo::media
