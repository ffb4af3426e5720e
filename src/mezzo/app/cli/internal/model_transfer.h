#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "mezzo/app/cli/model_command.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/result.h"

namespace mezzo::app::cli {

/// `mezzo model push`: the files of `options.folder` as a version of `options.name`. Goes on with a version
/// of the same content that an earlier push has left half-way, and sends only what the server lacks.
Result<void> PushModel(const V2Client& client, const ModelOptions& options);
/// `mezzo model pull`: a version's files, verified, into `options.folder`; those that are there are not
/// fetched again.
Result<void> PullModel(const V2Client& client, const ModelOptions& options);

/// "/v1/registry/models/NAME[/versions/VERSION]".
std::string RegistryPath(const std::string& model, const std::string& version = "");

}  // namespace mezzo::app::cli
