#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "mezzo/base/result.h"

namespace mezzo::generation::internal {

/// How pictures are made, for all shots of a storyboard.
struct PaintingOptions {
  std::optional<std::uint64_t> seed;  ///< Shot n has seed + n. Default: from the job's id.
  std::optional<std::size_t> steps;
  std::optional<double> guidance;
};

/// A shot to be made again.
struct ShotChange {
  std::size_t shot = 0;
  std::string members;  ///< JSON object: replace those of the storyboard's shot; null takes one away.
};

/// A video that exists, with some of its shots made anew.
struct StoryboardRedo {
  std::string job;  ///< Of the same tenant, of kind storyboard, succeeded.
  std::vector<ShotChange> shots;
};

/// The request of a job of kind "storyboard": {"model", "version", "input"}.
struct StoryboardRequest {
  std::string model;  ///< Paints the shots; may be empty.
  std::string version;
  std::string storyboard;  ///< JSON of media::ParseStoryboard(); empty for a redo.
  PaintingOptions painting;
  std::optional<StoryboardRedo> redo;
};

/// Errors are kInvalidArgument "storyboard_request" and name the member. The storyboard itself is not looked
/// at.
Result<StoryboardRequest> ParseStoryboardRequest(const std::string& request);

/// `value` is what "painting" holds.
Result<PaintingOptions> ParsePainting(const nlohmann::ordered_json& value);
nlohmann::ordered_json ToJson(const PaintingOptions& painting);

/// `storyboard` with the changes made. Fails with kInvalidArgument "storyboard_request" when there is no such
/// shot.
Result<std::string> ApplyChanges(const std::string& storyboard, const std::vector<ShotChange>& changes);

}  // namespace mezzo::generation::internal
