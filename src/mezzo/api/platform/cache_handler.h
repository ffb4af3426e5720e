#pragma once

#include <functional>
#include <optional>
#include <string>

#include "mezzo/api/platform/problem.h"
#include "mezzo/cache/recent_items.h"
#include "mezzo/cache/result_cache.h"
#include "mezzo/cache/shared_tier.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::platform {

/// The cache of answers (docs/protocol-tenants.md):
///
///     GET   /v1/cache          what it holds and has done, by model, on this host
///     POST  /v1/cache/purge    {"model": "m"}: no answer of the model that was computed before is served by
///                              any host; {"all": true}: of any model. With "tenant": only what that tenant's
///                              calls were answered
///
/// Errors are problem details. Thread-safe.
class CacheHandler final : public ProblemProtocol {
 public:
  /// What is no longer to be served.
  struct Purge {
    std::string model;   ///< Empty: all.
    std::string tenant;  ///< Empty: whoever's.
  };
  /// All outlive the handler.
  struct Ports {
    cache::ResultCache& results;
    cache::MemoryTier& tier;
    cache::RecentItems& recent;
    runtime::BlockingPool& pool;  ///< Runs `purge`.
    /// Of the tier that hosts share; nothing without one.
    std::function<std::optional<cache::SharedTier::Statistics>()> shared;
    /// Makes what was computed so far invisible to all hosts. Blocks.
    std::function<Result<void>(const Purge& what)> purge;
  };
  explicit CacheHandler(Ports ports) : ports_(std::move(ports)) {}

  static constexpr const char* kRoot = "/v1/cache";
  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  [[nodiscard]] net::HttpResponse Statistics() const;
  static Result<Purge> PurgeOf(const RoutedCall& call);

  const Ports ports_;
};

}  // namespace mezzo::api::platform
