#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/generation/internal/storyboard_request.h"

namespace mezzo::generation::internal {

/// The picture of one shot of a finished video.
struct ShotRecord {
  std::string artifact;  ///< Key of the picture.
  bool painted = false;  ///< Else it was an upload.
  std::uint64_t seed = 0;
};

/// What a finished video was made of: kept beside it, so that shots of it can be made again.
struct StoryboardManifest {
  std::uint32_t version = 1;  ///< Of the video; grows with every redo.
  std::string model;
  std::string model_version;  ///< That was named; empty: none was.
  std::string painted_by;     ///< The version that has painted; empty: not known.
  std::string storyboard;     ///< JSON, as asked for (or changed by a redo).
  PaintingOptions painting;
  std::vector<ShotRecord> shots;

  [[nodiscard]] std::string ToJson() const;
  /// Fails with kDataLoss "storyboard_manifest_invalid".
  static Result<StoryboardManifest> Parse(const std::string& json);
};

}  // namespace mezzo::generation::internal
