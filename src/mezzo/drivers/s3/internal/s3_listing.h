#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/s3/internal/s3_transport.h"

namespace mezzo::drivers::internal {

struct ListedKey {
  std::string key;  ///< In the bucket.
  ByteCount size = 0;
};

struct ListedKeys {
  std::vector<ListedKey> keys;
  bool more = false;
};

/// Up to `limit` (1 to 1000) keys that start with `prefix`, behind `after`, in the order of their bytes
/// (ListObjectsV2).
Result<ListedKeys> ListKeys(S3Transport& transport, const std::string& prefix, const std::string& after,
                            std::size_t limit, TimePoint deadline);

}  // namespace mezzo::drivers::internal
