#include "mezzo/drivers/ffmpeg/process_picture_decoder.h"

#include <signal.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/ffmpeg/picture_child.h"
#include "mezzo/runtime/child_process.h"

namespace mezzo::drivers {
namespace {

using media::RgbaPicture;

constexpr std::size_t kMaxHead = 512;  // Of an answer: its first line, or an error.

Error TooCostly(std::string message) { return InvalidArgument("picture_too_costly", std::move(message)); }

Error NoAnswer() { return Internal("child_failed", "the picture child's answer is not one"); }

Error ErrorOf(std::string_view text) {
  const std::size_t line = text.find('\n');
  if (line == std::string_view::npos) return NoAnswer();
  const std::string_view reason = text.substr(0, line);
  std::string message = Printable(text.substr(line + 1), 400);
  // What the picture did; everything else is this host's fault.
  if (reason == "picture_invalid") return InvalidArgument("picture_invalid", std::move(message));
  if (reason == "picture_too_large") return InvalidArgument("picture_too_large", std::move(message));
  return Internal("child_failed",
                  "the picture child failed: " + std::string(reason.substr(0, 64)) + ": " + message);
}

Result<RgbaPicture> PictureOf(std::string_view output, const media::PictureLimits& limits) {
  constexpr std::string_view kPicture = "picture ";
  constexpr std::string_view kError = "error ";
  if (output.starts_with(kError)) return ErrorOf(output.substr(kError.size()));
  const std::size_t line = output.substr(0, kMaxHead).find('\n');
  if (!output.starts_with(kPicture) || line == std::string_view::npos) return NoAnswer();
  const auto sides = Split(output.substr(kPicture.size(), line - kPicture.size()), ' ');
  const auto width = ParseUint(sides[0]);
  const auto height = sides.size() == 2 ? ParseUint(sides[1]) : std::nullopt;
  const auto longest = static_cast<std::uint64_t>(limits.max_side);
  // The child has met hostile bytes: what it says is checked as they were.
  if (!width || !height || *width == 0 || *height == 0 || *width > longest || *height > longest ||
      output.size() - line - 1 != *width * *height * RgbaPicture::kChannels) {
    return NoAnswer();
  }
  RgbaPicture out({static_cast<int>(*width), static_cast<int>(*height)});
  std::memcpy(out.row(0), output.data() + line + 1, output.size() - line - 1);
  return out;
}

}  // namespace

Result<RgbaPicture> ProcessPictureDecoder::Decode(BytesView file, media::FrameSize fit, TimePoint deadline) {
  MEZZO_TRY_VOID(media::CheckPictureLimits(file, options_.limits));
  const PictureChildTask task{.limits = options_.limits,
                              .fit = fit,
                              .max_memory = options_.max_memory,
                              .max_cpu_seconds = options_.max_cpu_seconds};
  runtime::ChildProcess child{
      .command = options_.command,
      .input = file,
      .max_output = static_cast<std::size_t>(options_.limits.max_pixels) * RgbaPicture::kChannels + kMaxHead,
      // The child sets its own, exact limits once its libraries are loaded.
      .max_memory = std::numeric_limits<std::uint64_t>::max(),
      .max_cpu_seconds = options_.max_cpu_seconds + 2};
  for (std::string& argument : task.ToArguments()) child.command.push_back(std::move(argument));
  const TimePoint latest = std::min(deadline, AddSaturating(clock_.Now(), options_.max_time));
  MEZZO_TRY(const runtime::ChildEnd end, runtime::RunChild(child, latest, clock_));
  if (end.signal == SIGXCPU) {
    return TooCostly(
        fmt::format("decoding the picture takes more than {} s of CPU time", options_.max_cpu_seconds));
  }
  if (end.status == kPictureChildOutOfMemory) {
    return TooCostly(
        fmt::format("decoding the picture takes more than {} of memory", FormatBytes(options_.max_memory)));
  }
  if (end.signal != 0) {
    return InvalidArgument("picture_invalid",
                           fmt::format("the picture's decoder crashed on it (signal {})", end.signal));
  }
  if (end.status != kPictureChildAnswered) {
    return Internal("child_failed", fmt::format("the picture child ended with status {}", end.status));
  }
  return PictureOf(end.output, options_.limits);
}

}  // namespace mezzo::drivers
