#pragma once

#include <span>
#include <string_view>

#include "mezzo/base/bytes.h"

namespace mezzo::media {

/// A loopable piece of music that is part of the program: made by python/music/make_tracks.py, so free of
/// rights.
struct MusicTrack {
  std::string_view name;
  std::string_view description;
  BytesView file;  ///< Ogg Opus, 48 kHz stereo; lives as long as the program.
};

std::span<const MusicTrack> MusicTracks();
/// Null when there is no such track.
const MusicTrack* FindMusicTrack(std::string_view name);

}  // namespace mezzo::media
