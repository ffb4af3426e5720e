#pragma once

#include <string>
#include <string_view>

#include "mezzo/media/picture.h"

namespace mezzo::drivers::internal {

/// The sample description of an MP4 text track ('tx3g' without its box header), 3GPP TS 26.245 section 5.16:
/// white text, centred at the bottom of a frame of this size, on nothing.
std::string TimedTextDescription(media::FrameSize frame);

/// One sample of it (section 5.17): the text's length and its UTF-8. Cut between characters at 65,535 bytes.
std::string TimedTextSample(std::string_view text);

}  // namespace mezzo::drivers::internal
