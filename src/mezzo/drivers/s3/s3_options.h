#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/runtime/retry.h"

namespace mezzo::drivers {

struct S3Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  ///< Of temporary credentials; may be empty.
};

struct S3Options {
  // Where.
  std::string endpoint;      ///< "https://s3.eu-central-1.amazonaws.com" or "http://minio:9000"; no path.
  std::string url_endpoint;  ///< What signed URLs name, when clients reach the store by another name.
  /// The endpoint may lie on this host or in a private network. Otherwise only public addresses are connected
  /// to.
  bool private_network = false;
  std::string region = "us-east-1";
  std::string bucket;
  bool path_style = true;  ///< endpoint/bucket/key instead of bucket.endpoint/key.
  std::string prefix;      ///< Of every key in the bucket: "", or safe names that each end in '/'.
  std::string ca_file;     ///< Instead of the system's trust store.
  /// Asked for every request, so that credentials can change. Thread-safe.
  std::function<Result<S3Credentials>()> credentials;

  // Objects.
  ByteCount max_object_bytes = ByteCount{5} << 30;    ///< At most 5 GiB: what one copy within S3 can move.
  std::string storage_class;                          ///< Of new objects; the bucket's default when empty.
  std::string archive_class = "STANDARD_IA";          ///< Where Archive() moves to.
  Duration abandoned_after = std::chrono::hours(24);  ///< SweepExpired() ends uploads that are older.

  // Transfers.
  ByteCount multipart_threshold = ByteCount{100} << 20;  ///< Larger objects go in parts.
  ByteCount part_bytes = ByteCount{5} << 20;             ///< S3 allows no less than 5 MiB, and 10,000 parts.
  std::size_t read_bytes = std::size_t{8} << 20;         ///< Asked for at a time; memory of a reader.
  std::size_t spool_memory_bytes = std::size_t{5}
                                   << 20;  ///< Memory of a writer; larger objects wait on disk.
  std::string spool_folder = "/tmp";

  // Failures.
  int max_attempts = 4;  ///< Of one request.
  runtime::Backoff::Options backoff;
  runtime::RetryBudget::Options retry_budget;
  Duration connect_timeout = std::chrono::seconds(3);
  Duration answer_timeout = std::chrono::seconds(10);     ///< Of one attempt, besides the time of its bytes.
  ByteCount min_bytes_per_second = ByteCount{512} << 10;  ///< A slower transfer is given up and tried again.
};

/// Fails with kInvalidArgument "blob_store_options_invalid", naming the option.
Result<void> CheckS3Options(const S3Options& options);

}  // namespace mezzo::drivers
