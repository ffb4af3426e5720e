#pragma once

#include <functional>

#include "mezzo/api/platform/problem.h"
#include "mezzo/cache/recent_items.h"
#include "mezzo/cache/result_cache.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::platform {

/// The cache of answers (docs/protocol-tenants.md):
///
///     GET   /v1/cache          what it holds and has done, by model, on this host
///     POST  /v1/cache/purge    {"model": "m"}: no answer of the model that was computed before is served by
///                              any host; without a model, of all
///
/// Errors are problem details. Thread-safe.
class CacheHandler final : public ProblemProtocol {
 public:
  /// All outlive the handler.
  struct Ports {
    cache::ResultCache& results;
    cache::MemoryTier& tier;
    cache::RecentItems& recent;
    runtime::BlockingPool& pool;  ///< Runs `purge`.
    /// Makes what was computed so far invisible to all hosts; an empty name: of all models. Blocks.
    std::function<Result<void>(std::string_view model)> purge;
  };
  explicit CacheHandler(Ports ports) : ports_(std::move(ports)) {}

  static constexpr const char* kRoot = "/v1/cache";
  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  [[nodiscard]] net::HttpResponse Statistics() const;

  const Ports ports_;
};

}  // namespace mezzo::api::platform
