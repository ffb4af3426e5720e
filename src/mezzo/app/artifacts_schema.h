#pragma once

#include <tuple>

#include "mezzo/app/artifacts_config.h"
#include "mezzo/config/schema.h"

namespace mezzo::config {

template <>
struct EnumNames<app::ArtifactsDriver> {
  static constexpr EnumName<app::ArtifactsDriver> kNames[] = {{app::ArtifactsDriver::kLocal, "local"},
                                                              {app::ArtifactsDriver::kS3, "s3"}};
};
template <>
struct Schema<app::S3Config> {
  static auto Fields() {
    using C = app::S3Config;
    return std::tuple{
        Field("endpoint", &C::endpoint,
              "https://s3.eu-central-1.amazonaws.com or http://minio:9000; no path."),
        Field("url_endpoint", &C::url_endpoint,
              "What signed URLs name, when clients reach the store by another name."),
        Field("region", &C::region, "The bucket's region.", Length(1, 64)),
        Field("bucket", &C::bucket, "A bucket that exists."),
        Field("prefix", &C::prefix, "Of every key in the bucket: empty, or names that each end in '/'."),
        Field("path_style", &C::path_style, "endpoint/bucket/key; false: bucket.endpoint/key."),
        Field(
            "private_network", &C::private_network,
            "The endpoint may lie on this host or in a private network; otherwise only public addresses are "
            "connected to."),
        Field("access_key", &C::access_key, "The key's id."),
        Field("secret_key", &C::secret_key, "The key."),
        Field("session_token", &C::session_token, "Of temporary credentials."),
        Field("storage_class", &C::storage_class, "Of new objects; empty: the bucket's default."),
        Field("archive_class", &C::archive_class, "Where archive_days moves objects to.", Length(1, 64)),
        Field("ca_file", &C::ca_file, "PEM file instead of the system's trust store."),
        Field("spool_dir", &C::spool_dir, "Where objects wait until they are sent; files without a name."),
        Field("multipart_threshold", &C::multipart_threshold, "Larger objects go in parts of 5 MiB.",
              Range(MiB(5), GiB(5))),
        Field("spill", &C::spill,
              "What may be kept in `dir` while the store fails, to be moved later; 0: jobs fail instead.",
              Range(ByteSize(0), GiB(16384)))};
  }
};
template <>
struct Schema<app::ArtifactsConfig> {
  static auto Fields() {
    using C = app::ArtifactsConfig;
    return std::tuple{
        Field("store", &C::store, "local: a folder of this host; s3: a bucket that hosts share."),
        Field("dir", &C::dir,
              "The folder; empty: artifacts/ in data_dir. With s3, of what an outage leaves."),
        Field("min_free", &C::min_free, "Writes to the folder fail that would leave less free space.",
              Range(ByteSize(0), GiB(16384))),
        Field("s3", &C::s3, "The S3-compatible store."),
        Field("public_url", &C::public_url,
              "https://host, under which clients reach this server; empty: as each of them has called it."),
        Field(
            "url_secret", &C::url_secret,
            "32 bytes or more that sign URLs, the same on all hosts; unset: made once and kept in data_dir."),
        Field("previous_url_secret", &C::previous_url_secret,
              "A secret whose URLs still hold, while url_secret changes."),
        Field("url_ttl", &C::url_ttl, "How long a URL of an artifact holds.",
              Range(std::chrono::seconds(1), std::chrono::hours(24 * 7))),
        Field("retention_days", &C::retention_days, "Artifacts are removed after so many days; 0: never.",
              Range(0, 36'500)),
        Field("archive_days", &C::archive_days,
              "Artifacts move to the cheaper class after so many days; 0: never.", Range(0, 36'500)),
        Field("max_downloads", &C::max_downloads, "Artifacts that this server sends at the same time.",
              Range(1, 10'000))};
  }
};

}  // namespace mezzo::config
