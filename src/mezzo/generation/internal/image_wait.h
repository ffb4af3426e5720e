#pragma once

#include <functional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/generation/image_request.h"
#include "mezzo/generation/image_service.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::generation::internal {

/// A request for pictures as a thread sees it that has nothing else to do.
struct ImageWait {
  ImageService& service;
  runtime::Loop& loop;  ///< Carries the request.
  ImageService::Caller caller;
  ModelName model;
  std::string version;
  /// Hears, on the waiting thread, the part done (0 to 1), several times a second.
  std::function<void(double)> progress;
  /// Hears of previews, on the waiting thread, in order. May be empty.
  std::function<void(std::size_t image, std::size_t preview, const tensor::Tensor& sample)> preview;
};

struct AwaitedImages {
  Result<ImageResult> result;
  Duration device_time{};  ///< However it ended.
};

/// Blocks until the request has ended; soon after `ctx` says so.
AwaitedImages AwaitImages(const runtime::Context& ctx, const ImageWait& wait, ImageRequest request);

}  // namespace mezzo::generation::internal
