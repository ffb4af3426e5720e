#pragma once

#include <functional>

#include "mezzo/generation/image_service.h"
#include "mezzo/generation/shot_painter.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::generation {

/// Paints shots by the pipelines of this host.
class PipelinePainter final : public ShotPainter {
 public:
  /// All outlive the painter. `loop` carries the requests, which wait there without a thread.
  struct Ports {
    ImageService& service;
    const tenancy::Directory& directory;
    runtime::Loop& loop;
  };
  explicit PipelinePainter(Ports ports) : ports_(ports) {}

  Result<double> Check(const ShotOrder& order) override;
  /// The picture has the size that the pipeline was made for, whatever the video's is.
  Result<PaintedShot> Paint(const runtime::Context& ctx, const ShotOrder& order,
                            const std::function<void(double)>& progress) override;

 private:
  const Ports ports_;
};

}  // namespace mezzo::generation
