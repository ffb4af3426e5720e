#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "mezzo/base/mutex.h"
#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_checks.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::storage::testing {

/// A BlobStore in memory: the reference that drivers are held against, and what tests of other modules use.
/// Objects live as long as the store; an object being read stays whole when it is replaced. Thread-safe.
class MemoryBlobStore : public BlobStore {
 public:
  /// `clock` must outlive the store and its writers and readers.
  explicit MemoryBlobStore(const Clock& clock, ByteCount max_object_bytes = ByteCount{1} << 30)
      : clock_(clock), max_object_bytes_(max_object_bytes) {}

  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key, BlobWriteOptions options,
                                            TimePoint deadline) override {
    MEZZO_TRY_VOID(CheckDeadline(clock_, deadline));
    MEZZO_TRY_VOID(CheckContentType(options.content_type));
    return std::unique_ptr<BlobWriter>(std::make_unique<Writer>(*this, key, std::move(options)));
  }

  Result<std::unique_ptr<BlobReader>> Read(const BlobKey& key, ByteRange range, TimePoint deadline) override {
    MEZZO_TRY(std::shared_ptr<const Object> object, Find(key, deadline));
    MEZZO_TRY(const ByteSpan span, ResolveRange(key, range, object->facts.size));
    return std::unique_ptr<BlobReader>(std::make_unique<Reader>(clock_, std::move(object), span));
  }

  Result<BlobFacts> Stat(const BlobKey& key, TimePoint deadline) override {
    MEZZO_TRY(const std::shared_ptr<const Object> object, Find(key, deadline));
    return object->facts;
  }

  Result<void> Delete(const BlobKey& key, TimePoint deadline) override EXCLUDES(mu_) {
    MEZZO_TRY_VOID(CheckDeadline(clock_, deadline));
    MutexLock lock(mu_);
    objects_.erase(key);
    return {};
  }

  Result<BlobPage> List(const BlobPrefix& prefix, const std::string& after, std::size_t limit,
                        TimePoint deadline) override EXCLUDES(mu_) {
    MEZZO_TRY_VOID(CheckListArguments(after, limit));
    MEZZO_TRY_VOID(CheckDeadline(clock_, deadline));
    MutexLock lock(mu_);
    BlobPage page;
    for (const auto& [key, object] : objects_) {
      if (key.text() <= after || !prefix.Contains(key)) continue;
      if (page.entries.size() == limit) {
        page.more = true;
        break;
      }
      page.entries.push_back({.key = key, .size = object->facts.size});
    }
    return page;
  }

  Result<std::string> SignUrl(const BlobKey& key, const BlobUrlOptions& options) override {
    MEZZO_TRY_VOID(CheckUrlOptions(options));
    return "memory:" + key.text();
  }

  Result<void> Archive(const BlobKey& key, TimePoint deadline) override EXCLUDES(mu_) {
    MEZZO_TRY(const std::shared_ptr<const Object> object, Find(key, deadline));
    auto archived = std::make_shared<Object>(*object);
    archived->facts.archived = true;
    MutexLock lock(mu_);
    const auto it = objects_.find(key);
    if (it != objects_.end() && it->second == object) it->second = std::move(archived);
    return {};
  }

  Result<BlobSweep> SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) override EXCLUDES(mu_) {
    MEZZO_TRY_VOID(CheckDeadline(clock_, deadline));
    MutexLock lock(mu_);
    BlobSweep sweep;
    for (auto it = objects_.begin(); it != objects_.end();) {
      const auto& expires_at = it->second->facts.expires_at;
      if (!expires_at || *expires_at > now) {
        ++it;
      } else if (sweep.removed == limit) {
        sweep.more = true;
        break;
      } else {
        it = objects_.erase(it);
        ++sweep.removed;
      }
    }
    return sweep;
  }

  /// Changes a stored byte, as a failing disk would: reading the object whole must notice.
  void Corrupt(const BlobKey& key) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    auto changed = std::make_shared<Object>(*objects_.at(key));
    changed->bytes.front() = static_cast<char>(changed->bytes.front() ^ 1);
    objects_.at(key) = std::move(changed);
  }

 private:
  struct Object {
    BlobFacts facts;
    std::string bytes;
  };

  class Writer final : public BlobWriter {
   public:
    Writer(MemoryBlobStore& store, BlobKey key, BlobWriteOptions options)
        : store_(store), key_(std::move(key)), options_(std::move(options)) {}

    Result<void> Append(BytesView bytes, TimePoint deadline) override {
      if (std::exchange(closed_, true)) return BlobWriterClosed();
      MEZZO_TRY_VOID(CheckDeadline(store_.clock_, deadline));
      if (bytes.size() > store_.max_object_bytes_ - bytes_.size()) {
        return BlobTooLarge(key_, store_.max_object_bytes_);
      }
      bytes_.append(AsText(bytes));
      closed_ = false;
      return {};
    }

    Result<BlobFacts> Commit(TimePoint deadline) override {
      if (std::exchange(closed_, true)) return BlobWriterClosed();
      MEZZO_TRY_VOID(CheckDeadline(store_.clock_, deadline));
      const std::string sha256 = Sha256Hex(bytes_);
      auto object = std::make_shared<Object>(
          Object{.facts = {.key = key_,
                           .size = bytes_.size(),
                           .sha256 = sha256,
                           .content_type = std::move(options_.content_type),
                           .etag = sha256,
                           .stored_at = options_.stored_at.value_or(store_.clock_.WallNow()),
                           .expires_at = options_.expires_at},
                 .bytes = std::move(bytes_)});
      MutexLock lock(store_.mu_);
      store_.objects_.insert_or_assign(key_, object);
      return object->facts;
    }

   private:
    MemoryBlobStore& store_;
    const BlobKey key_;
    BlobWriteOptions options_;
    std::string bytes_;
    bool closed_ = false;
  };

  class Reader final : public BlobReader {
   public:
    Reader(const Clock& clock, std::shared_ptr<const Object> object, ByteSpan span)
        : clock_(clock), object_(std::move(object)), span_(span), verifier_(object_->facts, span) {}

    [[nodiscard]] const BlobFacts& facts() const override { return object_->facts; }

    Result<std::size_t> Read(std::span<std::byte> into, TimePoint deadline) override {
      MEZZO_TRY_VOID(CheckDeadline(clock_, deadline));
      const std::size_t count = std::min<std::size_t>(into.size(), span_.length - done_);
      if (count == 0 && !into.empty()) {
        if (!std::exchange(verified_, true)) MEZZO_TRY_VOID(verifier_.Finish(object_->facts));
        return std::size_t{0};
      }
      const BytesView from = AsBytes(object_->bytes).subspan(span_.offset + done_, count);
      std::copy(from.begin(), from.end(), into.begin());
      verifier_.Update(from);
      done_ += count;
      return count;
    }

   private:
    const Clock& clock_;
    const std::shared_ptr<const Object> object_;
    const ByteSpan span_;
    ContentVerifier verifier_;
    std::size_t done_ = 0;
    bool verified_ = false;
  };

  Result<std::shared_ptr<const Object>> Find(const BlobKey& key, TimePoint deadline) const EXCLUDES(mu_) {
    MEZZO_TRY_VOID(CheckDeadline(clock_, deadline));
    MutexLock lock(mu_);
    const auto it = objects_.find(key);
    if (it == objects_.end()) return BlobMissing(key);
    return it->second;
  }

  const Clock& clock_;
  const ByteCount max_object_bytes_;
  mutable Mutex mu_;
  std::map<BlobKey, std::shared_ptr<const Object>> objects_ GUARDED_BY(mu_);
};

}  // namespace mezzo::storage::testing
