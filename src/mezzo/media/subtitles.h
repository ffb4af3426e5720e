#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/media/storyboard.h"
#include "mezzo/media/timeline.h"

namespace mezzo::media {

/// One subtitle: its lines, separated by "\n", and when they are seen.
struct Cue {
  Span span;
  std::string text;
  friend bool operator==(const Cue&, const Cue&) = default;
};

/// The subtitles of one language, in order of time, not overlapping.
struct SubtitleTrack {
  Language language = Language::kChinese;
  std::vector<Cue> cues;
};

/// Columns (line_breaking.h) that a line of subtitles has room for.
std::size_t SubtitleColumns(Aspect aspect);

/// The subtitles of each language that has any, Chinese first. What is too long for two lines becomes several
/// cues that share the shot's time by their length.
std::vector<SubtitleTrack> MakeSubtitles(const Storyboard& storyboard, const Timeline& timeline);

/// A WebVTT file (W3C, 4 April 2019). The text is shown literally, whatever it contains.
std::string ToWebVtt(const SubtitleTrack& track);

/// One cue's text as WebVTT cue payload: "<" and "&" escaped, so no tag, no "-->" and no empty line can
/// arise.
std::string EscapeWebVtt(std::string_view text);

}  // namespace mezzo::media
