#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mezzo/media/storyboard.h"
#include "mezzo/media/subtitles.h"
#include "mezzo/media/timeline.h"

namespace mezzo::media {

/// Everything that is written into the frames, titles and burned-in subtitles, as an Advanced SubStation
/// Alpha script (v4.00+) for a TextRenderer. Colours and fonts are the style's. Empty when nothing is to be
/// written.
///
/// `storyboard` is valid; `tracks` come from MakeSubtitles(), those that are not to be burned in are passed
/// over.
std::string MakeAssScript(const Storyboard& storyboard, const Timeline& timeline,
                          const std::vector<SubtitleTrack>& tracks);

/// `text` as the text of an ASS event that shows it literally: no override block, no escape and no new event
/// can come out of it. Line feeds become line breaks.
std::string EscapeAss(std::string_view text);

}  // namespace mezzo::media
