#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/app/server_config.h"
#include "mezzo/base/result.h"
#include "mezzo/config/load.h"

namespace CLI {
class App;
}

namespace mezzo::app {

/// Where a command takes the configuration from: file, environment, flags.
struct ConfigSource {
  std::string file;
  std::vector<std::string> sets;
  std::vector<std::string> repositories;
  std::optional<std::uint16_t> http_port;
  std::optional<std::uint16_t> grpc_port;
  bool insecure = false;
};

/// Declares the flags on `command`; `source` outlives the parsing.
void AddConfigFlags(CLI::App& command, ConfigSource& source);

/// Defaults < file < MEZZO_* variables < flags, checked as a whole.
Result<ServerConfig> ReadConfig(const ConfigSource& source, bool resolve_secrets,
                                config::Provenance* provenance);

}  // namespace mezzo::app
