#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "mezzo/api/platform/cache_handler.h"
#include "mezzo/api/platform/corrections_handler.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/server_config.h"
#include "mezzo/cache/correction_store.h"
#include "mezzo/cache/corrections.h"
#include "mezzo/cache/epoch_feed.h"
#include "mezzo/cache/epoch_store.h"
#include "mezzo/cache/memory_tier.h"
#include "mezzo/cache/publications.h"
#include "mezzo/cache/result_cache.h"
#include "mezzo/cache/tenant_epochs.h"
#include "mezzo/inference/answer_cache.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::app {

/// The cache of this server's answers, wired: with a database, as old as its epochs allow.
class AnswerCaching {
 public:
  /// All outlive this. `store` is null without a database.
  struct Ports {
    DataStore* store = nullptr;
    const Clock& clock;
    observe::Registry& registry;
    observe::Logger& log;
  };
  AnswerCaching(const CacheConfig& config, Ports ports);

  [[nodiscard]] inference::AnswerCache& answers() { return answers_; }
  [[nodiscard]] api::Protocol& handler() { return handler_; }
  /// For corrections of what `service`, which outlives it, answers; null without a database.
  [[nodiscard]] std::unique_ptr<api::Protocol> NewCorrectionsHandler(inference::Service& service);
  void Start();
  void Stop();

 private:
  Result<void> Purge(const api::platform::CacheHandler::Purge& what);

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
};

}  // namespace mezzo::app
