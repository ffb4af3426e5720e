#pragma once

#include <tuple>

#include "mezzo/app/registry_config.h"
#include "mezzo/app/version_tests_schema.h"
#include "mezzo/config/schema.h"

namespace mezzo::config {

template <>
struct Schema<app::RetireConfig> {
  static auto Fields() {
    using C = app::RetireConfig;
    using std::chrono::hours;
    using std::chrono::seconds;
    return std::tuple{
        Field("after", &C::after,
              "A version that has had no call for so long, and that no route, alias or release names, is "
              "retired; "
              "0: none is. The tag retire.after of a registered model (30d, never) says otherwise for it.",
              Range(seconds(0), hours(24 * 3650))),
        Field("warning", &C::warning, "Between the warning and the end of new calls.",
              Range(seconds(0), hours(24 * 3650))),
        Field("drain", &C::drain, "Without any call before the files are archived.",
              Range(seconds(1), hours(24)))};
  }
};

template <>
struct Schema<app::RegistryConfig> {
  static auto Fields() {
    using C = app::RegistryConfig;
    using std::chrono::hours;
    using std::chrono::seconds;
    return std::tuple{
        Field("host", &C::host, "What the history calls this host; empty: its host name.", Length(0, 128)),
        Field("max_files", &C::max_files, "Files of one version.", Range(1, 100'000)),
        Field("max_file", &C::max_file, "Largest file of a version.", Range(KiB(1), GiB(1024))),
        Field("max_version", &C::max_version, "All files of a version together.", Range(KiB(1), GiB(4096))),
        Field("max_artifacts", &C::max_artifacts,
              "What a tenant's MLflow runs and logged models may have in artifacts.",
              Range(KiB(1), GiB(65536))),
        Field(
            "disk", &C::disk,
            "What versions of the registry may take of this host's disk (data_dir); those not in use go, the "
            "least recently used first.",
            Range(MiB(1), GiB(65536))),
        Field("upload_lifetime", &C::upload_lifetime,
              "Half an upload that nobody goes on with is removed after this long; so are MLflow's artifacts "
              "that no "
              "version has.",
              Range(seconds(1), hours(24 * 30))),
        Field("content_grace", &C::content_grace, "Between a content's last version and its end.",
              Range(seconds(0), hours(24 * 30))),
        Field("fetch_timeout", &C::fetch_timeout, "How long bringing a version to this host may take.",
              Range(seconds(1), hours(24))),
        Field(
            "linger", &C::linger,
            "What routes and releases have brought to a host stays for this long after the last of them has "
            "needed it.",
            Range(seconds(1), hours(24 * 30))),
        Field("retire", &C::retire, "Versions that nobody calls any more."),
        Field("tests", &C::tests, "Tests of versions that arrive.")};
  }
};

}  // namespace mezzo::config
