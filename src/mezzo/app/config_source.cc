#include "mezzo/app/config_source.h"

#include <filesystem>

#include <CLI/CLI.hpp>

#include "mezzo/app/server_schema.h"
#include "mezzo/app/shared_state.h"

namespace mezzo::app {

void AddConfigFlags(CLI::App& command, ConfigSource& source) {
  command.add_option("-c,--config", source.file, "Configuration file (mezzo.yaml)")->envname("MEZZO_CONFIG");
  command.add_option("--models", source.repositories, "Model repository folder; may be repeated");
  command.add_option("--http-port", source.http_port, "HTTP port (0: any free one)");
  command.add_option("--grpc-port", source.grpc_port, "gRPC port (0: any free one)");
  command.add_option("--set", source.sets, "Any key: --set device.slots=4; may be repeated");
  command.add_flag("--insecure", source.insecure, "Allow callers without keys from other hosts");
}

Result<ServerConfig> ReadConfig(const ConfigSource& source, bool resolve_secrets,
                                config::Provenance* provenance) {
  config::LoadOptions options;
  options.file = source.file;
  options.environment = config::ProcessEnvironment();
  // Read by the commands themselves, not part of the server's configuration.
  options.ignored_variables = {"MEZZO_CONFIG", "MEZZO_API_KEY", "MEZZO_URL", "MEZZO_PRESET", "MEZZO_COUNTS"};
  options.sets = source.sets;
  options.resolve_secrets = resolve_secrets;
  if (source.http_port)
    options.flags.push_back({"--http-port", "http.port", std::to_string(*source.http_port)});
  if (source.grpc_port)
    options.flags.push_back({"--grpc-port", "grpc.port", std::to_string(*source.grpc_port)});
  if (source.insecure) options.flags.push_back({"--insecure", "insecure", "true"});
  MEZZO_TRY(ServerConfig config, config::Load<ServerConfig>(options, provenance));
  // Folders may have any character, so they do not go through the text form of a list.
  if (!source.repositories.empty()) {
    config.models.repositories = source.repositories;
    if (provenance != nullptr) (*provenance)["models.repositories"] = "--models";
  }
  // Processes that run in other folders are told of paths in it.
  std::error_code failed;
  const auto absolute = std::filesystem::absolute(config.data_dir, failed);
  if (failed) return Unavailable("data_dir", "the current folder is not known: " + failed.message());
  config.data_dir = absolute.lexically_normal().string();
  MEZZO_TRY_VOID(CheckExposure(config));
  MEZZO_TRY_VOID(CallersOf(config));
  MEZZO_TRY_VOID(CheckRedis(config.redis));
  return config;
}

}  // namespace mezzo::app
