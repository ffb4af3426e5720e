#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/mixer.h"
#include "mezzo/media/sound_source.h"
#include "mezzo/media/speech_synthesizer.h"
#include "mezzo/media/storyboard.h"

namespace mezzo::media {

/// What a soundtrack is made with.
struct SoundtrackTools {
  SoundDecoder& decoder;
  SpeechSynthesizer& speech;
  /// The file that MusicSpec::upload refers to; needed when there is one.
  std::function<Result<SharedBytes>(const std::string& reference)> upload;
};

struct Soundtrack {
  std::unique_ptr<Mixer> mixer;  ///< Prepared; null when the video is silent.
  std::vector<std::string>
      notes;  ///< What could not be done, for the result: "the speech of shots[2] was cut ...".
};

/// Opens the music, speaks the texts and finds the levels. Speech begins 0.2 s after its shot (sooner in one
/// below 0.8 s) and must fit into it: it is spoken faster if need be, and cut with a note when that is not
/// enough. Fails as the tools do.
Result<Soundtrack> MakeSoundtrack(const Storyboard& storyboard, const SoundtrackTools& tools,
                                  TimePoint deadline);

}  // namespace mezzo::media
