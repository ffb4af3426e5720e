#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/api/openai/media_members.h"
#include "mezzo/base/result.h"
#include "mezzo/jobs/job.h"

namespace mezzo::api::openai {

/// What POST /v1/videos asks for.
struct VideoRequest {
  std::string model;
  std::string prompt;
  std::uint64_t seconds = 0;
  std::string size;       ///< "WxH": one of VideoSizes().
  std::string style;      ///< Of storyboards; empty: the default.
  std::string reference;  ///< Key of the picture that it begins with; may be empty.
  std::optional<std::uint64_t> seed;
  std::optional<std::uint64_t> steps;
  std::optional<double> guidance;
  std::string remixed_from;  ///< The id of a video; may be empty.
  jobs::Tier tier = jobs::Tier::kFree;
  std::optional<jobs::WebhookTarget> webhook;
};

/// Reads everything but `input_reference`. Errors: those of MediaMembers; its param() names the member.
Result<VideoRequest> ReadVideoRequest(MediaMembers& members, const std::string& default_model);

/// The request of a job of kind "storyboard": shots of about five seconds, each of the same prompt; the first
/// one shows the reference. The member "video" beside it keeps what was asked for.
std::string StoryboardJobRequest(const VideoRequest& request);

/// What StoryboardJobRequest() has kept, without `tier` and `webhook`; nothing when the job was made
/// otherwise.
std::optional<VideoRequest> VideoRequestOf(const std::string& job_request);

}  // namespace mezzo::api::openai
