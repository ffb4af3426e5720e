#include "mezzo/media/music_library.h"

#include <algorithm>
#include <array>

/// The bytes of a file between two symbols, in read-only data.
#define MEZZO_EMBED_TRACK(name)                                       \
  __asm__(                                                            \
      ".pushsection .rodata,\"a\",@progbits\n"                        \
      ".hidden mezzo_track_" #name "\n.global mezzo_track_" #name     \
      "\n"                                                            \
      ".hidden mezzo_track_" #name "_end\n.global mezzo_track_" #name \
      "_end\n"                                                        \
      "mezzo_track_" #name                                            \
      ":\n"                                                           \
      ".incbin \"" MEZZO_TRACKS_DIR "/" #name                         \
      ".opus\"\n"                                                     \
      "mezzo_track_" #name "_end:\n.byte 0\n.popsection\n");          \
  extern "C" const std::byte mezzo_track_##name[];                    \
  extern "C" const std::byte mezzo_track_##name##_end[]

// NOLINTBEGIN(readability-identifier-naming): names of the assembler's symbols.
MEZZO_EMBED_TRACK(technology);
MEZZO_EMBED_TRACK(literary);
MEZZO_EMBED_TRACK(fresh);
MEZZO_EMBED_TRACK(festive);
// NOLINTEND(readability-identifier-naming)

namespace mezzo::media {
namespace {

BytesView Between(const std::byte* begin, const std::byte* end) { return {begin, end}; }

}  // namespace

std::span<const MusicTrack> MusicTracks() {
  static const std::array tracks = {
      MusicTrack{"technology", "Synthesizer pulse in A minor, 120 beats a minute.",
                 Between(mezzo_track_technology, mezzo_track_technology_end)},
      MusicTrack{"literary", "Slow piano in D major over soft strings, 66 beats a minute.",
                 Between(mezzo_track_literary, mezzo_track_literary_end)},
      MusicTrack{"fresh", "Plucked strings and a light tune in G major, 100 beats a minute.",
                 Between(mezzo_track_fresh, mezzo_track_fresh_end)},
      MusicTrack{"festive", "Bells and big drums on a pentatonic tune, 116 beats a minute.",
                 Between(mezzo_track_festive, mezzo_track_festive_end)},
  };
  return tracks;
}

const MusicTrack* FindMusicTrack(std::string_view name) {
  const auto tracks = MusicTracks();
  const auto at =
      std::find_if(tracks.begin(), tracks.end(), [name](const MusicTrack& t) { return t.name == name; });
  return at == tracks.end() ? nullptr : &*at;
}

}  // namespace mezzo::media
