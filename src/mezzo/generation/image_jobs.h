#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/generation/file_fetcher.h"
#include "mezzo/generation/image_job_request.h"
#include "mezzo/generation/image_service.h"
#include "mezzo/generation/picture_shadows.h"
#include "mezzo/inference/version_pick.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/media/picture_codec.h"
#include "mezzo/media/untrusted_picture_decoder.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/storage/blob_store.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::generation {

/// Jobs of kind "image": pictures by the pipelines of this host. The request is that of ParseImageJob(); the
/// result {"images": [{"artifact", "content_type", "width", "height", "seed", "bytes"}], "model", "version",
/// "steps", "device_ms"}, with the files in the artifact store under (tenant, job, attempt): image-<n>, and
/// what the pictures looked like on the way as partial-<n>-<k>; "route" is the arm and revision of the route
/// that picked the version, where there was one, and what feedback names. A mask that is transparent
/// somewhere is painted anew there, any other where it is white. Thread-safe.
class ImageJobs final : public jobs::JobHandler {
 public:
  static constexpr std::string_view kKind = "image";

  struct Options {
    Duration store_timeout =
        std::chrono::seconds(60);  ///< Of reading or writing one file, and of decoding it.
    ByteCount max_picture_bytes = ByteCount{64} << 20U;  ///< Of a picture that a job brings, as a file.
  };
  /// All outlive the handler. `loop` carries the requests, which wait there without a thread.
  struct Ports {
    ImageService& service;
    media::PictureCodec& codec;
    media::UntrustedPictureDecoder& uploads;
    storage::BlobStore& store;
    FileFetcher& files;
    const tenancy::Directory& directory;
    runtime::Loop& loop;
    const Clock& clock;
    /// The version that a route picks for the tenant's jobs; null: there are no routes.
    std::function<inference::VersionPick(const tenancy::Tenant&, std::string_view model)> pick = nullptr;
    PictureShadows* shadows = nullptr;  ///< Makes copies for routes that want them; null: none are made.
  };
  ImageJobs(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  /// Errors: those of ParseImageJob() and ImageService::Check().
  Result<jobs::JobEstimate> Check(const TenantId& tenant, const std::string& request) override;
  /// A job without a seed gets one from its id, so that every attempt draws the same.
  Result<std::string> Run(jobs::JobRun& run) override;

 private:
  struct StoredImage;

  [[nodiscard]] Result<media::RgbaPicture> ReadPicture(const jobs::JobRun& run, std::string_view place,
                                                       const PictureSource& source) const;
  /// Until `deadline` at most.
  [[nodiscard]] Result<ImageResult> Generate(jobs::JobRun& run, const tenancy::TenantRef& tenant,
                                             const ImageJobRequest& job, TimePoint deadline) const;
  /// By the version that the model's route picks; what that one fails, or has not made in half of the time
  /// that the job has left, the stable version makes. `route`: X-Mezzo-Route of the result.
  [[nodiscard]] Result<ImageResult> GenerateRouted(jobs::JobRun& run, const tenancy::TenantRef& tenant,
                                                   ImageJobRequest& job, std::string& route) const;
  /// `name` without its extension.
  [[nodiscard]] Result<StoredImage> Store(const jobs::JobRun& run, const ImageJobRequest& job,
                                          const tensor::Tensor& sample, const std::string& name) const;

  const Options options_;
  const Ports ports_;
};

/// When a version that is being tried has to have made something, so that the stable one has as much time
/// left: half of what there is. kNever without a trial or a deadline.
TimePoint TrialDeadline(const inference::VersionPick& pick, TimePoint deadline, TimePoint now);

/// The class that work of a tier runs in: paid is interactive, urgent standard, free bulk; the next lower one
/// that the tenant may use. Fails with kPermissionDenied "class_not_allowed" when there is none.
Result<sched::Class> ClassOfTier(jobs::Tier tier, const tenancy::Tenant& tenant);

}  // namespace mezzo::generation
