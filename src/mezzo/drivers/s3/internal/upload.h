#pragma once

#include <string>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/drivers/s3/internal/hour_marks.h"
#include "mezzo/drivers/s3/internal/s3_transport.h"
#include "mezzo/drivers/s3/internal/spool.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::drivers::internal {

/// Sends what a spool holds as one object: whole, or above the threshold in parts that are tried again one by
/// one. The object appears in one step, with its facts. Belongs to one thread.
class Upload {
 public:
  /// All must outlive it.
  Upload(S3Transport& transport, HourMarks& marks, const S3Options& options, const Clock& clock,
         const Spool& spool)
      : transport_(transport), marks_(marks), options_(options), clock_(clock), spool_(spool) {}

  /// The object's ETag. Fails as S3Transport::Send() does; an upload that fails in parts is ended.
  Result<std::string> Send(const std::string& object_key, const storage::BlobFacts& facts,
                           TimePoint deadline);

 private:
  struct Part {
    std::string etag;
    std::string checksum;
  };

  Result<std::string> SendWhole(const std::string& object_key, const storage::BlobFacts& facts,
                                TimePoint deadline);
  Result<std::string> SendInParts(const std::string& object_key, const storage::BlobFacts& facts,
                                  TimePoint deadline);
  Result<std::string> Begin(const std::string& object_key, const storage::BlobFacts& facts,
                            TimePoint deadline);
  Result<Part> SendPart(const std::string& object_key, const std::string& upload_id, std::size_t number,
                        TimePoint deadline);
  Result<std::string> Complete(const std::string& object_key, const std::string& upload_id,
                               const std::vector<Part>& parts, const storage::BlobFacts& facts,
                               TimePoint deadline);
  [[nodiscard]] TextPairs ObjectHeaders(const storage::BlobFacts& facts) const;

  S3Transport& transport_;
  HourMarks& marks_;
  const S3Options& options_;
  const Clock& clock_;
  const Spool& spool_;
};

/// Ends the uploads in parts that began before `began_before` and are still marked, which frees what they
/// take in the store.
Result<void> EndAbandonedUploads(S3Transport& transport, HourMarks& marks, WallTime began_before,
                                 TimePoint deadline);

}  // namespace mezzo::drivers::internal
