#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/generation/internal/storyboard_manifest.h"
#include "mezzo/generation/internal/storyboard_request.h"
#include "mezzo/generation/storyboard_jobs.h"
#include "mezzo/media/soundtrack.h"
#include "mezzo/storage/blob_key.h"

namespace mezzo::generation::internal {

/// The key of an object that a tenant's storyboard names at `place`. Fails with kInvalidArgument
/// "storyboard_reference": not a key, or of another tenant.
Result<storage::BlobKey> ReferenceOf(const TenantId& tenant, const std::string& place,
                                     const std::string& text);
/// Checks every reference of `storyboard`: such keys, and addresses, which are not asked yet.
Result<void> CheckReferences(const TenantId& tenant, const media::Storyboard& storyboard);

/// What the painter is asked for shot `index`. The seed is set when the painting's is.
ShotOrder OrderOf(const media::Storyboard& storyboard, std::size_t index, const std::string& model,
                  const std::string& version, const PaintingOptions& painting);

/// One attempt at one storyboard job. On its handler's thread.
class StoryboardRun {
 public:
  /// All outlive this.
  StoryboardRun(const StoryboardJobs::Options& options, const StoryboardJobs::Ports& ports, jobs::JobRun& run)
      : options_(options), ports_(ports), run_(run) {}

  /// The job's result, as JSON.
  Result<std::string> Execute();

 private:
  struct Stored {
    std::string artifact;
    std::string content_type;
    ByteCount bytes = 0;
  };

  /// What is to be made: from the request, and for a redo from the video before.
  Result<void> Prepare();
  Result<StoryboardManifest> LoadManifest(const std::string& job);
  /// Decides what is given up, in the first attempt, or reads what that decided.
  Result<media::DegradationLevel> Level();
  /// Which shots this job has to paint, and what of them lies in the store.
  Result<void> FindOwnShots();
  Result<void> PaintMissingShots();
  /// Decides which version paints all of them.
  void PickVersion();
  /// Takes what earlier attempts have painted by that version.
  void TakeFinishedShots();
  Result<void> PaintShot(std::size_t shot);
  Result<void> PaintOwnShots();
  [[nodiscard]] std::string ShotName(std::size_t shot) const;
  Result<media::Soundtrack> MakeSound();
  Result<media::RenderedVideo> Encode(media::Mixer* sound);
  Result<std::string> StoreAll(const media::RenderedVideo& video);

  Result<media::RgbaPicture> PictureOf(std::size_t shot);
  Result<media::RgbaPicture> Upload(const std::string& place, const std::string& reference);
  Result<std::string> Read(const storage::BlobKey& key, ByteCount max_bytes);
  /// The file that the storyboard names at `place`.
  Result<std::string> ReadReference(const std::string& place, const std::string& reference,
                                    ByteCount max_bytes);
  Result<Stored> Store(const std::string& name, BytesView bytes, const std::string& content_type);
  Result<Stored> StorePreview(const std::string& name, const media::RgbaPicture& picture);
  [[nodiscard]] Result<storage::BlobKey> KeyOf(const std::string& name) const;
  [[nodiscard]] std::string Versioned(std::string_view stem, std::string_view extension) const;

  /// Fails when the job was cancelled or its deadline has passed; else tells how far it is.
  Result<void> Step(double progress, const std::string& stage);
  [[nodiscard]] Result<void> CheckAlive() const;
  [[nodiscard]] TimePoint StoreDeadline() const;
  [[nodiscard]] const TenantId& tenant() const { return run_.job().tenant; }

  const StoryboardJobs::Options& options_;
  const StoryboardJobs::Ports& ports_;
  jobs::JobRun& run_;
  StoryboardManifest manifest_;   // Of the video being made; shots without a key are missing.
  media::Storyboard storyboard_;  // As it is made: with what was given up.
  std::string redo_of_;
  media::DegradationLevel level_ = media::DegradationLevel::kFull;
  double steps_factor_ = 1;
  std::vector<std::string> notes_;
  std::vector<std::size_t> own_shots_;  // Painted by this job, in whatever attempt; a redo keeps the others.
  std::vector<storage::BlobKey> stored_;        // By earlier attempts.
  std::string painted_by_;                      // The version of the model, as far as this attempt knows.
  std::string version_;                         // That is asked to paint; empty: the newest.
  std::optional<inference::VersionPick> pick_;  // None: no route decides.
  std::string route_;                           // By which it was picked; empty: by none.
  bool painter_failed_ = false;                 // And not something around it.
  TimePoint painting_until_ = kNever;
  Duration painting_{};       // On the device, by version_ in this attempt,
  std::int64_t painted_ = 0;  // for so many shots.
  double painted_until_ = 0;  // The progress at which all shots are there.
  Stored video_;
};

}  // namespace mezzo::generation::internal
