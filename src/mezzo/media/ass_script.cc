#include "mezzo/media/ass_script.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mezzo/base/check.h"
#include "mezzo/media/line_breaking.h"
#include "mezzo/media/style_preset.h"

namespace mezzo::media {
namespace {

// Sizes as parts of the frame's short side.
constexpr double kSubtitleSize = 0.050;
constexpr double kSecondSubtitleSize = 0.036;
constexpr double kTitleSize = 0.085;
constexpr double kSideMargin = 0.07;
constexpr double kBottomMargin = 0.055;
constexpr double kTitleGap = 0.04;
constexpr double kLineHeight = 1.25;  // Of the font's size.
// Lines of a title: their columns at kTitleSize fill the width but for the margins.
constexpr double kColumnWidth = 0.52;

/// ASS numbers its colours backwards, the transparency in front.
std::string Color(Rgb color, int transparency = 0) {
  return fmt::format("&H{:02X}{:02X}{:02X}{:02X}", transparency, color.b, color.g, color.r);
}

std::string Time(Duration time) {
  const auto cs = (std::chrono::duration_cast<std::chrono::milliseconds>(time).count() + 5) / 10;
  return fmt::format("{}:{:02}:{:02}.{:02}", cs / 360'000, cs / 6000 % 60, cs / 100 % 60, cs % 100);
}

int Pixels(double part, int side) { return static_cast<int>(std::lround(part * side)); }

struct StyleLine {
  std::string_view name;
  std::string_view font;
  int size;
  Rgb color;
  int alignment;  // As the number pad: 2 is the middle of the bottom.
  int margin_side;
  int margin_vertical;
};

class Script {
 public:
  Script(const Storyboard& storyboard, const Timeline& timeline)
      : storyboard_(storyboard),
        timeline_(timeline),
        frame_(SizeOf(storyboard.resolution, storyboard.aspect)),
        short_side_(std::min(frame_.width, frame_.height)),
        style_(*FindStylePreset(storyboard.style)) {}

  std::string Write(const std::vector<SubtitleTrack>& tracks) {
    for (std::size_t i = 0; i < storyboard_.shots.size(); ++i) AddTitle(i);
    for (const SubtitleTrack& track : tracks) AddSubtitles(track, tracks);
    if (events_.empty()) return {};
    return Head() + events_;
  }

 private:
  [[nodiscard]] bool BurnsBoth() const {
    return storyboard_.subtitles.burn[0] && storyboard_.subtitles.burn[1];
  }
  [[nodiscard]] int BottomMargin() const { return Pixels(kBottomMargin, frame_.height); }
  /// How high above the bottom Chinese subtitles stand over this many lines of English.
  [[nodiscard]] int MarginOver(int lines) const {
    return BottomMargin() + Pixels(lines * kSecondSubtitleSize * kLineHeight, short_side_);
  }
  /// The most that it can be.
  [[nodiscard]] int FirstSubtitleMargin() const { return MarginOver(BurnsBoth() ? 2 : 0); }

  /// Titles at the bottom stand above two lines of whatever is burned in.
  [[nodiscard]] int LowerTitleMargin() const {
    const bool burns = storyboard_.subtitles.burn[0] || storyboard_.subtitles.burn[1];
    const int lines = burns ? Pixels(2 * kSubtitleSize * kLineHeight, short_side_) : 0;
    return FirstSubtitleMargin() + lines + Pixels(kTitleGap, short_side_);
  }

  [[nodiscard]] std::string Line(const StyleLine& s) const {
    const int outline = std::max(2, static_cast<int>(std::lround(s.size * 0.06)));
    return fmt::format("Style: {},{},{},{},{},{},{},0,0,0,0,100,100,0,0,1,{},{},{},{},{},{},1\n", s.name,
                       s.font, s.size, Color(s.color), Color(s.color), Color(style_.outline, 0x20),
                       Color({0, 0, 0}, 0x90), outline, std::max(1, outline / 2), s.alignment, s.margin_side,
                       s.margin_side, s.margin_vertical);
  }

  [[nodiscard]] std::string Head() const {
    const int side = Pixels(kSideMargin, frame_.width);
    std::string out = fmt::format(
        "[Script Info]\nScriptType: v4.00+\nPlayResX: {}\nPlayResY: {}\nWrapStyle: 2\n"
        "ScaledBorderAndShadow: yes\nYCbCr Matrix: None\n\n[V4+ Styles]\n"
        "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, "
        "Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, "
        "Alignment, MarginL, MarginR, MarginV, Encoding\n",
        frame_.width, frame_.height);
    const Rgb white{255, 255, 255};
    out += Line({"zh", style_.subtitle_font, Pixels(kSubtitleSize, short_side_), white, 2, side,
                 FirstSubtitleMargin()});
    out += Line({"en", style_.subtitle_font,
                 Pixels(BurnsBoth() ? kSecondSubtitleSize : kSubtitleSize, short_side_), white, 2, side,
                 BottomMargin()});
    const int title = Pixels(kTitleSize, short_side_);
    out += Line({"title", style_.title_font, title, style_.title, 5, side, 0});
    out += fmt::format("Style: bar,Sans,10,{0},{0},{0},{0},0,0,0,0,100,100,0,0,1,0,0,7,0,0,0,1\n",
                       Color(style_.accent));
    return out +
           "\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n";
  }

  /// Margin 0 is the style's.
  void AddEvent(int layer, Span span, std::string_view style, int margin, const std::string& text) {
    events_ += fmt::format("Dialogue: {},{},{},{},,0,0,{},,{}\n", layer, Time(span.start), Time(span.end),
                           style, margin, text);
  }

  void AddSubtitles(const SubtitleTrack& track, const std::vector<SubtitleTrack>& tracks) {
    if (!storyboard_.subtitles.burn[static_cast<std::size_t>(track.language)]) return;
    const bool stacked = BurnsBoth() && track.language == Language::kChinese;
    for (const Cue& cue : track.cues) {
      const int margin = stacked ? MarginOver(EnglishLinesDuring(cue.span, tracks)) : 0;
      AddEvent(2, cue.span, LanguageTag(track.language), margin, EscapeAss(cue.text));
    }
  }

  /// The most lines that English has at any time of `span`.
  static int EnglishLinesDuring(Span span, const std::vector<SubtitleTrack>& tracks) {
    std::ptrdiff_t most = 0;
    for (const SubtitleTrack& track : tracks) {
      if (track.language != Language::kEnglish) continue;
      for (const Cue& cue : track.cues) {
        if (cue.span.start >= span.end || cue.span.end <= span.start) continue;
        most = std::max(most, std::count(cue.text.begin(), cue.text.end(), '\n') + 1);
      }
    }
    return static_cast<int>(most);
  }

  void AddTitle(std::size_t index);

  const Storyboard& storyboard_;
  const Timeline& timeline_;
  const FrameSize frame_;
  const int short_side_;
  const StylePreset& style_;
  std::string events_;
};

void Script::AddTitle(std::size_t index) {
  const Shot& shot = storyboard_.shots[index];
  const int size = Pixels(kTitleSize, short_side_);
  const int side = Pixels(kSideMargin, frame_.width);
  const auto columns = static_cast<std::size_t>((frame_.width - 2 * side) / (size * kColumnWidth));
  const std::vector<std::string> lines = BreakLines(shot.text, std::max<std::size_t>(8, columns));
  if (lines.empty()) return;
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "\\N") + EscapeAss(line);

  // A title comes when its shot's transition is over, sliding a little way into its place.
  Span span = timeline_.shot_span(index);
  span.start += shot.transition.duration;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(span.end - span.start).count();
  const auto fade = std::min<std::int64_t>(350, ms / 4);
  const int height = Pixels(static_cast<double>(lines.size()) * kLineHeight, size);
  const int way = size / 2;
  if (shot.text_place == TextPlace::kLower) {
    const int bar = std::max(4, size / 10);
    const int bottom = frame_.height - LowerTitleMargin();
    const std::string shape = fmt::format("m 0 0 l {0} 0 {0} {1} 0 {1}", bar, height);
    AddEvent(1, span, "bar", 0,
             fmt::format("{{\\pos({},{})\\fad({},{})\\p1}}{}", side, bottom - height, fade, fade, shape));
    const int left = side + 3 * bar;
    const int middle = bottom - height / 2;
    AddEvent(1, span, "title", 0,
             fmt::format("{{\\an4\\move({},{},{},{},0,{})\\fad({},{})}}{}", left + way, middle, left, middle,
                         fade, fade, fade, text));
    return;
  }
  const int x = frame_.width / 2;
  const int y =
      shot.text_place == TextPlace::kCenter ? frame_.height / 2 : Pixels(0.10, frame_.height) + height / 2;
  AddEvent(1, span, "title", 0,
           fmt::format("{{\\an5\\move({},{},{},{},0,{})\\fad({},{})}}{}", x, y + way, x, y, fade, fade, fade,
                       text));
}

}  // namespace

std::string EscapeAss(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '{':
      case '}':
        out += '\\';
        out += c;
        break;
      case '\\':
        // A word joiner (U+2060, no width) behind it: no escape begins with that.
        out += "\\\xE2\x81\xA0";
        break;
      case '\n':
        out += "\\N";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) out += c;
    }
  }
  return out;
}

std::string MakeAssScript(const Storyboard& storyboard, const Timeline& timeline,
                          const std::vector<SubtitleTrack>& tracks) {
  MEZZO_CHECK(FindStylePreset(storyboard.style) != nullptr);
  return Script(storyboard, timeline).Write(tracks);
}

}  // namespace mezzo::media
