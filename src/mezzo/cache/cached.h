#pragma once

#include <memory>

#include "mezzo/base/bytes.h"

namespace mezzo::cache {

/// What a cache holds: anything immutable that knows its size. Shared with whoever got it from the cache, so
/// it lives on after it was evicted. Implementations are safe to read from many threads at once.
class Cached {
 public:
  virtual ~Cached() = default;
  /// Memory that the value occupies. Never changes.
  [[nodiscard]] virtual ByteCount bytes() const = 0;
  /// Called once for every Put() of the value, when the tier holds it no longer (or never did, because it
  /// refused it), perhaps with a lock of the tier held: for counting, no more. Readers may have the value
  /// still.
  virtual void TakenOut() const noexcept {}
};

using CachedRef = std::shared_ptr<const Cached>;

}  // namespace mezzo::cache
