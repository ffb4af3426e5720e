#include "mezzo/generation/internal/storyboard_run.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/generation/image_jobs.h"
#include "mezzo/media/style_preset.h"
#include "mezzo/media/subtitles.h"
#include "mezzo/storage/blob_io.h"

namespace mezzo::generation::internal {
namespace {

using Json = nlohmann::ordered_json;
using media::DegradationLevel;

// Of the progress: painting takes most of the time when there is something to paint.
constexpr double kPaintingPart = 0.7;
constexpr double kSoundPart = 0.04;    // Of the rest,
constexpr double kEncodingPart = 0.9;  // and so on.
constexpr ByteCount kMaxManifestBytes = ByteCount{1} << 20U;
constexpr std::size_t kListPage = 1000;

/// The seed of a shot whose request names none: the same for every attempt, another for every job.
std::uint64_t SeedOf(const std::string& job, std::size_t shot) {
  const std::string digest = Sha256Hex(job + "/" + std::to_string(shot));
  std::uint64_t seed = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    const char c = digest[i];
    seed = seed * 16 + static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return seed;  // 32 bits, which every model's generator takes.
}

std::optional<DegradationLevel> LevelOf(std::string_view name) {
  for (std::size_t i = 0; i < media::kDegradationLevels; ++i) {
    const auto level = static_cast<DegradationLevel>(i);
    if (media::DegradationName(level) == name) return level;
  }
  return std::nullopt;
}

std::string_view ExtensionOf(media::VideoFormat format) {
  return format == media::VideoFormat::kWebmVp9 ? "webm" : "mp4";
}

/// The number in "storyboard-v12.json"; nothing for other names.
std::optional<std::uint64_t> ManifestVersion(std::string_view name) {
  constexpr std::string_view kBefore = "storyboard-v";
  constexpr std::string_view kAfter = ".json";
  if (!name.starts_with(kBefore) || !name.ends_with(kAfter)) return std::nullopt;
  return ParseUint(name.substr(kBefore.size(), name.size() - kBefore.size() - kAfter.size()));
}

/// Every object of a job.
Result<std::vector<storage::BlobKey>> ListJob(storage::BlobStore& blobs, const TenantId& tenant,
                                              const std::string& job, TimePoint deadline) {
  MEZZO_TRY(const storage::BlobPrefix prefix, storage::BlobPrefix::Of(tenant, job));
  std::vector<storage::BlobKey> keys;
  for (bool more = true; more;) {
    const std::string after = keys.empty() ? "" : keys.back().text();
    MEZZO_TRY(const storage::BlobPage page, blobs.List(prefix, after, kListPage, deadline));
    for (const storage::BlobEntry& entry : page.entries) keys.push_back(entry.key);
    more = page.more && !page.entries.empty();
  }
  return keys;
}

}  // namespace

Result<storage::BlobKey> ReferenceOf(const TenantId& tenant, const std::string& place,
                                     const std::string& text) {
  auto key = storage::BlobKey::Parse(text);
  // Whether somebody else's object exists is nobody's business: both are the same error.
  if (key.ok() && key->tenant() == tenant.str()) return key;
  return InvalidArgument(
      "storyboard_reference",
      place + " is '" + Printable(text) + "'; it must be the key of an object of this tenant, or an address");
}

namespace {

Result<void> CheckReference(const TenantId& tenant, const std::string& place, const std::string& text) {
  if (FileFetcher::IsUrl(text)) return {};
  MEZZO_TRY_VOID(ReferenceOf(tenant, place, text));
  return {};
}

}  // namespace

Result<void> CheckReferences(const TenantId& tenant, const media::Storyboard& storyboard) {
  for (std::size_t i = 0; i < storyboard.shots.size(); ++i) {
    const std::string& picture = storyboard.shots[i].picture;
    if (!picture.empty())
      MEZZO_TRY_VOID(CheckReference(tenant, fmt::format("shots[{}].picture", i), picture));
  }
  if (storyboard.logo.has_value()) {
    MEZZO_TRY_VOID(CheckReference(tenant, "logo.picture", storyboard.logo->picture));
  }
  if (storyboard.music.has_value() && !storyboard.music->upload.empty()) {
    MEZZO_TRY_VOID(CheckReference(tenant, "music.upload", storyboard.music->upload));
  }
  return {};
}

ShotOrder OrderOf(const media::Storyboard& storyboard, std::size_t index, const std::string& model,
                  const std::string& version, const PaintingOptions& painting) {
  const media::StylePreset* style = media::FindStylePreset(storyboard.style);
  ShotOrder order{.model = model,
                  .version = version,
                  .prompt = media::StyledPrompt(*style, storyboard.shots[index].prompt),
                  .negative_prompt = std::string(style->negative_prompt),
                  .frame = SizeOf(storyboard.resolution, storyboard.aspect),
                  .steps = painting.steps,
                  .guidance = painting.guidance};
  if (painting.seed.has_value()) order.seed = *painting.seed + index;
  return order;
}

Result<std::string> StoryboardRun::Execute() {
  MEZZO_TRY_VOID(Prepare());
  MEZZO_TRY_VOID(FindOwnShots());
  MEZZO_TRY_VOID(PaintMissingShots());
  MEZZO_TRY(const media::Soundtrack sound, MakeSound());
  MEZZO_TRY(const media::RenderedVideo video, Encode(sound.mixer.get()));
  return StoreAll(video);
}

Result<void> StoryboardRun::Prepare() {
  MEZZO_TRY(StoryboardRequest request, ParseStoryboardRequest(run_.job().request));
  if (request.redo.has_value()) {
    redo_of_ = request.redo->job;
    MEZZO_TRY(manifest_, LoadManifest(redo_of_));
    MEZZO_TRY(manifest_.storyboard, ApplyChanges(manifest_.storyboard, request.redo->shots));
    for (const ShotChange& change : request.redo->shots) manifest_.shots[change.shot] = {};
    ++manifest_.version;
    // A new seed of the redo's own, unless one is asked for: the old one would give the old pictures.
    manifest_.painting.seed = request.painting.seed;
    if (request.painting.steps.has_value()) manifest_.painting.steps = request.painting.steps;
    if (request.painting.guidance.has_value()) manifest_.painting.guidance = request.painting.guidance;
    if (!request.model.empty()) {
      manifest_.model = request.model;
      manifest_.model_version = request.version;
    }
  } else {
    manifest_.model = request.model;
    manifest_.model_version = request.version;
    manifest_.storyboard = std::move(request.storyboard);
    manifest_.painting = request.painting;
  }
  MEZZO_TRY(storyboard_, media::ParseStoryboard(manifest_.storyboard, options_.limits));
  MEZZO_TRY_VOID(CheckReferences(tenant(), storyboard_));
  manifest_.shots.resize(storyboard_.shots.size());
  for (std::size_t i = 0; i < storyboard_.shots.size(); ++i) {
    const std::string& picture = storyboard_.shots[i].picture;
    if (!picture.empty()) manifest_.shots[i] = {.artifact = picture};
    const bool missing = manifest_.shots[i].artifact.empty();
    if (missing && manifest_.model.empty()) {
      return InvalidArgument("storyboard_request",
                             fmt::format("'model' is missing: shots[{}] must be painted", i));
    }
  }
  MEZZO_TRY(level_, Level());
  media::Degradation given_up = media::ApplyDegradation(level_, storyboard_);
  steps_factor_ = given_up.steps_factor;
  notes_ = std::move(given_up.notes);
  return {};
}

Result<StoryboardManifest> StoryboardRun::LoadManifest(const std::string& job) {
  MEZZO_TRY(const auto keys, ListJob(ports_.blobs, tenant(), job, StoreDeadline()));
  const storage::BlobKey* newest = nullptr;
  for (const storage::BlobKey& key : keys) {
    if (ManifestVersion(key.name()).has_value()) newest = &key;
  }
  if (newest == nullptr) {
    return NotFound("storyboard_unknown", "job '" + job + "' has no finished video to make again");
  }
  MEZZO_TRY(const std::string json, Read(*newest, kMaxManifestBytes));
  return StoryboardManifest::Parse(json);
}

Result<DegradationLevel> StoryboardRun::Level() {
  const Json checkpoint = Json::parse(run_.job().checkpoint, nullptr, /*allow_exceptions=*/false);
  if (checkpoint.is_object() && checkpoint.contains("degradation")) {
    const auto level = LevelOf(checkpoint.value("degradation", ""));
    if (level.has_value()) return *level;
  }
  const DegradationLevel level = ports_.level();
  MEZZO_TRY_VOID(run_.SaveCheckpoint(Json{{"degradation", media::DegradationName(level)}}.dump()));
  return level;
}

Result<void> StoryboardRun::FindOwnShots() {
  MEZZO_TRY(stored_, ListJob(ports_.blobs, tenant(), run_.job().fence.id.str(), StoreDeadline()));
  for (std::size_t i = 0; i < manifest_.shots.size(); ++i) {
    ShotRecord& shot = manifest_.shots[i];
    if (!shot.artifact.empty()) continue;
    shot.painted = true;
    own_shots_.push_back(i);
    shot.seed = manifest_.painting.seed.has_value() ? *manifest_.painting.seed + i
                                                    : SeedOf(run_.job().fence.id.str(), i);
  }
  return {};
}

void StoryboardRun::PickVersion() {
  version_ = manifest_.model_version;
  if (!version_.empty()) return;
  const bool kept = own_shots_.size() < static_cast<std::size_t>(std::count_if(
                                            manifest_.shots.begin(), manifest_.shots.end(),
                                            [](const ShotRecord& shot) { return shot.painted; }));
  if (kept && !manifest_.painted_by.empty()) {
    // A redo goes on by the version that has painted the shots it keeps, as long as there is one.
    ShotOrder order =
        OrderOf(storyboard_, own_shots_.front(), manifest_.model, manifest_.painted_by, manifest_.painting);
    order.tenant = tenant();
    const auto there = ports_.painter.Check(order);
    if (there.ok() || there.error().code() != Code::kNotFound) {
      version_ = manifest_.painted_by;
      return;
    }
    notes_.push_back("The shots that were kept are by version " + manifest_.painted_by +
                     " of the model, which is not served any more; the others are by another one.");
  }
  if (!ports_.pick) return;
  pick_.emplace(ports_.pick(tenant(), manifest_.model));
  if (pick_->route() == nullptr) return pick_.reset();
  version_ = pick_->version();
}

void StoryboardRun::TakeFinishedShots() {
  painting_ = {};
  painted_ = 0;
  for (const std::size_t i : own_shots_) {
    const std::string name = ShotName(i);
    const auto at = std::find_if(stored_.begin(), stored_.end(),
                                 [&name](const storage::BlobKey& key) { return key.name() == name; });
    manifest_.shots[i].artifact = at == stored_.end() ? std::string() : at->text();
  }
}

std::string StoryboardRun::ShotName(std::size_t shot) const {
  // What routes pick may change between attempts; a video is by one version.
  return pick_ ? Versioned(fmt::format("shot-{}-by-{}", shot, version_), "png")
               : Versioned(fmt::format("shot-{}", shot), "png");
}

Result<void> StoryboardRun::PaintMissingShots() {
  const auto painted = [](const ShotRecord& shot) { return shot.painted; };
  const bool any = std::any_of(manifest_.shots.begin(), manifest_.shots.end(), painted);
  if (any) painted_until_ = kPaintingPart;
  if (own_shots_.empty()) return {};
  PickVersion();
  TakeFinishedShots();
  if (!pick_) return PaintOwnShots();

  painting_until_ = TrialDeadline(*pick_, run_.ctx().deadline(), ports_.clock.Now());
  auto all = PaintOwnShots();
  if (!all.ok() && painter_failed_ && !run_.cancelled()) {
    const bool late = all.error().code() == Code::kDeadlineExceeded && painting_until_ < kNever;
    if (late ? pick_->FallBackLate() : pick_->FallBack(all.error())) {
      version_ = pick_->version();
      painting_until_ = kNever;
      TakeFinishedShots();
      all = PaintOwnShots();
    }
  }
  MEZZO_TRY_VOID(all);
  if (painted_ > 0) pick_->Succeeded(painting_ / painted_, /*kept=*/false, painting_ / painted_);
  route_ = pick_->stamp();
  return {};
}

Result<void> StoryboardRun::PaintOwnShots() {
  for (const std::size_t i : own_shots_) {
    if (manifest_.shots[i].artifact.empty()) MEZZO_TRY_VOID(PaintShot(i));
  }
  return {};
}

Result<void> StoryboardRun::PaintShot(std::size_t shot) {
  const std::size_t count = manifest_.shots.size();
  const std::string stage = fmt::format("shot {} of {}", shot + 1, count);
  const auto progress = [this, shot, count](double part) {
    return painted_until_ * (static_cast<double>(shot) + part) / static_cast<double>(count);
  };
  MEZZO_TRY_VOID(Step(progress(0), stage));
  ShotOrder order = OrderOf(storyboard_, shot, manifest_.model, version_, manifest_.painting);
  order.tenant = tenant();
  order.project = run_.job().project;
  order.key = run_.job().key;
  order.tier = run_.job().tier;
  order.seed = manifest_.shots[shot].seed;
  order.steps_factor = steps_factor_;
  // What can't be written down now is written down at the next step, or ends the job there.
  const auto report = [&](double part) { (void)run_.Report(progress(part), stage); };
  auto made = ports_.painter.Paint(run_.ctx().WithDeadline(painting_until_), order, report);
  painter_failed_ = !made.ok();
  MEZZO_TRY(const PaintedShot painted, std::move(made));
  run_.AddDeviceTime(painted.device_time);
  painting_ += painted.device_time;
  ++painted_;
  painted_by_ = painted.version;
  MEZZO_TRY(const std::string png, ports_.codec.Encode(painted.picture, media::PictureFormat::kPng, 100));
  MEZZO_TRY(const Stored stored, Store(ShotName(shot), AsBytes(png), "image/png"));
  manifest_.shots[shot].artifact = stored.artifact;
  return {};
}

Result<media::Soundtrack> StoryboardRun::MakeSound() {
  MEZZO_TRY_VOID(Step(painted_until_, "sound"));
  const media::SoundtrackTools tools{
      .decoder = ports_.sounds,
      .speech = ports_.speech,
      .upload = [this](const std::string& reference) -> Result<SharedBytes> {
        MEZZO_TRY(std::string file, ReadReference("music.upload", reference, options_.max_music_bytes));
        return SharedBytes::FromString(std::move(file));
      }};
  MEZZO_TRY(media::Soundtrack sound, media::MakeSoundtrack(storyboard_, tools, run_.ctx().deadline()));
  notes_.insert(notes_.end(), sound.notes.begin(), sound.notes.end());
  return sound;
}

Result<media::RenderedVideo> StoryboardRun::Encode(media::Mixer* sound) {
  const double rest = 1 - painted_until_;
  const double start = painted_until_ + rest * kSoundPart;
  MEZZO_TRY_VOID(Step(start, "encoding"));
  media::VideoInputs inputs{.picture = [this](std::size_t shot) { return PictureOf(shot); }, .sound = sound};
  if (storyboard_.logo.has_value()) {
    inputs.logo = [this] { return Upload("logo.picture", storyboard_.logo->picture); };
  }
  const bool webm = storyboard_.format == media::VideoFormat::kWebmVp9;
  MEZZO_TRY(const storage::BlobKey key, KeyOf(Versioned("video", ExtensionOf(storyboard_.format))));
  video_ = {.artifact = key.text(), .content_type = webm ? "video/webm" : "video/mp4"};
  MEZZO_TRY(const auto writer,
            ports_.blobs.Write(key, {.content_type = video_.content_type}, StoreDeadline()));
  const auto sink = [this, &writer](BytesView bytes) -> Result<void> {
    MEZZO_TRY_VOID(CheckAlive());
    return writer->Append(bytes, StoreDeadline());
  };
  const auto progress = [&](double part) {
    (void)run_.Report(start + rest * (kEncodingPart - kSoundPart) * part, "encoding");
  };
  MEZZO_TRY(media::RenderedVideo video,
            ports_.renderer.Render(run_.ctx(), storyboard_, inputs, sink, progress));
  MEZZO_TRY_VOID(Step(painted_until_ + rest * kEncodingPart, "storing"));
  MEZZO_TRY(const storage::BlobFacts facts, writer->Commit(StoreDeadline()));
  video_.bytes = facts.size;
  return video;
}

Result<std::string> StoryboardRun::StoreAll(const media::RenderedVideo& video) {
  const auto described = [](const Stored& stored) {
    return Json{
        {"artifact", stored.artifact}, {"content_type", stored.content_type}, {"bytes", stored.bytes}};
  };
  Json result;
  result["video"] = described(video_);
  result["video"].update({{"width", video.size.width},
                          {"height", video.size.height},
                          {"fps", storyboard_.fps},
                          {"frames", video.file.frames},
                          {"duration_seconds", Seconds(video.file.duration)}});
  MEZZO_TRY(const Stored thumbnail, StorePreview("thumbnail", video.thumbnail));
  result["thumbnail"] = described(thumbnail);
  MEZZO_TRY(const Stored sprites, StorePreview("sprites", video.sprite_sheet));
  result["sprites"] = described(sprites);
  result["sprites"].update({{"tile_width", video.sprite_tile.width},
                            {"tile_height", video.sprite_tile.height},
                            {"columns", video.sprite_columns},
                            {"count", video.sprite_count}});
  result["subtitles"] = Json::array();
  for (const media::SubtitleTrack& track : video.subtitles) {
    const std::string_view language = media::LanguageTag(track.language);
    MEZZO_TRY(const Stored text, Store(Versioned(fmt::format("subtitles-{}", language), "vtt"),
                                       AsBytes(media::ToWebVtt(track)), "text/vtt"));
    result["subtitles"].push_back(described(text));
    result["subtitles"].back()["language"] = language;
  }
  result["shots"] = Json::array();
  for (const ShotRecord& shot : manifest_.shots) {
    Json item = {{"artifact", shot.artifact}, {"painted", shot.painted}};
    if (shot.painted) item["seed"] = shot.seed;
    result["shots"].push_back(std::move(item));
  }
  result["model"] = manifest_.model;
  result["version"] = manifest_.version;
  if (painted_by_.empty() && !own_shots_.empty()) painted_by_ = version_;
  if (!painted_by_.empty()) result["model_version"] = painted_by_;
  if (!route_.empty()) result["route"] = route_;
  if (!painted_by_.empty()) manifest_.painted_by = painted_by_;
  if (!redo_of_.empty()) result["redo_of"] = redo_of_;
  result["degradation"] = media::DegradationName(level_);
  result["notes"] = notes_;
  // Last: a job that has it has everything.
  MEZZO_TRY(const Stored kept,
            Store(Versioned("storyboard", "json"), AsBytes(manifest_.ToJson()), "application/json"));
  result["storyboard"] = described(kept);
  const auto length = std::chrono::duration_cast<std::chrono::milliseconds>(video.file.duration);
  run_.Made(manifest_.model, painted_by_.empty() ? manifest_.model_version : painted_by_,
            {.images = static_cast<std::int64_t>(own_shots_.size()),
             .video_ms = length.count(),
             .bytes_out = static_cast<std::int64_t>(video_.bytes)});
  return result.dump();
}

Result<media::RgbaPicture> StoryboardRun::PictureOf(std::size_t shot) {
  const ShotRecord& record = manifest_.shots[shot];
  const std::string place = fmt::format("shots[{}].picture", shot);
  if (!record.painted) return Upload(place, record.artifact);
  MEZZO_TRY(const storage::BlobKey key, ReferenceOf(tenant(), place, record.artifact));
  MEZZO_TRY(const std::string file, Read(key, options_.max_picture_bytes));
  return ports_.codec.Decode(AsBytes(file), {.max_bytes = options_.max_picture_bytes}, {});
}

Result<media::RgbaPicture> StoryboardRun::Upload(const std::string& place, const std::string& reference) {
  MEZZO_TRY(const std::string file, ReadReference(place, reference, options_.max_picture_bytes));
  // Twice the frame leaves every motion its pixels.
  const media::FrameSize frame = SizeOf(storyboard_.resolution, storyboard_.aspect);
  const TimePoint deadline =
      std::min(run_.ctx().deadline(), AddSaturating(ports_.clock.Now(), options_.picture_timeout));
  auto picture = ports_.uploads.Decode(AsBytes(file), {2 * frame.width, 2 * frame.height}, deadline);
  if (!picture.ok()) return std::move(picture).error().WithContext(place);
  return picture;
}

Result<std::string> StoryboardRun::Read(const storage::BlobKey& key, ByteCount max_bytes) {
  return storage::ReadBlob(ports_.blobs, key, max_bytes, StoreDeadline());
}

Result<std::string> StoryboardRun::ReadReference(const std::string& place, const std::string& reference,
                                                 ByteCount max_bytes) {
  if (!FileFetcher::IsUrl(reference)) {
    MEZZO_TRY(const storage::BlobKey key, ReferenceOf(tenant(), place, reference));
    return Read(key, max_bytes);
  }
  auto fetched = ports_.files.Fetch(run_.ctx(), reference, max_bytes);
  if (!fetched.ok()) return std::move(fetched).error().WithContext(place);
  return fetched;
}

Result<StoryboardRun::Stored> StoryboardRun::Store(const std::string& name, BytesView bytes,
                                                   const std::string& content_type) {
  MEZZO_TRY(const storage::BlobKey key, KeyOf(name));
  MEZZO_TRY_VOID(
      storage::WriteBlob(ports_.blobs, key, bytes, {.content_type = content_type}, StoreDeadline()));
  return Stored{.artifact = key.text(), .content_type = content_type, .bytes = bytes.size()};
}

Result<StoryboardRun::Stored> StoryboardRun::StorePreview(const std::string& name,
                                                          const media::RgbaPicture& picture) {
  MEZZO_TRY(const std::string webp,
            ports_.codec.Encode(picture, media::PictureFormat::kWebp, options_.preview_quality));
  return Store(Versioned(name, "webp"), AsBytes(webp), "image/webp");
}

Result<storage::BlobKey> StoryboardRun::KeyOf(const std::string& name) const {
  const jobs::Fence& fence = run_.job().fence;
  return storage::BlobKey::Make(tenant(), fence.id.str(), static_cast<std::uint32_t>(fence.attempt), name);
}

std::string StoryboardRun::Versioned(std::string_view stem, std::string_view extension) const {
  return fmt::format("{}-v{}.{}", stem, manifest_.version, extension);
}

Result<void> StoryboardRun::Step(double progress, const std::string& stage) {
  MEZZO_TRY_VOID(CheckAlive());
  return run_.Report(progress, stage);
}

Result<void> StoryboardRun::CheckAlive() const {
  if (run_.cancelled()) return Cancelled("cancelled", "the storyboard job was cancelled");
  if (ports_.clock.Now() >= run_.ctx().deadline())
    return DeadlineExceeded("deadline", "the storyboard job's deadline has passed");
  return {};
}

TimePoint StoryboardRun::StoreDeadline() const {
  return std::min(run_.ctx().deadline(), AddSaturating(ports_.clock.Now(), options_.store_timeout));
}

}  // namespace mezzo::generation::internal
