#pragma once

#include <memory>
#include <span>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/overlay.h"

namespace mezzo::media {

/// Draws the text of one video. Not thread-safe.
class TextRenderer {
 public:
  virtual ~TextRenderer() = default;
  /// What is to be drawn over the frame shown at `time`, the lowest first. Valid until the next call. Times
  /// may come in any order; rising ones are fastest.
  virtual std::span<const AlphaMask> Render(Duration time) = 0;
};

/// Makes text renderers. Thread-safe.
class TextRendererFactory {
 public:
  virtual ~TextRendererFactory() = default;
  /// `script` is what MakeAssScript() gives, `frame` the size it was made for. Fails with kInternal
  /// "text_failed" when the script can't be read, kUnavailable "font_missing" when a character in it has no
  /// glyph in any font.
  virtual Result<std::unique_ptr<TextRenderer>> Open(const std::string& script, FrameSize frame) = 0;
};

}  // namespace mezzo::media
