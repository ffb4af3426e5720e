#include "mezzo/generation/image_jobs.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mezzo/generation/internal/image_wait.h"
#include "mezzo/storage/blob_io.h"

namespace mezzo::generation {
namespace {

using Json = nlohmann::ordered_json;

/// FNV-1a: the same seed for every attempt of a job.
std::uint64_t SeedOf(const jobs::JobId& id) {
  std::uint32_t hash = 0x811c9dc5U;
  for (const char c : id.str()) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193U;
  return hash;
}

std::string_view ExtensionOf(media::PictureFormat format) {
  switch (format) {
    case media::PictureFormat::kPng:
      return ".png";
    case media::PictureFormat::kJpeg:
      return ".jpeg";
    case media::PictureFormat::kWebp:
      return ".webp";
  }
  return "";
}

/// A mask by its opacity, as OpenAI's clients send it, as one by its colour.
void WhitenTransparency(media::RgbaPicture& mask) {
  const auto clear = [](const std::uint8_t* pixel) { return pixel[3] < 128; };
  const auto each = [&mask](const auto& visit) {
    for (int y = 0; y < mask.size().height; ++y) {
      for (std::size_t x = 0; x < mask.stride(); x += media::RgbaPicture::kChannels) visit(mask.row(y) + x);
    }
  };
  bool any = false;
  each([&](const std::uint8_t* pixel) { any = any || clear(pixel); });
  if (!any) return;
  each([&](std::uint8_t* pixel) { std::fill_n(pixel, 3, clear(pixel) ? 255 : 0); });
}

}  // namespace

struct ImageJobs::StoredImage {
  std::string artifact;
  std::string_view content_type;
  media::FrameSize size;
  std::size_t bytes = 0;
};

TimePoint TrialDeadline(const inference::VersionPick& pick, TimePoint deadline, TimePoint now) {
  if (!pick.trial() || deadline >= kNever) return kNever;
  return now + std::max((deadline - now) / 2, Duration::zero());
}

Result<sched::Class> ClassOfTier(jobs::Tier tier, const tenancy::Tenant& tenant) {
  for (auto i = static_cast<std::size_t>(tier) - 1; i < tenant.classes.size(); ++i) {
    if (tenant.classes[i]) return static_cast<sched::Class>(i);
  }
  return PermissionDenied("class_not_allowed", "tenant '" + tenant.id.str() +
                                                   "' may use no class for jobs of the tier '" +
                                                   std::string(jobs::TierName(tier)) + "'");
}

Result<jobs::JobEstimate> ImageJobs::Check(const TenantId& tenant, const std::string& request) {
  MEZZO_TRY(const ImageJobRequest job, ParseImageJob(tenant, request));
  MEZZO_TRY_VOID(ports_.service.Check(job.model, job.version, job.request));
  const Duration cost = ports_.service.PredictCost(job.model, job.version, job.request);
  return jobs::JobEstimate{.model = job.model.str(), .cost = Seconds(cost)};
}

Result<std::string> ImageJobs::Run(jobs::JobRun& run) {
  MEZZO_TRY(const tenancy::TenantRef tenant, ports_.directory.Find(run.job().tenant));
  MEZZO_TRY(ImageJobRequest job, ParseImageJob(tenant->id, run.job().request));
  if (!job.has_seed) job.request.seed = SeedOf(run.job().fence.id);
  if (job.picture.has_value()) {
    MEZZO_TRY_VOID(run.Report(0, "reading"));
    MEZZO_TRY(job.request.picture, ReadPicture(run, "image", *job.picture));
  }
  if (job.mask.has_value()) {
    MEZZO_TRY(media::RgbaPicture mask, ReadPicture(run, "mask", *job.mask));
    WhitenTransparency(mask);
    job.request.mask = std::move(mask);
  }
  MEZZO_TRY_VOID(run.Report(0, "drawing"));
  std::string route;
  MEZZO_TRY(const ImageResult result, GenerateRouted(run, tenant, job, route));
  MEZZO_TRY_VOID(run.Report(1, "storing"));

  tenancy::Usage made{.images = static_cast<std::int64_t>(result.images.size())};
  Json images = Json::array();
  for (std::size_t i = 0; i < result.images.size(); ++i) {
    if (run.cancelled()) return Cancelled("cancelled", "the job was cancelled");
    MEZZO_TRY(const StoredImage stored,
              Store(run, job, result.images[i].sample, "image-" + std::to_string(i)));
    images.push_back({{"artifact", stored.artifact},
                      {"content_type", stored.content_type},
                      {"width", stored.size.width},
                      {"height", stored.size.height},
                      {"seed", result.images[i].seed},
                      {"steps_reused", result.images[i].steps_reused},
                      {"bytes", stored.bytes}});
    made.bytes_out += static_cast<std::int64_t>(stored.bytes);
  }
  run.Made(job.model.str(), result.version, made);
  Json answer = {{"images", std::move(images)},
                 {"model", job.model.str()},
                 {"version", result.version},
                 {"steps", result.steps},
                 {"device_ms", Seconds(result.device_time) * 1e3}};
  if (!route.empty()) answer["route"] = route;
  return answer.dump();
}

Result<ImageResult> ImageJobs::GenerateRouted(jobs::JobRun& run, const tenancy::TenantRef& tenant,
                                              ImageJobRequest& job, std::string& route) const {
  if (!ports_.pick || !job.version.empty()) return Generate(run, tenant, job, kNever);
  inference::VersionPick pick = ports_.pick(*tenant, job.model.str());
  job.version = pick.version();
  const TimePoint half = TrialDeadline(pick, run.ctx().deadline(), ports_.clock.Now());
  Result<ImageResult> result = Generate(run, tenant, job, half);
  if (!result.ok() && !run.cancelled()) {
    const bool late = result.error().code() == Code::kDeadlineExceeded && half < kNever;
    if (late ? pick.FallBackLate() : pick.FallBack(result.error())) {
      job.version = pick.version();
      result = Generate(run, tenant, job, kNever);
    }
  }
  if (!result.ok()) return result;
  // Jobs wait, and make pictures of any number: what says something about the version is its time a picture.
  const auto count = static_cast<std::int64_t>(std::max<std::size_t>(result->images.size(), 1));
  const Duration each = result->device_time / count;
  pick.Succeeded(each, /*kept=*/false, each);
  route = pick.stamp();
  const bool shadowed = pick.route() != nullptr && !pick.route()->table().shadows().empty();
  if (ports_.shadows != nullptr && shadowed) {
    PictureShadows::Made made{
        .caller = {.tenant = tenant, .cls = sched::Class::kBulk, .project = run.job().project, .key = {}},
        .model = job.model,
        .request = job.request,
        .pictures = {}};
    made.request.previews = 0;
    for (const GeneratedImage& image : result->images) made.pictures.push_back(image.sample);
    ports_.shadows->Start(pick.route(), releases::Router::Random(), made);
  }
  return result;
}

Result<media::RgbaPicture> ImageJobs::ReadPicture(const jobs::JobRun& run, std::string_view place,
                                                  const PictureSource& source) const {
  const TimePoint deadline = ports_.clock.Now() + options_.store_timeout;
  std::string file = source.bytes;
  if (source.blob.has_value()) {
    MEZZO_TRY(file, storage::ReadBlob(ports_.store, *source.blob, options_.max_picture_bytes, deadline));
  }
  if (!source.url.empty()) {
    auto fetched = ports_.files.Fetch(run.ctx(), source.url, options_.max_picture_bytes);
    if (!fetched.ok()) return std::move(fetched).error().WithContext(place);
    file = *std::move(fetched);
  }
  auto picture = ports_.uploads.Decode(AsBytes(file), {}, deadline);
  if (!picture.ok()) return std::move(picture).error().WithContext(place);
  return picture;
}

Result<ImageResult> ImageJobs::Generate(jobs::JobRun& run, const tenancy::TenantRef& tenant,
                                        const ImageJobRequest& job, TimePoint deadline) const {
  MEZZO_TRY(const sched::Class cls, ClassOfTier(run.job().tier, *tenant));
  double done = 0;
  std::optional<Error> failed;
  const auto report = [&run, &done] {
    // An attempt that does not count any more must not go on drawing.
    if (!run.Report(done, "drawing").ok()) run.ctx().Cancel();
  };
  const auto preview = [&](std::size_t image, std::size_t number, const tensor::Tensor& sample) {
    const auto stored =
        Store(run, job, sample, "partial-" + std::to_string(image) + "-" + std::to_string(number));
    if (!stored.ok()) failed = stored.error();
    report();  // Watchers look for partial pictures when the job has changed.
  };
  internal::AwaitedImages awaited = internal::AwaitImages(
      run.ctx().WithDeadline(deadline),
      {.service = ports_.service,
       .loop = ports_.loop,
       .caller = {.tenant = tenant, .cls = cls, .project = run.job().project, .key = run.job().key},
       .model = job.model,
       .version = job.version,
       .progress =
           [&](double now) {
             done = now;
             report();
           },
       .preview = preview},
      job.request);
  run.AddDeviceTime(awaited.device_time);
  if (failed.has_value()) return *failed;
  return std::move(awaited.result);
}

Result<ImageJobs::StoredImage> ImageJobs::Store(const jobs::JobRun& run, const ImageJobRequest& job,
                                                const tensor::Tensor& sample, const std::string& stem) const {
  MEZZO_TRY(const media::RgbaPicture picture, ToPicture(sample));
  MEZZO_TRY(const std::string file, ports_.codec.Encode(picture, job.format, job.quality));
  const jobs::Fence& fence = run.job().fence;
  const auto attempt = static_cast<std::uint32_t>(fence.attempt);
  MEZZO_TRY(const storage::BlobKey key, storage::BlobKey::Make(run.job().tenant, fence.id.str(), attempt,
                                                               stem + std::string(ExtensionOf(job.format))));
  storage::BlobWriteOptions options;
  options.content_type = std::string(media::MediaType(job.format));
  MEZZO_TRY_VOID(storage::WriteBlob(ports_.store, key, AsBytes(file), std::move(options),
                                    ports_.clock.Now() + options_.store_timeout));
  return StoredImage{.artifact = key.text(),
                     .content_type = media::MediaType(job.format),
                     .size = picture.size(),
                     .bytes = file.size()};
}

}  // namespace mezzo::generation
