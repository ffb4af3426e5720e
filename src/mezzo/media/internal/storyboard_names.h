#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "mezzo/media/motion.h"
#include "mezzo/media/storyboard.h"

namespace mezzo::media::internal {

/// A value of an enumeration and what a storyboard calls it.
template <typename Enum>
struct Named {
  std::string_view name;
  Enum value;
};

inline constexpr Named<MotionKind> kMotionNames[] = {
    {"still", MotionKind::kStill},        {"zoom_in", MotionKind::kZoomIn},
    {"zoom_out", MotionKind::kZoomOut},   {"pan_left", MotionKind::kPanLeft},
    {"pan_right", MotionKind::kPanRight}, {"pan_up", MotionKind::kPanUp},
    {"pan_down", MotionKind::kPanDown}};
inline constexpr Named<TransitionKind> kTransitionNames[] = {{"cut", TransitionKind::kCut},
                                                             {"fade", TransitionKind::kFade},
                                                             {"slide", TransitionKind::kSlide},
                                                             {"wipe", TransitionKind::kWipe}};
inline constexpr Named<Direction> kDirectionNames[] = {{"left", Direction::kLeft},
                                                       {"right", Direction::kRight},
                                                       {"up", Direction::kUp},
                                                       {"down", Direction::kDown}};
inline constexpr Named<Resolution> kResolutionNames[] = {{"720p", Resolution::k720p},
                                                         {"1080p", Resolution::k1080p}};
inline constexpr Named<Aspect> kAspectNames[] = {
    {"landscape", Aspect::kLandscape}, {"portrait", Aspect::kPortrait}, {"square", Aspect::kSquare}};
inline constexpr Named<VideoFormat> kFormatNames[] = {{"mp4_h264", VideoFormat::kMp4H264},
                                                      {"mp4_h265", VideoFormat::kMp4H265},
                                                      {"webm_vp9", VideoFormat::kWebmVp9}};
inline constexpr Named<Language> kLanguageNames[] = {{"zh", Language::kChinese}, {"en", Language::kEnglish}};
inline constexpr Named<PictureFit> kFitNames[] = {{"cover", PictureFit::kCover},
                                                  {"contain", PictureFit::kContain}};
inline constexpr Named<TextPlace> kTextPlaceNames[] = {
    {"center", TextPlace::kCenter}, {"lower", TextPlace::kLower}, {"top", TextPlace::kTop}};
inline constexpr Named<Corner> kCornerNames[] = {{"top_left", Corner::kTopLeft},
                                                 {"top_right", Corner::kTopRight},
                                                 {"bottom_left", Corner::kBottomLeft},
                                                 {"bottom_right", Corner::kBottomRight}};

template <typename Names, typename Enum>
std::string_view NameOf(const Names& names, Enum value) {
  const auto at =
      std::find_if(std::begin(names), std::end(names), [value](const auto& n) { return n.value == value; });
  return at == std::end(names) ? std::string_view() : at->name;
}

/// "cut, fade, slide, wipe".
template <typename Names>
std::string ListNames(const Names& names) {
  std::string out;
  for (const auto& named : names) out += (out.empty() ? "" : ", ") + std::string(named.name);
  return out;
}

}  // namespace mezzo::media::internal
