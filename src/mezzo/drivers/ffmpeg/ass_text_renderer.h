#pragma once

#include <memory>
#include <string>

#include "mezzo/media/text_renderer.h"

namespace mezzo::drivers {

/// Draws text with libass (HarfBuzz shaping, FreeType glyphs); fonts come from fontconfig, and characters
/// that the script's font lacks from another that has them. Thread-safe; the renderers it makes are not.
class AssTextRendererFactory final : public media::TextRendererFactory {
 public:
  Result<std::unique_ptr<media::TextRenderer>> Open(const std::string& script,
                                                    media::FrameSize frame) override;
};

}  // namespace mezzo::drivers
