#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string_view>

#include "mezzo/api/platform/cache_handler.h"
#include "mezzo/api/platform/corrections_handler.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/server_config.h"
#include "mezzo/app/shared_state.h"
#include "mezzo/cache/correction_store.h"
#include "mezzo/cache/corrections.h"
#include "mezzo/cache/epoch_feed.h"
#include "mezzo/cache/epoch_store.h"
#include "mezzo/cache/memory_tier.h"
#include "mezzo/cache/publications.h"
#include "mezzo/cache/recent_items.h"
#include "mezzo/cache/result_cache.h"
#include "mezzo/cache/shared_tier.h"
#include "mezzo/cache/shared_tier_metrics.h"
#include "mezzo/cache/tenant_epochs.h"
#include "mezzo/inference/answer_cache.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/scope.h"

namespace mezzo::app {

/// The cache of this server's answers, wired: with a database, as old as its epochs allow; with Redis
/// besides, shared with the other hosts.
class AnswerCaching {
 public:
  /// All outlive this. `store` is null without a database.
  struct Ports {
    DataStore* store = nullptr;
    const Clock& clock;
    observe::Registry& registry;
    observe::Logger& log;
    cache::RecentItems& recent;  ///< Shown beside the answers.
  };
  AnswerCaching(const CacheConfig& config, Ports ports);

  [[nodiscard]] inference::AnswerCache& answers() { return answers_; }
  [[nodiscard]] api::Protocol& handler() { return handler_; }
  /// Models that declare `shared` share through `state`, if other hosts see it and there is a database.
  /// Before Start(); both outlive the calls, and `loops` runs until Stop() has returned. Fails when the
  /// database does.
  Result<void> Share(SharedState& state, runtime::IoThreads& loops);
  /// For corrections of what `service`, which outlives it, answers; null without a database.
  [[nodiscard]] std::unique_ptr<api::Protocol> NewCorrectionsHandler(inference::Service& service);
  void Start();
  void Stop();

 private:
  [[nodiscard]] std::optional<cache::SharedTier::Statistics> SharedStatistics() const;
  Result<void> Purge(const api::platform::CacheHandler::Purge& what);

  const CacheConfig config_;
  const Ports ports_;
  cache::MemoryTier tier_;
  cache::ResultCache results_;
  cache::TenantEpochs tenants_;
  cache::Corrections corrections_;
  std::optional<cache::EpochStore> epochs_;
  std::optional<cache::CorrectionStore> correction_store_;  // With `epochs_`.
  std::unique_ptr<cache::EpochFeed> feed_;
  std::unique_ptr<cache::Publications> publications_;  // With `feed_`.
  inference::AnswerCache answers_;
  runtime::BlockingPool pool_;
  api::platform::CacheHandler handler_;
  runtime::BlockingPool seal_pool_;
  std::unique_ptr<cache::SharedTier> hosts_;
  std::atomic<const cache::SharedTier*> shown_{nullptr};  // Partner: hosts_, set before it.
  cache::SharedTierMetrics shared_metrics_;
  runtime::Scope background_;  // Last: its tasks use the tier.
};

}  // namespace mezzo::app
