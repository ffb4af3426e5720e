#include "mezzo/drivers/remote/remote_engine.h"

#include <cstdlib>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/remote/internal/images_session.h"
#include "mezzo/drivers/remote/internal/upstream_client.h"
#include "mezzo/drivers/remote/internal/v2_session.h"
#include "mezzo/net/http_client.h"

namespace mezzo::drivers {
namespace {

constexpr std::string_view kReference = "env:";
/// So that a model's configuration can send no other secret of this process anywhere.
constexpr std::string_view kVariables = "UPSTREAM_";

Error Bad(const std::string& what) { return InvalidArgument("upstream_config", what); }

Result<std::string> CheckUrl(std::string url) {
  const bool web = net::IsHttpUrl(url);
  if (!web || url.find_first_of("?#@ \\") != std::string::npos || url.find("://") + 3 == url.size()) {
    return Bad("upstream.url is '" + Printable(url) +
               "'; it must be http:// or https://, a host, a port if need be, and a path if any");
  }
  while (url.ends_with('/')) url.pop_back();
  return url;
}

}  // namespace

RemoteEngine::RemoteEngine(Options options, const Clock& clock, observe::Registry& registry)
    : options_(std::move(options)), clock_(clock), metrics_(std::make_shared<RemoteMetrics>(registry)) {}

RemoteEngine::~RemoteEngine() = default;

Result<std::string> RemoteEngine::Resolve(const std::string& name, const std::string& value) const {
  const std::size_t at = value.find(kReference);
  const std::string variable = at == std::string::npos ? "" : value.substr(at + kReference.size());
  if (!variable.starts_with(kVariables)) {
    return Bad("upstream.headers." + Printable(name) +
               " must end in a reference env:" + std::string(kVariables) + "NAME (its value is not shown)");
  }
  std::optional<std::string> found;
  if (options_.variable != nullptr) {
    found = options_.variable(variable);
  } else if (const char* own = ::getenv(variable.c_str()); own != nullptr) {
    found = own;
  }
  if (!found.has_value() || found->empty()) {
    return Bad("upstream.headers." + Printable(name) + " refers to the environment variable " +
               Printable(variable) + ", which is not set");
  }
  return value.substr(0, at) + *found;
}

Result<std::unique_ptr<engine::Session>> RemoteEngine::Load(const engine::LoadRequest& request) {
  const engine::Upstream& upstream = request.upstream;
  UpstreamClient::Options options;
  MEZZO_TRY(options.url, CheckUrl(upstream.url));
  if (upstream.model.empty()) return Bad("upstream.model is empty");
  for (const auto& [name, value] : upstream.headers) {
    MEZZO_TRY(std::string resolved, Resolve(name, value));
    options.headers.emplace_back(name, std::move(resolved));
  }
  options.model = request.model;
  options.timeout = upstream.timeout;
  options.retries = upstream.retries;
  options.backoff = options_.backoff;
  options.retry_budget = options_.retry_budget;
  options.breaker = options_.breaker;
  options.http.reach = net::AddressGuard::Reach::kPrivate;  // The operator named the host.
  options.http.allow_http = options.url.starts_with("http://");
  options.http.connect_timeout = options_.connect_timeout;
  options.http.total_timeout = upstream.timeout;
  options.http.max_response_bytes = options_.max_response_bytes;
  options.http.ca_file = options_.ca_file;
  auto client = std::make_unique<UpstreamClient>(std::move(options), clock_, metrics_);
  if (upstream.protocol == engine::UpstreamProtocol::kOpenAiImages) {
    return std::unique_ptr<engine::Session>(
        std::make_unique<ImagesSession>(std::move(client), upstream.model));
  }
  return V2Session::Open(std::move(client), request);
}

}  // namespace mezzo::drivers
