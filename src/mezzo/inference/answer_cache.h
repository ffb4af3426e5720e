#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"
#include "mezzo/cache/cache_metrics.h"
#include "mezzo/cache/epoch_feed.h"
#include "mezzo/cache/result_cache.h"
#include "mezzo/cache/shared_tier.h"
#include "mezzo/inference/inference_call.h"
#include "mezzo/inference/request_plan.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::inference {

/// What a loaded version of a model that declares `cache:` needs to be cached. Immutable but for its counts.
struct CachePlace {
  cache::ResultCache::ModelRef model;
  cache::Rules rules;
  bool by_tenant = true;   ///< Each tenant has answers of its own.
  Sha256Digest content{};  ///< Of the version's files and of its configuration.
};

/// The outputs of an answer, apart from the call that they were computed for.
class CachedAnswer final : public cache::Cached {
 public:
  /// Copies the outputs: a batch's memory is not kept for one call's part of it.
  explicit CachedAnswer(const InferenceAnswer& answer);
  /// Takes outputs that own their memory, and nobody else's.
  CachedAnswer(std::vector<NamedTensor> outputs, Parameters parameters, Duration cost);

  [[nodiscard]] ByteCount bytes() const override { return bytes_; }
  /// An answer with these outputs and parameters; what belongs to the call is empty.
  [[nodiscard]] InferenceAnswer Answer() const;
  /// Device time that it took.
  [[nodiscard]] Duration cost() const { return cost_; }
  [[nodiscard]] const std::vector<NamedTensor>& outputs() const { return outputs_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }

 private:
  std::vector<NamedTensor> outputs_;
  Parameters parameters_;
  ByteCount bytes_ = 0;
  Duration cost_;
};

/// The answers of this host's models, as their `cache:` declares. Thread-safe.
class AnswerCache {
 public:
  /// All outlive the cache; `tier` is what `results` lie in. `epochs` is null without a database: nobody else
  /// changes this host's models.
  struct Ports {
    cache::ResultCache& results;
    const cache::MemoryTier& tier;
    cache::EpochFeed* epochs = nullptr;
    const Clock& clock;
    observe::Registry& registry;
    observe::Logger* log = nullptr;  ///< Is told what a model asks for in vain; null: nobody is.
  };
  explicit AnswerCache(Ports ports);
  /// Models that declare `shared` share from now on. Before versions are loaded. `hosts` outlives the calls;
  /// it needs `epochs`, by which hosts agree on what is out of date.
  void Share(cache::SharedTier& hosts);

  /// Of a version that has just been loaded; null when its model is not cached. Reads all its files. Fails
  /// with kUnavailable "cache_digest" when one can't be read.
  Result<std::unique_ptr<const CachePlace>> PlaceOf(const models::ModelVersion& version);

  /// What to do about a call; kBypass while this host can't tell whether its answers still hold.
  [[nodiscard]] cache::ResultCache::Outcome Begin(const CachePlace& place,
                                                  const models::ModelVersion& version,
                                                  const InferenceCall& call, const RequestPlan& plan,
                                                  const tenancy::Tenant& tenant, TimePoint now);
  [[nodiscard]] cache::ResultCache& results() { return ports_.results; }

  /// What other hosts said to the leader of a flight.
  struct FromHosts {
    std::shared_ptr<const CachedAnswer> answer;     ///< Another host's, if not null;
    std::optional<Error> error;                     ///< or its error that would come again.
    Duration cost{};                                ///< With either: what it took there,
    TimePoint expires = kNever;                     ///< and until when it holds.
    bool waited = false;                            ///< The other host was still computing it.
    std::optional<cache::SharedTier::Lease> lease;  ///< The leader computes for all, and gives it to Share().
  };
  /// Asks other hosts, when the model shares with them, for what `ticket` is to be filled with. Neither an
  /// answer nor an error nor a lease: the leader computes for this host. `predicted`: the run. `refresh`:
  /// what this host has already is not enough. Fails with "cancelled" only; on a loop's thread.
  runtime::Task<Result<FromHosts>> AskHosts(runtime::Context ctx, const CachePlace* place,
                                            const cache::ResultCache::Ticket* ticket, Duration predicted,
                                            bool refresh);
  /// Gives the leader's answer, or its error, to the other hosts, behind the caller.
  void Share(std::optional<cache::SharedTier::Lease> lease, const CachePlace& place,
             std::shared_ptr<const CachedAnswer> answer);
  void Share(std::optional<cache::SharedTier::Lease> lease, const CachePlace& place, const Error& error,
             Duration cost);

 private:
  [[nodiscard]] bool IsVerified(TimePoint now) const {
    return ports_.epochs == nullptr || ports_.epochs->IsFresh(now);
  }
  static cache::CacheKey KeyOf(const CachePlace& place, const models::ModelVersion& version,
                               const InferenceCall& call, const RequestPlan& plan,
                               const tenancy::Tenant& tenant);

  const Ports ports_;
  cache::SharedTier* hosts_ = nullptr;  ///< Set before versions are loaded.
  cache::CacheMetrics metrics_;
  std::atomic<std::uint64_t> unverified_{0};  // Calls that bypassed for want of epochs; no partner.
  observe::Callback unverified_count_;        // Last: it reads what is above.
};

}  // namespace mezzo::inference
