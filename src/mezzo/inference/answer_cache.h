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
#include "mezzo/cache/corrections.h"
#include "mezzo/cache/epoch_feed.h"
#include "mezzo/cache/publications.h"
#include "mezzo/cache/result_cache.h"
#include "mezzo/cache/shared_tier.h"
#include "mezzo/cache/tenant_epochs.h"
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
  bool by_tenant = true;                   ///< Each tenant has answers of its own.
  Sha256Digest content{};                  ///< Of the version's files and of its configuration.
  cache::Publications::MarkRef published;  ///< Null: nobody has to know.
  observe::Histogram* hit_age = nullptr;   ///< Of the model.
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
  /// What EncodeAnswer() wrote, as a kept answer; for cache::Corrections.
  static Result<cache::CachedRef> Decode(std::string_view text);
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
    cache::Publications* publications = nullptr;   ///< With `epochs`: tells other hosts what this one loads.
    const cache::TenantEpochs* tenants = nullptr;  ///< Null: no tenant's part is ever purged.
    const cache::Corrections* corrections = nullptr;  ///< Null: nobody corrects answers.
    const Clock& clock;
    observe::Registry& registry;
    observe::Logger* log = nullptr;  ///< Is told what a model asks for in vain; null: nobody is.
  };
  explicit AnswerCache(Ports ports);
  /// Models that declare `shared` share from now on. Before versions are loaded. `hosts` outlives the calls;
  /// it needs `epochs`, by which hosts agree on what is out of date.
  void Share(cache::SharedTier& hosts);

  /// Of a version that has just been loaded; null when its model is not cached. Reads its files, unless they
  /// are those of an earlier load, and has its publication written down, for which it waits a few seconds at
  /// most. Fails as models::ContentDigests.
  Result<std::unique_ptr<const CachePlace>> PlaceOf(const models::ModelVersion& version);
  /// The version is no longer served here, for good. Never blocks.
  void Withdrawn(const std::string& model, std::int64_t version);

  /// What to do about a call; kBypass while this host can't tell whether its answers still hold.
  [[nodiscard]] cache::ResultCache::Outcome Begin(const CachePlace& place,
                                                  const models::ModelVersion& version,
                                                  const InferenceCall& call, const RequestPlan& plan,
                                                  const tenancy::Tenant& tenant, TimePoint now);
  /// Whether answers may be served and kept at `now`: this host knows the epochs, and the database what it
  /// serves.
  [[nodiscard]] bool Verified(const CachePlace& place, TimePoint now);
  /// The correction of a call's answer; null when there is none or it may not be served now. It stands
  /// whatever is computed or purged, until the version's content changes.
  [[nodiscard]] cache::CachedRef CorrectionOf(const CachePlace& place, const models::ModelVersion& version,
                                              const InferenceCall& call, const RequestPlan& plan,
                                              const tenancy::Tenant& tenant, TimePoint now);
  /// Keeps what was computed although an answer may have been kept; `epoch` of the model when that began.
  void Refill(const CachePlace& place, const models::ModelVersion& version, const InferenceCall& call,
              const RequestPlan& plan, const tenancy::Tenant& tenant, const InferenceAnswer& answer,
              std::uint64_t epoch);
  /// Names the question that a tenant's call asks. Without what was purged: what corrections are found by.
  [[nodiscard]] static cache::CacheKey QuestionOf(const CachePlace& place,
                                                  const models::ModelVersion& version,
                                                  const InferenceCall& call, const RequestPlan& plan,
                                                  std::string_view tenant, std::uint64_t purged = 0);
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
  /// Where the answer to a call is kept.
  [[nodiscard]] cache::CacheKey KeyOf(const CachePlace& place, const models::ModelVersion& version,
                                      const InferenceCall& call, const RequestPlan& plan,
                                      const tenancy::Tenant& tenant) const;

  const Ports ports_;
  cache::SharedTier* hosts_ = nullptr;  ///< Set before versions are loaded.
  cache::CacheMetrics metrics_;
  observe::Family<observe::Histogram>& hit_age_;
  models::ContentDigests digests_;
  std::atomic<std::uint64_t> corrected_{0};   // Calls that a correction answered; no partner.
  std::atomic<std::uint64_t> unverified_{0};  // Calls that bypassed for want of epochs; no partner.
  observe::Callback corrected_count_;         // Last, with the next: they read what is above.
  observe::Callback unverified_count_;
};

}  // namespace mezzo::inference
