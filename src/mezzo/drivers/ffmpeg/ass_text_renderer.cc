#include "mezzo/drivers/ffmpeg/ass_text_renderer.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include <ass/ass.h>
#include <fmt/format.h>

namespace mezzo::drivers {
namespace {

// For characters that the named font lacks; fontconfig knows what is nearest to it.
constexpr const char* kDefaultFamily = "sans-serif";
// Drawn glyphs and composed lines are kept up to here.
constexpr int kMaxCachedGlyphs = 2000;
constexpr int kMaxCacheMebibytes = 32;

struct AssDeleter {
  void operator()(ASS_Library* p) const { ass_library_done(p); }
  void operator()(ASS_Renderer* p) const { ass_renderer_done(p); }
  void operator()(ASS_Track* p) const { ass_free_track(p); }
};

/// The first character that no font has.
struct Complaints {
  std::optional<unsigned> missing;
};

/// Characters without a look of their own, which fonts may lack: joiners, marks of direction, variation
/// selectors.
bool IsInvisible(unsigned code) {
  return (code >= 0x200B && code <= 0x200F) || (code >= 0x2060 && code <= 0x2064) ||
         (code >= 0xFE00 && code <= 0xFE0F);
}

/// The library tells of missing glyphs in its log only: "fontselect: failed to find any fallback with glyph
/// 0x12000 for font: ..." or "Glyph 0x12000 not found in font for ...".
void OnMessage(int /*level*/, const char* format, va_list arguments, void* data) {
  auto& complaints = *static_cast<Complaints*>(data);
  const std::string_view kind(format);
  if (complaints.missing.has_value() ||
      (kind.find("failed to find any fallback with glyph") == std::string_view::npos &&
       kind.find("not found in font for") == std::string_view::npos)) {
    return;
  }
  char text[256];
  std::vsnprintf(text, sizeof text, format, arguments);
  const char* number = std::strstr(text, "lyph 0x");
  unsigned code = 0;
  if (number != nullptr && std::sscanf(number, "lyph 0x%X", &code) == 1 && !IsInvisible(code)) {
    complaints.missing = code;
  }
}

class AssTextRenderer final : public media::TextRenderer {
 public:
  Result<void> Load(const std::string& script, media::FrameSize frame) {
    library_.reset(ass_library_init());
    if (library_ == nullptr) return Internal("text_failed", "libass can't start");
    ass_set_message_cb(library_.get(), &OnMessage, &complaints_);
    renderer_.reset(ass_renderer_init(library_.get()));
    if (renderer_ == nullptr) return Internal("text_failed", "libass can't start its renderer");
    ass_set_frame_size(renderer_.get(), frame.width, frame.height);
    ass_set_storage_size(renderer_.get(), frame.width, frame.height);
    ass_set_cache_limits(renderer_.get(), kMaxCachedGlyphs, kMaxCacheMebibytes);
    ass_set_fonts(renderer_.get(), nullptr, kDefaultFamily, ASS_FONTPROVIDER_FONTCONFIG, nullptr, 1);
    std::string text = script;  // The library wants to write into it.
    track_.reset(ass_read_memory(library_.get(), text.data(), text.size(), nullptr));
    if (track_ == nullptr) return Internal("text_failed", "libass can't read the script");
    return CheckGlyphs();
  }

  std::span<const media::AlphaMask> Render(Duration time) override {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    // The images of the call before are gone with this one, also when they look the same.
    const ASS_Image* image = ass_render_frame(renderer_.get(), track_.get(), ms, nullptr);
    masks_.clear();
    for (; image != nullptr; image = image->next) {
      if (image->w <= 0 || image->h <= 0) continue;
      masks_.push_back({.alpha = {image->bitmap, image->w, image->h, image->stride},
                        .x = image->dst_x,
                        .y = image->dst_y,
                        .color = {Byte(image->color, 24), Byte(image->color, 16), Byte(image->color, 8)},
                        .opacity = static_cast<std::uint8_t>(255 - Byte(image->color, 0))});
    }
    return masks_;
  }

 private:
  static std::uint8_t Byte(std::uint32_t color, unsigned shift) {
    return static_cast<std::uint8_t>(color >> shift);
  }

  /// Draws every event once, which looks up all glyphs.
  Result<void> CheckGlyphs() {
    for (int i = 0; i < track_->n_events; ++i) {
      const ASS_Event& event = track_->events[i];
      ass_render_frame(renderer_.get(), track_.get(), event.Start + event.Duration / 2, nullptr);
    }
    if (!complaints_.missing.has_value()) return {};
    return InvalidArgument("text_unsupported", fmt::format("no font on this host has the character U+{:04X}",
                                                           *complaints_.missing));
  }

  Complaints complaints_;
  std::unique_ptr<ASS_Library, AssDeleter> library_;
  std::unique_ptr<ASS_Renderer, AssDeleter> renderer_;
  std::unique_ptr<ASS_Track, AssDeleter> track_;
  std::vector<media::AlphaMask> masks_;  // Point into images that the renderer keeps until its next frame.
};

}  // namespace

Result<std::unique_ptr<media::TextRenderer>> AssTextRendererFactory::Open(const std::string& script,
                                                                          media::FrameSize frame) {
  auto renderer = std::make_unique<AssTextRenderer>();
  MEZZO_TRY_VOID(renderer->Load(script, frame));
  return std::unique_ptr<media::TextRenderer>(std::move(renderer));
}

}  // namespace mezzo::drivers
