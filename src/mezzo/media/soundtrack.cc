#include "mezzo/media/soundtrack.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "mezzo/media/music_library.h"
#include "mezzo/media/timeline.h"

namespace mezzo::media {
namespace {

constexpr Duration kLead = std::chrono::milliseconds(200);
constexpr Duration kCutFade = std::chrono::milliseconds(80);

Result<std::unique_ptr<SoundSource>> OpenMusic(const MusicSpec& music, const SoundtrackTools& tools) {
  if (music.track.empty()) {
    MEZZO_TRY(SharedBytes file, tools.upload(music.upload));
    return tools.decoder.Open(std::move(file));
  }
  const MusicTrack* track = FindMusicTrack(music.track);
  if (track == nullptr)
    return InvalidArgument("storyboard_invalid", "there is no track '" + music.track + "'");
  return tools.decoder.Open(SharedBytes(nullptr, track->file));
}

/// Ends `speech` after `room`, softly.
void Cut(Speech& speech, Duration room) {
  const std::uint64_t length = SoundFrames(room);
  const std::uint64_t fade = std::min(length, SoundFrames(kCutFade));
  speech.samples.resize(length);
  for (std::uint64_t i = 0; i < fade; ++i) {
    speech.samples[length - 1 - i] *= static_cast<float>(i) / static_cast<float>(fade);
  }
}

}  // namespace

Result<Soundtrack> MakeSoundtrack(const Storyboard& storyboard, const SoundtrackTools& tools,
                                  TimePoint deadline) {
  const Timeline timeline(storyboard);
  Soundtrack out;
  std::vector<SpeechPart> parts;
  for (std::size_t i = 0; i < storyboard.shots.size(); ++i) {
    const Shot& shot = storyboard.shots[i];
    if (shot.speech.empty()) continue;
    const Span span = timeline.shot_span(i);
    const Duration lead = std::min(kLead, (span.end - span.start) / 4);
    const Duration room = span.end - span.start - lead;
    MEZZO_TRY(Speech speech, tools.speech.Speak(shot.speech, storyboard.speech_language, room, deadline));
    if (speech.duration() > room) {
      out.notes.push_back(fmt::format("the speech of shots[{}] takes {:.1f} s and was cut after {:.1f} s", i,
                                      Seconds(speech.duration()), Seconds(room)));
      Cut(speech, room);
    }
    parts.push_back({span.start + lead, std::move(speech)});
  }
  if (!storyboard.music.has_value() && parts.empty()) return out;
  Mixer::Options options{.length = timeline.duration()};
  std::unique_ptr<SoundSource> music;
  if (storyboard.music.has_value()) {
    MEZZO_TRY(music, OpenMusic(*storyboard.music, tools));
    options.fade_in = storyboard.music->fade_in;
    options.fade_out = storyboard.music->fade_out;
  }
  out.mixer = std::make_unique<Mixer>(options, std::move(music), std::move(parts));
  MEZZO_TRY_VOID(out.mixer->Prepare());
  return out;
}

}  // namespace mezzo::media
