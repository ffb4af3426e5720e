#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::storage::internal {

/// Which objects a SpillBlobStore keeps locally, and how many bytes they and those being written take.
/// Thread-safe.
class SpillIndex {
 public:
  struct Limits {
    ByteCount max_bytes = 0;
    std::size_t max_objects = 0;
  };
  struct Entry {
    ByteCount size = 0;
    std::optional<WallTime> expires_at;
    bool damaged = false;  ///< Its content does not have its checksum: nothing can be moved.
  };
  SpillIndex(Limits limits, observe::Gauge& bytes, observe::Gauge& objects)
      : limits_(limits), bytes_gauge_(bytes), objects_gauge_(objects) {}

  /// Room for `bytes` of an object being written; false when there is none.
  [[nodiscard]] bool Reserve(ByteCount bytes) EXCLUDES(mu_);
  void Release(ByteCount bytes) EXCLUDES(mu_);
  /// Room for one more object; false when there is none. `key` may be there already.
  [[nodiscard]] bool HasRoomFor(const BlobKey& key) const EXCLUDES(mu_);
  /// The object is kept. `reserved` of its bytes were reserved.
  void Add(const BlobKey& key, const Entry& entry, ByteCount reserved) EXCLUDES(mu_);
  void Erase(const BlobKey& key) EXCLUDES(mu_);
  void MarkDamaged(const BlobKey& key) EXCLUDES(mu_);

  [[nodiscard]] bool Contains(const BlobKey& key) const EXCLUDES(mu_);
  /// Up to `count` kept objects of `prefix` behind `after` (a key's text or empty).
  [[nodiscard]] std::vector<BlobEntry> List(const BlobPrefix& prefix, const std::string& after,
                                            std::size_t count) const EXCLUDES(mu_);
  /// Up to `count` keys behind the last ones that this gave, from the start again after the end; never one
  /// twice. Damaged ones are left out.
  [[nodiscard]] std::vector<BlobKey> NextToMove(std::size_t count) EXCLUDES(mu_);
  [[nodiscard]] std::vector<BlobKey> Expired(WallTime now, std::size_t count) const EXCLUDES(mu_);

  [[nodiscard]] ByteCount bytes() const EXCLUDES(mu_);
  [[nodiscard]] std::size_t objects() const EXCLUDES(mu_);

 private:
  /// By text, so that a cursor can be looked up too.
  struct ByText {
    using is_transparent = void;
    bool operator()(const BlobKey& a, const BlobKey& b) const { return a.text() < b.text(); }
    bool operator()(const BlobKey& a, const std::string& b) const { return a.text() < b; }
    bool operator()(const std::string& a, const BlobKey& b) const { return a < b.text(); }
  };

  void SetGauges() REQUIRES(mu_);

  const Limits limits_;
  observe::Gauge& bytes_gauge_;
  observe::Gauge& objects_gauge_;
  mutable Mutex mu_;
  std::map<BlobKey, Entry, ByText> entries_ GUARDED_BY(mu_);
  ByteCount bytes_ GUARDED_BY(mu_) = 0;
  std::string moved_to_ GUARDED_BY(mu_);  // Where NextToMove() goes on.
};

}  // namespace mezzo::storage::internal
