#include "mezzo/storage/metered_kv_store.h"

#include <utility>

namespace mezzo::storage {
namespace {

/// Counts `call` when it has ended. What is referred to outlives it: members of the store that is called.
// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters)
template <typename T>
runtime::Task<Result<T>> Measure(KvMetrics& metrics, const KvMetrics::Op& op, runtime::Task<Result<T>> call) {
  const TimePoint begun = metrics.Begin();
  Result<T> result = co_await std::move(call);
  metrics.End(op, begun, result);
  co_return result;
}
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)

}  // namespace

KvMetrics::KvMetrics(observe::Registry& registry, const Clock& clock)
    : clock_(clock),
      calls_(registry.NewCounterFamily("mezzo_kv_calls_total",
                                       "Calls of the state that hosts share, by operation and outcome.",
                                       {"op", "outcome"})),
      seconds_(registry.NewHistogramFamily("mezzo_kv_seconds",
                                           "Time of a call of the state that hosts share.", {"op"})) {}

KvMetrics::Op KvMetrics::MakeOp(std::string_view name) {
  return {.name = name, .ok = calls_.With({name, "ok"}), .seconds = seconds_.With({name})};
}

MeteredKvStore::MeteredKvStore(KvStore& inner, KvMetrics& metrics)
    : inner_(inner),
      metrics_(metrics),
      get_(metrics.MakeOp("get")),
      set_(metrics.MakeOp("set")),
      erase_(metrics.MakeOp("erase")),
      acquire_(metrics.MakeOp("acquire")),
      set_and_release_(metrics.MakeOp("set_and_release")),
      release_(metrics.MakeOp("release")),
      publish_(metrics.MakeOp("publish")) {}

runtime::Task<Result<std::vector<std::optional<std::string>>>> MeteredKvStore::Get(
    runtime::Context ctx, std::vector<std::string> keys) {
  return Measure(metrics_, get_, inner_.Get(std::move(ctx), std::move(keys)));
}

runtime::Task<Result<void>> MeteredKvStore::Set(runtime::Context ctx, std::string key, std::string value,
                                                Duration lifetime) {
  return Measure(metrics_, set_, inner_.Set(std::move(ctx), std::move(key), std::move(value), lifetime));
}

runtime::Task<Result<std::int64_t>> MeteredKvStore::Erase(runtime::Context ctx,
                                                          std::vector<std::string> keys) {
  return Measure(metrics_, erase_, inner_.Erase(std::move(ctx), std::move(keys)));
}

runtime::Task<Result<KvStore::Lease>> MeteredKvStore::Acquire(runtime::Context ctx, std::string key,
                                                              std::string owner, Duration lifetime) {
  return Measure(metrics_, acquire_,
                 inner_.Acquire(std::move(ctx), std::move(key), std::move(owner), lifetime));
}

runtime::Task<Result<bool>> MeteredKvStore::SetAndRelease(runtime::Context ctx, std::string key,
                                                          std::string value, Duration lifetime,
                                                          std::string lease_key, std::uint64_t fence) {
  return Measure(metrics_, set_and_release_,
                 inner_.SetAndRelease(std::move(ctx), std::move(key), std::move(value), lifetime,
                                      std::move(lease_key), fence));
}

runtime::Task<Result<bool>> MeteredKvStore::Release(runtime::Context ctx, std::string lease_key,
                                                    std::uint64_t fence) {
  return Measure(metrics_, release_, inner_.Release(std::move(ctx), std::move(lease_key), fence));
}

runtime::Task<Result<void>> MeteredKvStore::Publish(runtime::Context ctx, std::string channel,
                                                    std::string payload) {
  return Measure(metrics_, publish_, inner_.Publish(std::move(ctx), std::move(channel), std::move(payload)));
}

MeteredTokenStore::MeteredTokenStore(TokenStore& inner, KvMetrics& metrics)
    : inner_(inner),
      metrics_(metrics),
      take_tokens_(metrics.MakeOp("take_tokens")),
      hold_permits_(metrics.MakeOp("hold_permits")) {}

runtime::Task<Result<std::vector<TokenStore::TokenGrant>>> MeteredTokenStore::TakeTokens(
    runtime::Context ctx, std::vector<TokenRequest> requests) {
  return Measure(metrics_, take_tokens_, inner_.TakeTokens(std::move(ctx), std::move(requests)));
}

runtime::Task<Result<std::vector<TokenStore::PermitGrant>>> MeteredTokenStore::HoldPermits(
    runtime::Context ctx, std::vector<PermitRequest> requests, Duration lifetime) {
  return Measure(metrics_, hold_permits_, inner_.HoldPermits(std::move(ctx), std::move(requests), lifetime));
}

}  // namespace mezzo::storage
