#include "mezzo/generation/internal/image_wait.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/runtime/task.h"

namespace mezzo::generation::internal {
namespace {

/// Carries what happens from the device's threads to the one that waits.
class Watch final : public ImageObserver {
 public:
  explicit Watch(std::size_t images) : images_(images) {}

  struct Preview {
    std::size_t image = 0;
    std::size_t preview = 0;
    tensor::Tensor sample;
  };
  struct News {
    double done = 0;
    std::vector<Preview> previews;
    std::optional<Result<ImageResult>> result;
    Duration device_time{};
  };

  void OnStep(const ImageStep& step) override {
    MutexLock lock(mu_);
    news_.done += 1.0 / static_cast<double>(step.steps * images_);
    changed_.NotifyOne();
  }
  void OnPreview(std::size_t image, std::size_t preview, tensor::Tensor sample) override {
    MutexLock lock(mu_);
    news_.previews.push_back({image, preview, std::move(sample)});  // As many as the request asks for.
    changed_.NotifyOne();
  }
  void OnEnd(Duration device_time) override {
    MutexLock lock(mu_);
    news_.device_time = device_time;
  }
  void Answer(Result<ImageResult> result) {
    MutexLock lock(mu_);
    news_.result.emplace(std::move(result));
    changed_.NotifyOne();
  }

  News Await(Duration longest) {
    MutexLock lock(mu_);
    if (!news_.result.has_value()) (void)changed_.WaitUntil(mu_, std::chrono::steady_clock::now() + longest);
    News news = std::exchange(news_, News{.done = news_.done, .device_time = news_.device_time});
    news.done = std::min(news.done, 1.0);
    return news;
  }

 private:
  const std::size_t images_;
  Mutex mu_;
  CondVar changed_;
  News news_ GUARDED_BY(mu_);
};

}  // namespace

AwaitedImages AwaitImages(const runtime::Context& ctx, const ImageWait& wait, ImageRequest request) {
  Watch watch(request.images);
  wait.loop.Post([&] {
    runtime::Start(
        wait.service.Generate(ctx, wait.caller, wait.model, wait.version, std::move(request), &watch),
        [&](Result<ImageResult> result) { watch.Answer(std::move(result)); });
  });
  while (true) {
    constexpr Duration kLook = std::chrono::milliseconds(250);
    Watch::News news = watch.Await(kLook);
    if (wait.preview) {
      for (const Watch::Preview& one : news.previews) wait.preview(one.image, one.preview, one.sample);
    }
    if (news.result.has_value()) return {*std::move(news.result), news.device_time};
    wait.progress(news.done);
  }
}

}  // namespace mezzo::generation::internal
