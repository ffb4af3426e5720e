#include "mezzo/generation/picture_shadows.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "mezzo/inference/call_fault.h"
#include "mezzo/media/ssim.h"

namespace mezzo::generation {
namespace {

constexpr std::size_t kChannels = 3;

/// A host that is busy, or a caller's limit, says nothing about a version.
bool SaysNothing(const Error& error) {
  const inference::Fault fault = inference::FaultOf(error);
  return fault == inference::Fault::kCaller || fault == inference::Fault::kOverload ||
         error.reason() == "too_many_images" || error.reason() == "queue_full";
}

}  // namespace

double Likeness(const tensor::Tensor& a, const tensor::Tensor& b) {
  const auto left = ToUnitRange(a);
  const auto right = ToUnitRange(b);
  if (!left.ok() || !right.ok() || !(a.shape == b.shape)) return 0;
  const auto height = static_cast<std::size_t>(a.shape[2]);
  const auto width = static_cast<std::size_t>(a.shape[3]);
  double sum = 0;
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    const auto plane = [&](const std::vector<float>& values) {
      const auto first = values.begin() + static_cast<std::ptrdiff_t>(channel * height * width);
      return std::vector<double>(first, first + static_cast<std::ptrdiff_t>(height * width));
    };
    const std::vector<double> one = plane(*left);
    const std::vector<double> other = plane(*right);
    const auto alike = media::Ssim({one, static_cast<int>(width), static_cast<int>(height)},
                                   {other, static_cast<int>(width), static_cast<int>(height)}, 1);
    if (!alike.ok() || !std::isfinite(*alike)) return 0;
    sum += *alike;
  }
  return sum / kChannels;
}

double Likeness(std::span<const tensor::Tensor> a, std::span<const tensor::Tensor> b) {
  if (a.size() != b.size() || a.empty()) return 0;
  double least = 1;
  for (std::size_t i = 0; i < a.size(); ++i) least = std::min(least, Likeness(a[i], b[i]));
  return least;
}

struct PictureShadows::Copy {
  releases::LiveRouteRef route;
  std::size_t shadow = 0;
  std::string version;
  Made made;
};

void PictureShadows::Start(const releases::LiveRouteRef& route, std::uint64_t random, const Made& made) {
  if (route == nullptr) return;
  for (const std::size_t i : route->EnterShadows(random)) {
    releases::LiveShadow& live = route->shadow(i);
    if (in_flight_.fetch_add(1, std::memory_order_relaxed) >= options_.max_in_flight) {
      in_flight_.fetch_sub(1, std::memory_order_relaxed);
      live.Leave();
      live.CountDropped();
      continue;
    }
    auto copy = std::make_shared<Copy>();
    copy->route = route;
    copy->shadow = i;
    copy->version = route->table().shadow_targets()[i].version;
    copy->made = made;
    copy->made.caller.cls = sched::Class::kBulk;
    copy->made.caller.charged = false;
    const auto ctx = runtime::Context().WithDeadline(AddSaturating(ports_.clock.Now(), options_.longest));
    const bool spawned = ports_.scope.Spawn(
        ports_.loop, ctx, [this, copy](runtime::Context own) { return Run(std::move(own), copy); });
    if (spawned) continue;
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    live.Leave();
  }
}

runtime::Task<Result<void>> PictureShadows::Run(runtime::Context ctx, std::shared_ptr<Copy> copy) {
  releases::LiveShadow& live = copy->route->shadow(copy->shadow);
  Made& made = copy->made;
  const auto result =
      co_await ports_.service.Generate(ctx, made.caller, made.model, copy->version, made.request, nullptr);
  if (!result.ok()) {
    if (SaysNothing(result.error())) {
      live.CountDropped();
    } else {
      live.CountFailed();
      live.Record({.failed = true});
    }
  } else {
    std::vector<tensor::Tensor> pictures;
    for (const GeneratedImage& image : result->images) pictures.push_back(image.sample);
    const auto count = static_cast<std::int64_t>(std::max<std::size_t>(pictures.size(), 1));
    const Duration each = result->device_time / count;
    struct Compared {
      double likeness = 0;
      releases::AnswerDifference difference;
    };
    auto compare = [&]() -> Result<Compared> {
      Compared compared{.likeness = Likeness(made.pictures, pictures), .difference = {}};
      releases::AnswerDifference& all = compared.difference;
      all.exact = all.comparable = made.pictures.size() == pictures.size();
      for (std::size_t i = 0; all.comparable && i < pictures.size(); ++i) {
        all.Take(releases::CompareTensors("image", made.pictures[i], pictures[i]));
      }
      return compared;
    };
    const auto compared = co_await runtime::Offload(ports_.pool, std::move(compare));
    if (compared.ok()) {
      live.Record({.latency = each, .cost = Seconds(each), .likeness = compared->likeness});
      live.CountAnswer(compared->difference);
    } else {
      live.CountDropped();  // The pool is full.
    }
  }
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  live.Leave();
  co_return Result<void>();
}

}  // namespace mezzo::generation
