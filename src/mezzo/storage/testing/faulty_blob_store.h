#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "mezzo/base/mutex.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::storage::testing {

/// Which calls of one or several FaultyBlobStores fail. Thread-safe.
class BlobFaults {
 public:
  enum class When : std::uint8_t {
    kBefore,  ///< The call has no effect.
    kAfter,   ///< The call has its effect, but its answer is lost.
  };

  /// Only call `n`, counted from now on, from 1.
  void FailOne(std::size_t n, When when = When::kBefore) { Set(n, n, when); }
  /// Call `n` and all later ones, as when the process is killed there.
  void FailFrom(std::size_t n, When when = When::kBefore) { Set(n, SIZE_MAX, when); }
  void FailNone() { Set(1, 0, When::kBefore); }
  /// What failing calls say instead of kUnavailable "blob_store_unavailable".
  void SetError(Error error) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    error_ = std::move(error);
  }
  /// Runs at every failing call, before it returns: for a clock that moves on.
  void OnFault(std::function<void()> on_fault) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    on_fault_ = std::move(on_fault);
  }

  [[nodiscard]] std::size_t calls() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return calls_;
  }
  /// A call has failed since the last Fail...().
  [[nodiscard]] bool hit() const EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return hit_;
  }

  /// Counts a call and does it, or not.
  template <typename Call>
  std::invoke_result_t<Call&> Run(Call call) EXCLUDES(mu_) {
    bool fails = false;
    When when = When::kBefore;
    Error error(Code::kUnavailable, "blob_store_unavailable", "made to fail");
    std::function<void()> on_fault;
    {
      MutexLock lock(mu_);
      ++calls_;
      fails = calls_ >= first_ && calls_ <= last_;
      when = calls_ == first_ ? when_ : When::kBefore;
      hit_ = hit_ || fails;
      error = error_;
      on_fault = on_fault_;
    }
    if (!fails) return call();
    if (when == When::kAfter) (void)call();
    if (on_fault) on_fault();
    return error;
  }

 private:
  void Set(std::size_t first, std::size_t last, When when) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    calls_ = 0;
    first_ = first;
    last_ = last;
    when_ = when;
    hit_ = false;
  }

  mutable Mutex mu_;
  std::size_t calls_ GUARDED_BY(mu_) = 0;
  std::size_t first_ GUARDED_BY(mu_) = 1;
  std::size_t last_ GUARDED_BY(mu_) = 0;
  When when_ GUARDED_BY(mu_) = When::kBefore;
  bool hit_ GUARDED_BY(mu_) = false;
  Error error_ GUARDED_BY(mu_) = Error(Code::kUnavailable, "blob_store_unavailable", "made to fail");
  std::function<void()> on_fault_ GUARDED_BY(mu_);
};

/// Makes calls of another store fail, those of its writers and readers too. Both and the faults must outlive
/// it.
class FaultyBlobStore : public BlobStore {
 public:
  FaultyBlobStore(BlobStore& inner, BlobFaults& faults) : inner_(inner), faults_(faults) {}

  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key, BlobWriteOptions options,
                                            TimePoint deadline) override {
    return faults_.Run([&]() -> Result<std::unique_ptr<BlobWriter>> {
      MEZZO_TRY(auto writer, inner_.Write(key, options, deadline));
      return std::unique_ptr<BlobWriter>(std::make_unique<Writer>(std::move(writer), faults_));
    });
  }
  Result<std::unique_ptr<BlobReader>> Read(const BlobKey& key, ByteRange range, TimePoint deadline) override {
    return faults_.Run([&]() -> Result<std::unique_ptr<BlobReader>> {
      MEZZO_TRY(auto reader, inner_.Read(key, range, deadline));
      return std::unique_ptr<BlobReader>(std::make_unique<Reader>(std::move(reader), faults_));
    });
  }
  Result<BlobFacts> Stat(const BlobKey& key, TimePoint deadline) override {
    return faults_.Run([&] { return inner_.Stat(key, deadline); });
  }
  Result<void> Delete(const BlobKey& key, TimePoint deadline) override {
    return faults_.Run([&] { return inner_.Delete(key, deadline); });
  }
  Result<BlobPage> List(const BlobPrefix& prefix, const std::string& after, std::size_t limit,
                        TimePoint deadline) override {
    return faults_.Run([&] { return inner_.List(prefix, after, limit, deadline); });
  }
  Result<std::string> SignUrl(const BlobKey& key, const BlobUrlOptions& options) override {
    return inner_.SignUrl(key, options);
  }
  Result<void> Archive(const BlobKey& key, TimePoint deadline) override {
    return faults_.Run([&] { return inner_.Archive(key, deadline); });
  }
  Result<BlobSweep> SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) override {
    return faults_.Run([&] { return inner_.SweepExpired(now, limit, deadline); });
  }

 private:
  class Writer final : public BlobWriter {
   public:
    Writer(std::unique_ptr<BlobWriter> inner, BlobFaults& faults)
        : inner_(std::move(inner)), faults_(faults) {}
    Result<void> Append(BytesView bytes, TimePoint deadline) override {
      return faults_.Run([&] { return inner_->Append(bytes, deadline); });
    }
    Result<BlobFacts> Commit(TimePoint deadline) override {
      return faults_.Run([&] { return inner_->Commit(deadline); });
    }

   private:
    const std::unique_ptr<BlobWriter> inner_;
    BlobFaults& faults_;
  };

  class Reader final : public BlobReader {
   public:
    Reader(std::unique_ptr<BlobReader> inner, BlobFaults& faults)
        : inner_(std::move(inner)), faults_(faults) {}
    [[nodiscard]] const BlobFacts& facts() const override { return inner_->facts(); }
    Result<std::size_t> Read(std::span<std::byte> into, TimePoint deadline) override {
      return faults_.Run([&] { return inner_->Read(into, deadline); });
    }

   private:
    const std::unique_ptr<BlobReader> inner_;
    BlobFaults& faults_;
  };

  BlobStore& inner_;
  BlobFaults& faults_;
};

}  // namespace mezzo::storage::testing
