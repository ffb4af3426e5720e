#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/generation/image_service.h"
#include "mezzo/releases/router.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/scope.h"

namespace mezzo::generation {

/// How like two pictures are: the mean SSIM of their channels, 1 for equal ones. Both FP16 or FP32
/// [1, 3, height, width]; 0 when sizes differ or are below SSIM's window, or values are not finite. Costs
/// milliseconds: for pools.
double Likeness(const tensor::Tensor& a, const tensor::Tensor& b);
/// The least of pairs of pictures; 0 when there are not as many of both.
double Likeness(std::span<const tensor::Tensor> a, std::span<const tensor::Tensor> b);

/// Makes copies of image jobs by the versions that a route shadows, compares their pictures with those that
/// the callers got, and tells the route: failures, device seconds a picture, likeness. Copies run in the bulk
/// class, are not charged, and are never seen by anybody. Thread-safe.
class PictureShadows {
 public:
  struct Options {
    std::size_t max_in_flight = 4;  ///< Of all models; a route has its own limit.
    Duration longest = std::chrono::minutes(10);
  };
  /// All outlive this, and the scope's tasks end before it goes. `pool` compares.
  struct Ports {
    ImageService& service;
    runtime::BlockingPool& pool;
    runtime::Loop& loop;
    runtime::Scope& scope;
    const Clock& clock;
  };
  PictureShadows(Options options, Ports ports) : options_(options), ports_(ports) {}

  /// What a job was and what it made.
  struct Made {
    ImageService::Caller caller;
    ModelName model;
    ImageRequest request;  ///< With the seed that was used.
    std::vector<tensor::Tensor> pictures;
  };
  /// Begins the copies that the route wants of a job; `random` draws which ones, as
  /// releases::RouteTable::Shadowed() takes it. Never waits: what there is no room for is counted as dropped.
  void Start(const releases::LiveRouteRef& route, std::uint64_t random, const Made& made);

  [[nodiscard]] std::size_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

 private:
  struct Copy;
  runtime::Task<Result<void>> Run(runtime::Context ctx, std::shared_ptr<Copy> copy);

  const Options options_;
  const Ports ports_;
  std::atomic<std::size_t> in_flight_{0};  // A count with a limit; no partner.
};

}  // namespace mezzo::generation
