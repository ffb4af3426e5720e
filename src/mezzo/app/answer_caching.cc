#include "mezzo/app/answer_caching.h"

#include <string>

namespace mezzo::app {
namespace {

constexpr Duration kPurgeTime = std::chrono::seconds(10);

}  // namespace

AnswerCaching::AnswerCaching(const CacheConfig& config, Ports ports)
    : ports_(ports),
      tier_({.max_bytes = config.max_bytes, .max_entry_bytes = config.max_bytes / 8}, ports.clock),
      results_({}, tier_, ports.clock),
      epochs_(ports.store == nullptr ? std::nullopt
                                     : std::make_optional<cache::EpochStore>(ports.store->db())),
      feed_(!epochs_ ? nullptr
                     : std::make_unique<cache::EpochFeed>(
                           cache::EpochFeed::Options{.poll = config.poll_interval,
                                                     .max_staleness = config.max_staleness},
                           cache::EpochFeed::Ports{.store = *epochs_,
                                                   .db = ports.store->db(),
                                                   .results = results_,
                                                   .clock = ports.clock,
                                                   .log = ports.log})),
      answers_({.results = results_,
                .tier = tier_,
                .epochs = feed_.get(),
                .clock = ports.clock,
                .registry = ports.registry}),
      pool_({.name = "cache", .threads = 1, .max_queued = 64}),
      handler_({.results = results_,
                .tier = tier_,
                .recent = ports.recent,
                .pool = pool_,
                .purge = [this](std::string_view model) { return Purge(model); }}) {}

void AnswerCaching::Start() {
  if (feed_ != nullptr) feed_->Start();
}

void AnswerCaching::Stop() {
  if (feed_ != nullptr) feed_->Stop();
}

Result<void> AnswerCaching::Purge(std::string_view model) {
  if (feed_ == nullptr) {
    if (model.empty()) {
      results_.PurgeAll();
    } else if (const auto known = results_.Find(model)) {
      results_.Purge(known);
    }
    return {};
  }
  MEZZO_TRY_VOID(epochs_->Raise(model, AddSaturating(ports_.clock.Now(), kPurgeTime)));
  if (!feed_->CatchUp(kPurgeTime)) {
    return Unavailable("cache_purge_late", "the purge is in the database, but this host has not read it yet");
  }
  return {};
}

}  // namespace mezzo::app
