#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/kv_store.h"
#include "mezzo/storage/token_store.h"

namespace mezzo::storage {

/// What MeteredKvStore and MeteredTokenStore write: mezzo_kv_calls_total{op,outcome}, with the outcome "ok"
/// or an error's reason, and mezzo_kv_seconds{op}. Thread-safe.
class KvMetrics {
 public:
  /// Both must outlive this object.
  KvMetrics(observe::Registry& registry, const Clock& clock);

  struct Op {
    std::string_view name;
    observe::Counter& ok;
    observe::Histogram& seconds;
  };
  /// `name` is a literal.
  [[nodiscard]] Op MakeOp(std::string_view name);
  [[nodiscard]] TimePoint Begin() const { return clock_.Now(); }
  template <typename T>
  void End(const Op& op, TimePoint begun, const Result<T>& result) {
    op.seconds.Observe(clock_.Now() - begun);
    if (result.ok()) {
      op.ok.Add();
    } else {
      calls_.With({op.name, result.error().reason()}).Add();
    }
  }

 private:
  const Clock& clock_;
  observe::Family<observe::Counter>& calls_;
  observe::Family<observe::Histogram>& seconds_;
};

/// A KvStore that counts calls and measures their time. Thread-safe.
class MeteredKvStore final : public KvStore {
 public:
  /// Both must outlive this object.
  MeteredKvStore(KvStore& inner, KvMetrics& metrics);

  runtime::Task<Result<std::vector<std::optional<std::string>>>> Get(runtime::Context ctx,
                                                                     std::vector<std::string> keys) override;
  runtime::Task<Result<void>> Set(runtime::Context ctx, std::string key, std::string value,
                                  Duration lifetime) override;
  runtime::Task<Result<std::int64_t>> Erase(runtime::Context ctx, std::vector<std::string> keys) override;
  runtime::Task<Result<Lease>> Acquire(runtime::Context ctx, std::string key, std::string owner,
                                       Duration lifetime) override;
  runtime::Task<Result<bool>> SetAndRelease(runtime::Context ctx, std::string key, std::string value,
                                            Duration lifetime, std::string lease_key,
                                            std::uint64_t fence) override;
  runtime::Task<Result<bool>> Release(runtime::Context ctx, std::string lease_key,
                                      std::uint64_t fence) override;
  runtime::Task<Result<void>> Publish(runtime::Context ctx, std::string channel,
                                      std::string payload) override;
  [[nodiscard]] std::shared_ptr<void> Subscribe(std::string channel, Listener listener) override {
    return inner_.Subscribe(std::move(channel), std::move(listener));
  }

 private:
  KvStore& inner_;
  KvMetrics& metrics_;
  const KvMetrics::Op get_;
  const KvMetrics::Op set_;
  const KvMetrics::Op erase_;
  const KvMetrics::Op acquire_;
  const KvMetrics::Op set_and_release_;
  const KvMetrics::Op release_;
  const KvMetrics::Op publish_;
};

/// A TokenStore that counts calls and measures their time. Thread-safe.
class MeteredTokenStore final : public TokenStore {
 public:
  /// Both must outlive this object.
  MeteredTokenStore(TokenStore& inner, KvMetrics& metrics);

  runtime::Task<Result<std::vector<TokenGrant>>> TakeTokens(runtime::Context ctx,
                                                            std::vector<TokenRequest> requests) override;
  runtime::Task<Result<std::vector<PermitGrant>>> HoldPermits(runtime::Context ctx,
                                                              std::vector<PermitRequest> requests,
                                                              Duration lifetime) override;

 private:
  TokenStore& inner_;
  KvMetrics& metrics_;
  const KvMetrics::Op take_tokens_;
  const KvMetrics::Op hold_permits_;
};

}  // namespace mezzo::storage
