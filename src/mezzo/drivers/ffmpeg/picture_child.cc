#include "mezzo/drivers/ffmpeg/picture_child.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>
#include <new>
#include <string_view>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/ffmpeg/vips_picture_codec.h"
#include "mezzo/runtime/sandbox.h"

namespace mezzo::drivers {
namespace {

constexpr int kFailed = 1;
constexpr std::size_t kNumbers = 7;

[[noreturn]] void EndForMemory() { ::_exit(kPictureChildOutOfMemory); }

bool WriteAll(BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

/// Standard input, up to one byte more than `max_bytes`, so that the limit is seen to be passed.
Result<std::string> ReadInput(ByteCount max_bytes) {
  std::string out;
  std::array<char, 65536> piece;
  while (out.size() <= max_bytes) {
    const ssize_t n = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Internal("child_failed", "can't read the picture");
    if (n == 0) break;
    out.append(piece.data(), static_cast<std::size_t>(n));
  }
  return out;
}

/// Codecs say so in words only: "out of memory", "Insufficient memory (case 4)", and a thread that can't be
/// created had no room for its stack.
bool IsAboutMemory(const Error& error) {
  const std::string message = ToLower(error.message());
  return message.find("memory") != std::string::npos || message.find("creating thread") != std::string::npos;
}

Result<media::RgbaPicture> DecodeInput(const PictureChildTask& task) {
  MEZZO_TRY(VipsPictureCodec codec, VipsPictureCodec::Create());
  MEZZO_TRY_VOID(runtime::EnterSandbox({.memory = task.max_memory, .cpu_seconds = task.max_cpu_seconds}));
  std::set_new_handler(&EndForMemory);
  MEZZO_TRY(const std::string file, ReadInput(task.limits.max_bytes));
  return codec.Decode(AsBytes(file), task.limits, task.fit);
}

/// Writes the answer; the exit status.
int Answer(const Result<media::RgbaPicture>& picture) {
  if (!picture.ok()) {
    if (IsAboutMemory(picture.error())) return kPictureChildOutOfMemory;
    const std::string answer = "error " + picture.error().reason() + "\n" + picture.error().message();
    return WriteAll(AsBytes(answer)) ? kPictureChildAnswered : kFailed;
  }
  const auto [width, height] = picture->size();
  const std::string head = "picture " + std::to_string(width) + " " + std::to_string(height) + "\n";
  const BytesView pixels(reinterpret_cast<const std::byte*>(picture->row(0)),
                         picture->stride() * static_cast<std::size_t>(height));
  return WriteAll(AsBytes(head)) && WriteAll(pixels) ? kPictureChildAnswered : kFailed;
}

}  // namespace

std::vector<std::string> PictureChildTask::ToArguments() const {
  return {std::to_string(limits.max_bytes), std::to_string(limits.max_pixels),
          std::to_string(limits.max_side),  std::to_string(fit.width),
          std::to_string(fit.height),       std::to_string(max_memory),
          std::to_string(max_cpu_seconds)};
}

Result<PictureChildTask> PictureChildTask::Parse(std::span<const std::string> arguments) {
  std::array<std::uint64_t, kNumbers> numbers{};
  bool good = arguments.size() == kNumbers;
  for (std::size_t i = 0; good && i < kNumbers; ++i) {
    const auto number = ParseUint(arguments[i]);
    // All but bytes, pixels and memory are ints.
    const bool wide = i == 0 || i == 1 || i == 5;
    good = number.has_value() && (wide || *number <= std::numeric_limits<int>::max());
    if (good) numbers[i] = *number;
  }
  if (!good) return InvalidArgument("child_task_invalid", "the command line of a picture child is 7 numbers");
  return PictureChildTask{
      .limits = {.max_bytes = numbers[0], .max_pixels = numbers[1], .max_side = static_cast<int>(numbers[2])},
      .fit = {static_cast<int>(numbers[3]), static_cast<int>(numbers[4])},
      .max_memory = numbers[5],
      .max_cpu_seconds = static_cast<unsigned>(numbers[6])};
}

int RunPictureChild(std::span<const std::string> arguments) {
  const auto task = PictureChildTask::Parse(arguments);
  if (!task.ok()) return Answer(task.error());
  // At once: what libraries do at the end of a process needs rights that this one has given up.
  ::_exit(Answer(DecodeInput(*task)));
}

}  // namespace mezzo::drivers
