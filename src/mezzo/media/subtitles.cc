#include "mezzo/media/subtitles.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "mezzo/media/line_breaking.h"

namespace mezzo::media {
namespace {

constexpr std::size_t kLinesPerCue = 2;

/// Hours are always there, as many readers expect.
std::string WebVttTime(Duration time) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
  return fmt::format("{:02}:{:02}:{:02}.{:03}", ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60, ms % 1000);
}

std::vector<Cue> MakeCues(std::string_view text, Span span, std::size_t max_columns) {
  const std::vector<std::string> lines = BreakLines(text, max_columns);
  std::vector<Cue> cues;
  std::vector<std::size_t> columns_until;  // Of all cues up to this one.
  std::size_t total = 0;
  for (std::size_t i = 0; i < lines.size(); i += kLinesPerCue) {
    std::string joined;
    for (std::size_t k = i; k < std::min(i + kLinesPerCue, lines.size()); ++k) {
      if (k > i) joined += '\n';
      joined += lines[k];
      total += std::max<std::size_t>(1, DisplayColumns(lines[k]));
    }
    cues.push_back({.text = std::move(joined)});
    columns_until.push_back(total);
  }
  Duration start = span.start;
  for (std::size_t i = 0; i < cues.size(); ++i) {
    const double part = static_cast<double>(columns_until[i]) / static_cast<double>(total);
    const auto exact = std::chrono::duration_cast<std::chrono::milliseconds>((span.end - span.start) * part);
    const Duration end = i + 1 == cues.size() ? span.end : span.start + Duration(exact);
    cues[i].span = {start, end};
    start = end;
  }
  return cues;
}

}  // namespace

std::size_t SubtitleColumns(Aspect aspect) { return aspect == Aspect::kLandscape ? 42 : 30; }

std::vector<SubtitleTrack> MakeSubtitles(const Storyboard& storyboard, const Timeline& timeline) {
  std::vector<SubtitleTrack> tracks;
  for (const Language language : {Language::kChinese, Language::kEnglish}) {
    SubtitleTrack track{.language = language};
    for (std::size_t i = 0; i < storyboard.shots.size(); ++i) {
      const std::string& text = storyboard.shots[i].subtitles[static_cast<std::size_t>(language)];
      std::vector<Cue> cues = MakeCues(text, timeline.shot_span(i), SubtitleColumns(storyboard.aspect));
      std::move(cues.begin(), cues.end(), std::back_inserter(track.cues));
    }
    if (!track.cues.empty()) tracks.push_back(std::move(track));
  }
  return tracks;
}

std::string EscapeWebVtt(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '\n' && (out.empty() || out.back() == '\n')) {
      continue;  // An empty line would end the cue.
    } else if (c != '\r') {
      out += c;
    }
  }
  return out;
}

std::string ToWebVtt(const SubtitleTrack& track) {
  std::string out = "WEBVTT\n";
  std::size_t number = 0;
  for (const Cue& cue : track.cues) {
    out += fmt::format("\n{}\n{} --> {}\n{}\n", ++number, WebVttTime(cue.span.start),
                       WebVttTime(cue.span.end), EscapeWebVtt(cue.text));
  }
  return out;
}

}  // namespace mezzo::media
