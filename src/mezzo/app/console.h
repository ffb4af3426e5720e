#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mezzo/api/console/console_handler.h"
#include "mezzo/app/server_config.h"

namespace mezzo::app {

/// The web console of this build, for this configuration; null when `http.console` is off or the build has
/// none.
std::unique_ptr<api::console::ConsoleHandler> MakeConsole(const ServerConfig& config,
                                                          std::string_view version);

/// The origin that signed URLs of artifacts lead browsers to; empty: this server's own.
std::string ArtifactOrigin(const ArtifactsConfig& config);

}  // namespace mezzo::app
