#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "mezzo/api/platform/cache_handler.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/server_config.h"
#include "mezzo/cache/epoch_feed.h"
#include "mezzo/cache/epoch_store.h"
#include "mezzo/cache/memory_tier.h"
#include "mezzo/cache/recent_items.h"
#include "mezzo/cache/result_cache.h"
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
    cache::RecentItems& recent;  ///< Shown beside the answers.
  };
  AnswerCaching(const CacheConfig& config, Ports ports);

  [[nodiscard]] inference::AnswerCache& answers() { return answers_; }
  [[nodiscard]] api::Protocol& handler() { return handler_; }
  void Start();
  void Stop();

 private:
  Result<void> Purge(std::string_view model);

  const Ports ports_;
  cache::MemoryTier tier_;
  cache::ResultCache results_;
  std::optional<cache::EpochStore> epochs_;
  std::unique_ptr<cache::EpochFeed> feed_;
  inference::AnswerCache answers_;
  runtime::BlockingPool pool_;
  api::platform::CacheHandler handler_;
};

}  // namespace mezzo::app
