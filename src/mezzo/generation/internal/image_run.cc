#include "mezzo/generation/internal/image_run.h"

#include <algorithm>
#include <string>
#include <utility>

namespace mezzo::generation::internal {
namespace {

/// A network that was fixed to one size of picture (`fixed_dims`) draws no other.
Result<void> CheckFixedSize(const Pipeline& pipeline, const ImagePlan& plan) {
  const tensor::Shape& shape = FindInput(*pipeline.unet, "sample")->shape;
  const auto fits = [](std::int64_t fixed, std::size_t wanted) {
    return fixed < 0 || fixed == static_cast<std::int64_t>(wanted);
  };
  if (shape.rank() != 4 || (fits(shape[2], plan.latent_height) && fits(shape[3], plan.latent_width)))
    return {};
  const auto side = [&pipeline](std::int64_t fixed, int wanted) {
    return std::to_string(fixed < 0 ? wanted : fixed * static_cast<std::int64_t>(pipeline.config.vae_factor));
  };
  return InvalidArgument("image_request",
                         "'size' is " + std::to_string(plan.size.width) + "x" +
                             std::to_string(plan.size.height) + "; this pipeline was fixed to " +
                             side(shape[3], plan.size.width) + "x" + side(shape[2], plan.size.height));
}

}  // namespace

Result<std::unique_ptr<ImageRun>> ImageRun::Make(Ports ports, Flow flow, PipelineRef pipeline,
                                                 ImageRequest request, const ImageLimits& limits) {
  MEZZO_TRY(ImagePlan plan, MakePlan(request, pipeline->config, limits));
  MEZZO_TRY_VOID(CheckFixedSize(*pipeline, plan));
  std::unique_ptr<ImageRun> run(
      new ImageRun(ports, flow, std::move(pipeline), std::move(request), std::move(plan)));
  MEZZO_TRY_VOID(run->AddTexts());
  if (run->plan_.from_picture) MEZZO_TRY_VOID(run->AddEncodings());
  for (std::size_t i = 0; i < run->request_.images; ++i) {
    MEZZO_TRY(auto track, PictureTrack::Make(*run->pipeline_, run->plan_, run->request_.seed + i, *run));
    run->tracks_.push_back(std::move(track));
  }
  for (StageItem* item : run->items_) {  // What the pictures begin with; their own chains follow.
    item->chain = run.get();
    item->chain_rows = static_cast<std::uint32_t>(run->tracks_.size() * (run->plan_.two_rows ? 2 : 1));
  }
  for (const auto& track : run->tracks_) {
    for (StageItem* item : track->items()) run->items_.push_back(item);
  }
  for (StageItem* item : run->items_) {
    item->tenant = flow.tenant;
    item->cls = flow.cls;
  }
  return run;
}

ImageRun::ImageRun(Ports ports, Flow flow, PipelineRef pipeline, ImageRequest request, ImagePlan plan)
    : ports_(ports),
      flow_(flow),
      pipeline_(std::move(pipeline)),
      request_(std::move(request)),
      plan_(std::move(plan)) {}

Result<void> ImageRun::AddTexts() {
  for (std::size_t i = 0; i < pipeline_->text_encoders.size(); ++i) {
    TextStage stage;
    MEZZO_TRY(stage.prompt, MakePromptCall(*pipeline_, i, request_, plan_));
    stage.item = std::make_unique<StageItem>(*this);
    stage.item->call() = stage.prompt.call;
    MEZZO_TRY_VOID(stage.item->Prepare(*pipeline_->text_encoders[i].model));
    items_.push_back(stage.item.get());
    texts_.push_back(std::move(stage));
  }
  return {};
}

Result<void> ImageRun::AddEncodings() {
  const models::ModelVersion& encoder = *pipeline_->vae_encoder;
  PictureInput input =
      MakePictureInput(request_, plan_, pipeline_->config.vae_factor, FindInput(encoder, "sample")->dtype);
  start_.mask = std::move(input.mask);
  const auto add = [&](tensor::Tensor pixels) -> Result<void> {
    auto item = std::make_unique<StageItem>(*this);
    item->call().model = encoder.name;
    item->call().inputs.push_back({.name = "sample", .tensor = std::move(pixels)});
    const bool distribution = FindOutput(encoder, "latent_parameters") != nullptr;
    item->call().outputs.push_back({.name = distribution ? "latent_parameters" : "latent_sample"});
    MEZZO_TRY_VOID(item->Prepare(encoder));
    items_.push_back(item.get());
    encodings_.push_back(std::move(item));
    return {};
  };
  MEZZO_TRY_VOID(add(std::move(input.picture)));
  // Other networks do not look at it.
  if (plan_.sees_mask) MEZZO_TRY_VOID(add(*std::move(input.masked)));
  return {};
}

void ImageRun::Start(std::coroutine_handle<> handle) {
  home_ = runtime::Loop::Current();
  MEZZO_CHECK(home_ != nullptr);
  waiting_ = handle;
  started_ = ports_.clock.Now();
  under_way_ = 1;  // This function itself.
  {
    MutexLock lock(mu_);
    stages_before_ = texts_.size() + encodings_.size();
  }
  for (TextStage& text : texts_) Submit(*text.item);
  for (const auto& encoding : encodings_) Submit(*encoding);
  Leave();
}

void ImageRun::Submit(StageItem& item) {
  {
    MutexLock lock(mu_);
    if (error_.has_value()) return;
  }
  under_way_.fetch_add(1, std::memory_order_relaxed);
  if (auto submitted = ports_.executor.Submit(item); !submitted.ok()) {
    Fail(std::move(submitted).error());
    Leave();
    return;
  }
  bool stopped = false;
  {
    MutexLock lock(mu_);
    stopped = error_.has_value();
  }
  // Whoever stopped the run meanwhile may not have seen this item in the queue.
  if (stopped) ports_.executor.Cancel(item);
}

void ImageRun::StageEnded(StageItem& item, const Error* error) {
  if (flow_.account != nullptr) flow_.account->Add({.device_ns = item.device_time().count()});
  bool stopped = false;
  {
    MutexLock lock(mu_);
    device_time_ += item.device_time();
    stopped = error_.has_value();
  }
  if (error != nullptr) {
    Fail(*error);
  } else if (!stopped) {
    if (auto continued = Continue(item); !continued.ok()) Fail(std::move(continued).error());
  }
  Leave();
}

Result<void> ImageRun::Continue(StageItem& item) {
  for (std::size_t i = 0; i < tracks_.size(); ++i) {
    PictureTrack& track = *tracks_[i];
    if (track.IsStep(item)) {
      if (!track.StepItemEnded()) return {};
      MEZZO_TRY_VOID(track.FinishStep());
      {
        MutexLock lock(mu_);
        if (first_step_ == Duration::zero()) first_step_ = ports_.clock.Now() - started_;
      }
      if (ports_.observer != nullptr)
        ports_.observer->OnStep({.image = i, .step = track.steps_taken(), .steps = track.steps()});
      MEZZO_TRY_VOID(MaybePreview(i));
      return ContinueTrack(i);
    }
    if (&item == &track.decode_item()) {
      track.FinishDecoding();
      return {};
    }
    if (&item == &track.preview_item()) {
      auto [preview, sample] = track.FinishPreview();
      ports_.observer->OnPreview(i, preview, std::move(sample));
      return {};
    }
  }
  bool last = false;
  {
    MutexLock lock(mu_);
    last = --stages_before_ == 0;
  }
  return last ? BeginSteps() : Result<void>();
}

Result<void> ImageRun::BeginSteps() {
  std::vector<PromptCall> calls;
  std::vector<std::vector<tensor::Tensor>> outputs;
  for (TextStage& text : texts_) {
    outputs.push_back(std::move(text.item->outputs()));
    calls.push_back(std::move(text.prompt));
  }
  if (!encodings_.empty()) {
    MEZZO_TRY(start_.picture, ReadPictureLatents(encodings_[0]->outputs()[0], plan_.latent_count));
  }
  if (encodings_.size() > 1) {
    MEZZO_TRY(start_.masked, ReadPictureLatents(encodings_[1]->outputs()[0], plan_.latent_count));
  }
  MEZZO_TRY(const Conditions conditions, MakeConditions(*pipeline_, request_, plan_, calls, outputs));
  for (std::size_t i = 0; i < tracks_.size(); ++i) {
    tracks_[i]->Begin(conditions, start_);
    MEZZO_TRY_VOID(ContinueTrack(i));
  }
  return {};
}

Result<void> ImageRun::ContinueTrack(std::size_t index) {
  const TimePoint now = ports_.clock.Now();
  if (now > flow_.deadline) {
    return DeadlineExceeded("deadline", "the deadline passed after step " +
                                            std::to_string(tracks_[index]->steps_taken()) + " of " +
                                            std::to_string(tracks_[index]->steps()));
  }
  MEZZO_TRY(const auto items, tracks_[index]->NextStage());
  for (StageItem* item : items) Submit(*item);
  return {};
}

Result<void> ImageRun::MaybePreview(std::size_t index) {
  if (ports_.observer == nullptr) return {};
  MEZZO_TRY(StageItem* const item, tracks_[index]->NextPreview(request_.previews));
  if (item != nullptr) Submit(*item);
  return {};
}

void ImageRun::Cancel() { Fail(Cancelled("cancelled", "the request was cancelled")); }

void ImageRun::Fail(Error error) {
  {
    MutexLock lock(mu_);
    if (error_.has_value()) return;
    error_.emplace(std::move(error));
  }
  for (StageItem* item : items_) ports_.executor.Cancel(*item);
}

void ImageRun::Leave() {
  if (under_way_.fetch_sub(1, std::memory_order_acq_rel) == 1) home_->PostResume(waiting_);
}

Duration ImageRun::device_time() const {
  MutexLock lock(mu_);
  return device_time_;
}

Result<ImageResult> ImageRun::TakeResult() {
  MutexLock lock(mu_);
  if (error_.has_value()) return *error_;
  ImageResult result;
  result.version = pipeline_->version;
  result.steps = tracks_.front()->steps();
  result.device_time = device_time_;
  result.first_step = first_step_;
  for (const auto& track : tracks_)
    result.images.push_back({.seed = track->seed(),
                             .steps_reused = track->steps_reused(),
                             .sample = track->TakeSample(),
                             .latents = track->TakeLatents()});
  return result;
}

}  // namespace mezzo::generation::internal
