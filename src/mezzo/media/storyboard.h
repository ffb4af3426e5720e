#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/motion.h"
#include "mezzo/media/picture.h"

namespace mezzo::media {

enum class Resolution : std::uint8_t { k720p, k1080p };
enum class Aspect : std::uint8_t { kLandscape, kPortrait, kSquare };
/// Codec and container: "mp4_h264", "mp4_h265", "webm_vp9".
enum class VideoFormat : std::uint8_t { kMp4H264, kMp4H265, kWebmVp9 };
enum class Language : std::uint8_t { kChinese, kEnglish };
inline constexpr std::size_t kLanguages = 2;

/// How a picture fills a frame of another shape.
enum class PictureFit : std::uint8_t {
  kCover,    ///< "cover": the frame is full, what is over the sides is cut off.
  kContain,  ///< "contain": the whole picture, before a blurred copy of itself.
};

enum class TextPlace : std::uint8_t { kCenter, kLower, kTop };
enum class Corner : std::uint8_t { kTopLeft, kTopRight, kBottomLeft, kBottomRight };

/// Pixels of the frame: the short side is 720 or 1080, the long one 16/9 of it.
FrameSize SizeOf(Resolution resolution, Aspect aspect);
/// "zh" or "en".
std::string_view LanguageTag(Language language);

/// One shot. At least one of `prompt` and `picture` is not empty.
struct Shot {
  std::string prompt;   ///< What a picture is made from, when `picture` is empty.
  std::string picture;  ///< A reference that whoever holds the pictures understands.
  Duration duration = Duration::zero();
  Motion motion;
  Transition transition;  ///< How this shot takes over from the one before.
  PictureFit fit = PictureFit::kCover;
  std::string text;  ///< A title over the picture; may be empty.
  TextPlace text_place = TextPlace::kLower;
  std::string subtitles[kLanguages];  ///< By Language; may be empty.
  std::string speech;                 ///< Spoken while the shot is seen; may be empty.
};

struct MusicSpec {
  std::string track;   ///< A built-in track. Either this or `upload`.
  std::string upload;  ///< A reference, as Shot::picture.
  Duration fade_in = std::chrono::milliseconds(500);
  Duration fade_out = std::chrono::milliseconds(2000);
};

struct LogoSpec {
  std::string picture;  ///< A reference, as Shot::picture.
  Corner corner = Corner::kTopRight;
  double height = 0.08;  ///< As a part of the frame's height.
  double opacity = 0.9;
};

struct SubtitleSpec {
  bool burn[kLanguages] = {};  ///< Drawn into the frames, by Language; both: the one above the other.
  bool tracks = true;          ///< As text tracks and WebVTT, for each language that has subtitles.
};

/// What a video is made of. Complete: what the author left out has been filled in from the style.
struct Storyboard {
  Resolution resolution = Resolution::k1080p;
  Aspect aspect = Aspect::kLandscape;
  VideoFormat format = VideoFormat::kMp4H264;
  int fps = 30;
  std::string style;  ///< The name of a StylePreset.
  std::vector<Shot> shots;
  SubtitleSpec subtitles;
  std::optional<MusicSpec> music;
  Language speech_language = Language::kChinese;
  std::optional<LogoSpec> logo;

  [[nodiscard]] Duration TotalDuration() const;
};

struct StoryboardLimits {
  std::size_t max_shots = 60;
  Duration min_total = std::chrono::seconds(15);
  Duration max_total = std::chrono::seconds(60);
  Duration min_shot = std::chrono::milliseconds(500);
  Duration max_shot = std::chrono::seconds(60);
  Duration min_transition = std::chrono::milliseconds(200);
  Duration max_transition = std::chrono::seconds(2);
  double max_motion_amount = 0.5;
  std::size_t max_prompt_characters = 2000;
  std::size_t max_text_characters = 80;
  std::size_t max_subtitle_characters = 300;
  std::size_t max_speech_characters = 500;
  std::size_t max_reference_bytes = 1024;
  std::size_t max_json_bytes = std::size_t{256} << 10;
};

/// Reads a storyboard from JSON, fills in what the style gives, and checks it (ValidateStoryboard).
///
/// Fails with kInvalidArgument "storyboard_invalid"; the message names the place, the value and the limit, as
/// in "shots[2].duration is 0.1; a shot lasts 0.5 to 60 seconds".
Result<Storyboard> ParseStoryboard(std::string_view json, const StoryboardLimits& limits = {});

/// Checks everything that ParseStoryboard() promises, with the same errors, for storyboards made otherwise.
Result<void> ValidateStoryboard(const Storyboard& storyboard, const StoryboardLimits& limits = {});

}  // namespace mezzo::media
