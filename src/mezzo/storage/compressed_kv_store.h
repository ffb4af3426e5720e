#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/runtime/pool.h"
#include "mezzo/storage/kv_store.h"

namespace mezzo::storage {

/// The values of another KvStore in a form of their own, so that large ones take less of its memory and
/// network. Thread-safe.
///
/// The first byte of a stored value tells its form: 0: the value follows as it is. 1: the value's size and
/// its CRC-32 follow, 4 bytes each, lowest first, then the value in zlib's format (RFC 1950), level 1; only
/// when that is shorter. What has another form, or a damaged second one, is as if it were not there.
class CompressedKvStore final : public KvStore {
 public:
  struct Options {
    std::size_t compress_from = 4096;         ///< Bytes; smaller values stay as they are.
    std::size_t offload_from = 16'384;        ///< Larger ones are worked on in the pool, not on the loop.
    std::size_t max_value_bytes = 64U << 20;  ///< Of a value before compression: "kv_too_large" beyond it.
  };
  /// Both must outlive this object. When the pool is full, values are stored as they are, and large
  /// compressed ones read as if they were not there.
  CompressedKvStore(Options options, KvStore& inner, runtime::BlockingPool& pool);

  runtime::Task<Result<std::vector<std::optional<std::string>>>> Get(runtime::Context ctx,
                                                                     std::vector<std::string> keys) override;
  runtime::Task<Result<void>> Set(runtime::Context ctx, std::string key, std::string value,
                                  Duration lifetime) override;
  runtime::Task<Result<std::int64_t>> Erase(runtime::Context ctx, std::vector<std::string> keys) override {
    return inner_.Erase(std::move(ctx), std::move(keys));
  }
  runtime::Task<Result<Lease>> Acquire(runtime::Context ctx, std::string key, std::string owner,
                                       Duration lifetime) override {
    return inner_.Acquire(std::move(ctx), std::move(key), std::move(owner), lifetime);
  }
  runtime::Task<Result<bool>> SetAndRelease(runtime::Context ctx, std::string key, std::string value,
                                            Duration lifetime, std::string lease_key,
                                            std::uint64_t fence) override;
  runtime::Task<Result<bool>> Release(runtime::Context ctx, std::string lease_key,
                                      std::uint64_t fence) override {
    return inner_.Release(std::move(ctx), std::move(lease_key), fence);
  }
  runtime::Task<Result<void>> Publish(runtime::Context ctx, std::string channel,
                                      std::string payload) override {
    return inner_.Publish(std::move(ctx), std::move(channel), std::move(payload));
  }
  [[nodiscard]] std::shared_ptr<void> Subscribe(std::string channel, Listener listener) override {
    return inner_.Subscribe(std::move(channel), std::move(listener));
  }

 private:
  /// The form of `value` to store.
  runtime::Task<Result<std::string>> Pack(std::string value);

  const Options options_;
  KvStore& inner_;
  runtime::BlockingPool& pool_;
};

/// The two forms, for CompressedKvStore and its tests. Pure.
std::string PackKvValue(std::string_view value, std::size_t compress_from);
/// Nothing when the form is unknown, damaged, or of more than `max_bytes`.
std::optional<std::string> UnpackKvValue(std::string_view stored, std::size_t max_bytes);

}  // namespace mezzo::storage
