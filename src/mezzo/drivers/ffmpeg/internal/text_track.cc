#include "mezzo/drivers/ffmpeg/internal/text_track.h"

#include <cstdint>

#include "mezzo/base/utf8.h"

namespace mezzo::drivers::internal {
namespace {

void Put8(std::string& out, std::uint32_t value) { out += static_cast<char>(value & 0xFFU); }
void Put16(std::string& out, std::uint32_t value) {
  Put8(out, value >> 8U);
  Put8(out, value);
}
void Put32(std::string& out, std::uint32_t value) {
  Put16(out, value >> 16U);
  Put16(out, value);
}

}  // namespace

std::string TimedTextDescription(media::FrameSize frame) {
  constexpr std::string_view kFont = "Sans";
  constexpr std::uint32_t kFontId = 1;
  const auto width = static_cast<std::uint32_t>(frame.width);
  const auto height = static_cast<std::uint32_t>(frame.height);
  std::string out;
  Put32(out, 0);               // displayFlags
  Put8(out, 1);                // horizontal-justification: centred
  Put8(out, 0xFF);             // vertical-justification: bottom
  Put32(out, 0);               // background-color-rgba: transparent
  Put16(out, height * 3 / 4);  // BoxRecord: top, left, bottom, right
  Put16(out, 0);
  Put16(out, height);
  Put16(out, width);
  Put16(out, 0);  // StyleRecord: startChar, endChar
  Put16(out, 0);
  Put16(out, kFontId);
  Put8(out, 0);             // face-style-flags
  Put8(out, height / 20);   // font-size
  Put32(out, 0xFFFFFFFFU);  // text-color-rgba
  // FontTableBox
  Put32(out, static_cast<std::uint32_t>(8 + 2 + 2 + 1 + kFont.size()));
  out += "ftab";
  Put16(out, 1);
  Put16(out, kFontId);
  Put8(out, static_cast<std::uint32_t>(kFont.size()));
  return out += kFont;
}

std::string TimedTextSample(std::string_view text) {
  const std::string bytes = ToUtf8(text, 0xFFFF);
  std::string out;
  Put16(out, static_cast<std::uint32_t>(bytes.size()));
  return out += bytes;
}

}  // namespace mezzo::drivers::internal
