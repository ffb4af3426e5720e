#include "mezzo/app/console.h"

#include <utility>

namespace mezzo::app {

using api::console::ConsoleHandler;

std::string ArtifactOrigin(const ArtifactsConfig& config) {
  if (config.store != ArtifactsDriver::kS3) return {};
  const S3Config& s3 = config.s3;
  std::string origin = api::console::OriginOf(s3.url_endpoint.empty() ? s3.endpoint : s3.url_endpoint);
  if (origin.empty() || s3.path_style) return origin;
  return origin.insert(origin.find("://") + 3, s3.bucket + ".");
}

std::unique_ptr<ConsoleHandler> MakeConsole(const ServerConfig& config, std::string_view version) {
  const auto assets = api::console::ConsoleAssets();
  if (!config.http.console || assets.empty()) return nullptr;
  ConsoleHandler::Options options{.version = std::string(version)};
  for (const OidcConfig& issuer : config.oidc) {
    if (issuer.client_id.empty()) continue;
    options.issuers.push_back(
        {.url = issuer.issuer, .client_id = issuer.client_id, .scope = issuer.console_scope});
  }
  if (std::string origin = ArtifactOrigin(config.artifacts); !origin.empty())
    options.media_origins.push_back(std::move(origin));
  return std::make_unique<ConsoleHandler>(options, assets);
}

}  // namespace mezzo::app
