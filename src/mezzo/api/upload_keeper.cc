#include "mezzo/api/upload_keeper.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/uuid.h"
#include "mezzo/storage/blob_io.h"

namespace mezzo::api {

using storage::BlobKey;

runtime::Task<Result<UploadKeeper::Kept>> UploadKeeper::Keep(runtime::Context ctx, TenantId tenant,
                                                             std::vector<Upload> uploads) const {
  const TimePoint deadline = std::min(ctx.deadline(), ports_.clock.Now() + options_.store_timeout);
  const WallTime now = ports_.clock.WallNow();
  if (uploads.empty()) co_return Kept{.keys = {}, .expires_at = now};
  const auto keep = [&]() -> Result<Kept> {
    Kept kept{.keys = {}, .expires_at = now + options_.retention};
    const std::string id = NewUuidV7(now);
    for (const Upload& upload : uploads) {
      MEZZO_TRY(const BlobKey key, BlobKey::Make(tenant, id, 0, upload.name));
      MEZZO_TRY_VOID(storage::WriteBlob(ports_.artifacts, key, AsBytes(upload.content),
                                        {.content_type = upload.content_type, .expires_at = kept.expires_at},
                                        deadline));
      kept.keys.push_back(key.text());
    }
    return kept;
  };
  co_return co_await runtime::Offload(ports_.pool, keep);
}

}  // namespace mezzo::api
