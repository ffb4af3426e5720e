// Reads arbitrary bytes as a storyboard; what is taken is laid out in time and written down.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/media/ass_script.h"
#include "mezzo/media/storyboard.h"
#include "mezzo/media/subtitles.h"
#include "mezzo/media/timeline.h"

namespace {

using namespace mezzo::media;  // NOLINT(google-build-using-namespace): one small program.

std::size_t CountLines(std::string_view text, std::string_view prefix) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    if (text.substr(at, prefix.size()) == prefix) ++count;
    if (text.find('\n', at) == std::string_view::npos) break;
  }
  return count;
}

void CheckScript(const Storyboard& storyboard, const Timeline& timeline) {
  const auto tracks = MakeSubtitles(storyboard, timeline);
  std::size_t cues = 0;
  for (const SubtitleTrack& track : tracks) {
    if (storyboard.subtitles.burn[static_cast<std::size_t>(track.language)]) cues += track.cues.size();
    MEZZO_CHECK(CountLines(ToWebVtt(track), "") >= 4 * track.cues.size());
    for (std::size_t i = 0; i < track.cues.size(); ++i) {
      MEZZO_CHECK(track.cues[i].span.start <= track.cues[i].span.end);
      if (i > 0) MEZZO_CHECK(track.cues[i].span.start >= track.cues[i - 1].span.end);
    }
  }
  // No text makes an event of its own: titles have one or two, cues one.
  const std::string script = MakeAssScript(storyboard, timeline, tracks);
  MEZZO_CHECK(CountLines(script, "Dialogue:") <= cues + 2 * storyboard.shots.size());
  MEZZO_CHECK(CountLines(script, "[Events]") <= 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  const auto storyboard = ParseStoryboard(json);
  if (!storyboard.ok()) {
    MEZZO_CHECK(storyboard.error().reason() == "storyboard_invalid");
    return 0;
  }
  MEZZO_CHECK(ValidateStoryboard(*storyboard).ok());
  const Timeline timeline(*storyboard);
  const std::size_t frames = timeline.frames();
  MEZZO_CHECK(frames >= 15 * 24 && frames <= 60 * 30);
  std::size_t last = 0;
  for (std::size_t i = 0; i < frames; i += 7) {
    const FramePlan plan = timeline.At(i);
    MEZZO_CHECK(plan.current.shot >= last && plan.current.shot < storyboard->shots.size());
    MEZZO_CHECK(plan.phase >= 0 && plan.phase <= 1);
    MEZZO_CHECK(i <= timeline.LastFrameOf(plan.current.shot));
    last = plan.current.shot;
  }
  CheckScript(*storyboard, timeline);
  return 0;
}
