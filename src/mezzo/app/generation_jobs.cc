#include "mezzo/app/generation_jobs.h"

#include <chrono>

namespace mezzo::app {
namespace {

generation::StoryboardJobs::Options StoryboardOptions() {
  generation::StoryboardJobs::Options options;
  options.limits.min_total = std::chrono::seconds(1);  // OpenAI's clients ask for 4 seconds.
  return options;
}

generation::FileFetcher::Options FetchOptions(const JobsConfig& config) {
  generation::FileFetcher::Options options;
  if (config.fetch_from_private) options.reach = net::AddressGuard::Reach::kPrivate;
  options.allow_http = config.fetch_over_http;
  return options;
}

/// For jobs whose tenant is known by its name.
std::function<inference::VersionPick(const TenantId&, std::string_view)> PickByName(
    const GenerationJobs::Ports& ports) {
  if (!ports.pick) return nullptr;
  return [pick = ports.pick, &directory = ports.directory](const TenantId& id, std::string_view model) {
    const auto tenant = directory.Find(id);
    return tenant.ok() ? pick(**tenant, model) : inference::VersionPick();
  };
}

}  // namespace

GenerationJobs::GenerationJobs(const std::string& temp_dir, const JobsConfig& config, Ports ports)
    : files_(FetchOptions(config), ports.clock),
      uploads_({}, ports.clock),
      sounds_({}),
      speech_({}, sounds_, ports.clock),
      encoders_({.temp_dir = temp_dir}),
      renderer_({.threads = 2}, encoders_, texts_, ports.clock),
      pressure_(ports.reader, config.slots, ports.clock),
      images_({}, {.catalog = ports.catalog,
                   .executor = ports.executor,
                   .pool = ports.pool,
                   .clock = ports.clock,
                   .ledger = ports.ledger}),
      shadows_(ports.scope == nullptr ? nullptr
                                      : std::make_unique<generation::PictureShadows>(
                                            generation::PictureShadows::Options(),
                                            generation::PictureShadows::Ports{.service = images_,
                                                                              .pool = ports.pool,
                                                                              .loop = ports.loop,
                                                                              .scope = *ports.scope,
                                                                              .clock = ports.clock})),
      painter_({.service = images_, .directory = ports.directory, .loop = ports.loop}),
      image_jobs_({}, {.service = images_,
                       .codec = ports.codec,
                       .uploads = uploads_,
                       .store = ports.artifacts,
                       .files = files_,
                       .directory = ports.directory,
                       .loop = ports.loop,
                       .clock = ports.clock,
                       .pick = ports.pick,
                       .shadows = shadows_.get()}),
      storyboard_jobs_(StoryboardOptions(), {.painter = painter_,
                                             .blobs = ports.artifacts,
                                             .files = files_,
                                             .uploads = uploads_,
                                             .codec = ports.codec,
                                             .sounds = sounds_,
                                             .speech = speech_,
                                             .renderer = renderer_,
                                             .clock = ports.clock,
                                             .level = [this] { return pressure_.Level(); },
                                             .pick = PickByName(ports)}) {}

std::map<std::string, jobs::JobHandler*, std::less<>> GenerationJobs::handlers() {
  return {{std::string(generation::ImageJobs::kKind), &image_jobs_},
          {std::string(generation::StoryboardJobs::kKind), &storyboard_jobs_}};
}

}  // namespace mezzo::app
