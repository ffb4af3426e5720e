#include "mezzo/app/answer_caching.h"

#include <string>
#include <utility>

#include "mezzo/base/uuid.h"
#include "mezzo/cache/shared_secret.h"

namespace mezzo::app {
namespace {

constexpr Duration kPurgeTime = std::chrono::seconds(10);
constexpr Duration kSecretTime = std::chrono::seconds(30);
constexpr Duration kStopTime = std::chrono::seconds(10);

}  // namespace

AnswerCaching::AnswerCaching(const CacheConfig& config, Ports ports)
    : config_(config),
      ports_(ports),
      tier_({.max_bytes = config.max_bytes, .max_entry_bytes = config.max_bytes / 8}, ports.clock),
      results_({}, tier_, ports.clock),
      corrections_([](std::string_view text) { return inference::CachedAnswer::Decode(text); }),
      epochs_(ports.store == nullptr ? std::nullopt
                                     : std::make_optional<cache::EpochStore>(ports.store->db())),
      correction_store_(!epochs_ ? std::nullopt
                                 : std::make_optional<cache::CorrectionStore>(
                                       ports.store->db(), cache::CorrectionStore::Limits())),
      feed_(!epochs_
                ? nullptr
                : std::make_unique<cache::EpochFeed>(
                      cache::EpochFeed::Options{.poll = config.poll_interval,
                                                .max_staleness = config.max_staleness},
                      cache::EpochFeed::Ports{.store = *epochs_,
                                              .db = ports.store->db(),
                                              .results = results_,
                                              .tenants = tenants_,
                                              .clock = ports.clock,
                                              .log = ports.log,
                                              .also =
                                                  [this](TimePoint deadline) {
                                                    return corrections_.Refresh(*correction_store_, deadline);
                                                  }})),
      publications_(
          feed_ == nullptr
              ? nullptr
              : std::make_unique<cache::Publications>(
                    cache::Publications::Options(),
                    cache::Publications::Ports{
                        .store = *epochs_, .feed = *feed_, .clock = ports.clock, .log = ports.log})),
      answers_({.results = results_,
                .tier = tier_,
                .epochs = feed_.get(),
                .publications = publications_.get(),
                .tenants = &tenants_,
                .corrections = &corrections_,
                .clock = ports.clock,
                .registry = ports.registry,
                .log = &ports.log}),
      pool_({.name = "cache", .threads = 2, .max_queued = 64}),
      handler_({.results = results_,
                .tier = tier_,
                .recent = ports.recent,
                .pool = pool_,
                .shared = [this] { return SharedStatistics(); },
                .purge = [this](const api::platform::CacheHandler::Purge& what) { return Purge(what); }}),
      seal_pool_({.name = "cache-seal", .threads = 1, .max_queued = 256}),
      shared_metrics_(ports.registry,
                      [this] { return SharedStatistics().value_or(cache::SharedTier::Statistics()); }) {}

Result<void> AnswerCaching::Share(SharedState& state, runtime::IoThreads& loops) {
  if (feed_ == nullptr || !state.is_shared()) return {};
  MEZZO_TRY(std::string secret,
            cache::LoadSharedSecret(ports_.store->db(), AddSaturating(ports_.clock.Now(), kSecretTime)));
  hosts_ = std::make_unique<cache::SharedTier>(
      cache::SharedTier::Options{.secret = std::move(secret),
                                 .host = NewUuidV7(ports_.clock.WallNow()),
                                 .call_timeout = config_.shared_timeout,
                                 .seed = RandomUint64()},
      cache::SharedTier::Ports{.store = state.kv(),
                               .clock = ports_.clock,
                               .waits = shared_metrics_.waits(),
                               .pool = seal_pool_,
                               .spawn = [this, &loops](cache::SharedTier::Work work) {
                                 runtime::Loop* here = runtime::Loop::Current();
                                 return background_.Spawn(here != nullptr ? *here : loops.loop(0),
                                                          runtime::Context(), std::move(work));
                               }});
  answers_.Share(*hosts_);
  shown_.store(hosts_.get(), std::memory_order_release);
  return {};
}

std::optional<cache::SharedTier::Statistics> AnswerCaching::SharedStatistics() const {
  const cache::SharedTier* hosts = shown_.load(std::memory_order_acquire);
  if (hosts == nullptr) return std::nullopt;
  return hosts->statistics();
}

std::unique_ptr<api::Protocol> AnswerCaching::NewCorrectionsHandler(inference::Service& service) {
  if (feed_ == nullptr) return nullptr;
  return std::make_unique<api::platform::CorrectionsHandler>(
      api::platform::CorrectionsHandler::Options(),
      api::platform::CorrectionsHandler::Ports{.service = service,
                                               .store = *correction_store_,
                                               .pool = pool_,
                                               .clock = ports_.clock,
                                               .log = ports_.log,
                                               // A host that is late says so by its own metrics.
                                               .catch_up = [this] { (void)feed_->CatchUp(kPurgeTime); }});
}

void AnswerCaching::Start() {
  if (feed_ == nullptr) return;
  feed_->Start();
  publications_->Start();
}

void AnswerCaching::Stop() {
  background_.Stop(kStopTime);
  if (feed_ == nullptr) return;
  publications_->Stop();
  feed_->Stop();
}

Result<void> AnswerCaching::Purge(const api::platform::CacheHandler::Purge& what) {
  if (feed_ == nullptr) {
    if (!what.tenant.empty()) {
      if (what.model.empty() || results_.Find(what.model) != nullptr) tenants_.Raise(what.tenant, what.model);
    } else if (what.model.empty()) {
      results_.PurgeAll();
    } else if (const auto known = results_.Find(what.model)) {
      results_.Purge(known);
    }
    return {};
  }
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), kPurgeTime);
  if (what.tenant.empty()) {
    MEZZO_TRY_VOID(epochs_->Raise(what.model, deadline));
  } else {
    MEZZO_TRY_VOID(epochs_->RaiseTenant(what.tenant, what.model, deadline));
  }
  if (!feed_->CatchUp(kPurgeTime)) {
    return Unavailable("cache_purge_late", "the purge is in the database, but this host has not read it yet");
  }
  return {};
}

}  // namespace mezzo::app
