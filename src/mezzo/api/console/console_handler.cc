#include "mezzo/api/console/console_handler.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/http_error.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::console {
namespace {

using Json = nlohmann::ordered_json;
using net::Method;

enum RouteId : int { kFile, kSignIn };

constexpr std::string_view kPage = "/console/";
constexpr std::array<Route, 10> kRoutes = {Route{Method::kGet, "/console", {}, 0, kFile},
                                           Route{Method::kHead, "/console", {}, 0, kFile},
                                           Route{Method::kGet, "/console/", {}, 0, kFile},
                                           Route{Method::kHead, "/console/", {}, 0, kFile},
                                           Route{Method::kGet, "/console/sign-in.json", {}, 0, kSignIn},
                                           Route{Method::kHead, "/console/sign-in.json", {}, 0, kSignIn},
                                           Route{Method::kGet, "/console/*", {}, 0, kFile},
                                           Route{Method::kHead, "/console/*", {}, 0, kFile},
                                           Route{Method::kGet, "/console/assets/*", {}, 0, kFile},
                                           Route{Method::kHead, "/console/assets/*", {}, 0, kFile}};

/// Scripts and styles from here alone, none inside of the page; nobody may frame it; forms go nowhere.
std::string PolicyOf(const ConsoleHandler::Options& options) {
  std::string media;
  for (const std::string& origin : options.media_origins) media += " " + origin;
  std::string issuers;
  for (const auto& issuer : options.issuers) issuers += " " + OriginOf(issuer.url);
  return "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' blob: "
         "data:" +
         media + "; media-src 'self' blob:" + media + "; connect-src 'self'" + issuers +
         "; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}

std::string SignInJson(const ConsoleHandler::Options& options) {
  Json issuers = Json::array();
  for (const auto& issuer : options.issuers)
    issuers.push_back({{"issuer", issuer.url}, {"client_id", issuer.client_id}, {"scope", issuer.scope}});
  const Json json = {{"object", "sign_in"}, {"version", options.version}, {"issuers", std::move(issuers)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string OriginOf(std::string_view url) {
  if (!url.starts_with("https://") && !url.starts_with("http://")) return {};
  const std::size_t host = url.find("://") + 3;
  const std::string_view origin = url.substr(0, std::min(url.find_first_of("/?#", host), url.size()));
  // What could end a source of the policy is in no host name.
  const bool plain = origin.size() > host && std::all_of(origin.begin(), origin.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                              c == ':' || c == '/' || c == '.' || c == '-' || c == '_' || c == '[' ||
                              c == ']';
                     });
  return plain ? std::string(origin) : std::string();
}

bool AcceptsGzip(std::string_view accept_encoding) {
  std::optional<bool> any;
  for (const std::string_view part : Split(accept_encoding, ',')) {
    const auto pieces = Split(part, ';');
    const std::string_view name = Trim(pieces.empty() ? part : pieces.front());
    bool wanted = true;
    for (std::size_t i = 1; i < pieces.size(); ++i) {
      const std::string_view piece = Trim(pieces[i]);
      // "q=0", "q=0.0": anything above it will do.
      if (piece.starts_with("q=") || piece.starts_with("Q="))
        wanted = piece.substr(2).find_first_not_of("0.") != std::string_view::npos;
    }
    if (EqualsIgnoreCase(name, "gzip")) return wanted;
    if (name == "*") any = wanted;
  }
  return any.value_or(false);
}

bool MatchesEtag(std::string_view if_none_match, std::string_view etag) {
  for (std::string_view one : Split(if_none_match, ',')) {
    one = Trim(one);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*" || one == etag) return true;
  }
  return false;
}

ConsoleHandler::ConsoleHandler(const Options& options, std::span<const ConsoleAsset> assets)
    : assets_(assets), policy_(PolicyOf(options)), sign_in_(SignInJson(options)) {
  MEZZO_CHECK(std::is_sorted(assets.begin(), assets.end(),
                             [](const auto& a, const auto& b) { return a.path < b.path; }));
}

std::span<const Route> ConsoleHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> ConsoleHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  if (call.route != kSignIn) co_return Serve(*call.request);
  net::HttpResponse response = net::HttpResponse::Json(200, sign_in_);
  response.headers.emplace_back("Cache-Control", "no-store");
  Guard(&response);
  co_return response;
}

net::HttpResponse ConsoleHandler::Serve(const net::HttpRequest& request) const {
  const std::string_view path = request.path() == kRoot ? kPage : request.path();
  const auto asset = std::lower_bound(assets_.begin(), assets_.end(), path,
                                      [](const ConsoleAsset& a, std::string_view p) { return a.path < p; });
  if (asset == assets_.end() || asset->path != path)
    return Refuse(NotFound("unknown_url", "the console has no file " + Printable(path)));
  net::HttpResponse response;
  response.headers.emplace_back("ETag", std::string(asset->etag));
  response.headers.emplace_back("Vary", "Accept-Encoding");
  // Vite puts a hash of its content into the name of everything below assets/.
  const bool named_by_content = path.starts_with("/console/assets/");
  response.headers.emplace_back("Cache-Control",
                                named_by_content ? "public, max-age=31536000, immutable" : "no-cache");
  Guard(&response);
  if (const auto known = request.Header("If-None-Match"); known && MatchesEtag(*known, asset->etag)) {
    constexpr int kNotModified = 304;
    response.status = kNotModified;
    return response;
  }
  response.content_type = asset->content_type;
  const bool packed = !asset->gzip.empty() && AcceptsGzip(request.Header("Accept-Encoding").value_or(""));
  if (packed) response.headers.emplace_back("Content-Encoding", "gzip");
  response.pieces.emplace_back(nullptr,
                               packed ? asset->gzip : asset->plain);  // In the binary: nobody owns it.
  return response;
}

void ConsoleHandler::Guard(net::HttpResponse* response) const {
  response->headers.emplace_back("Content-Security-Policy", policy_);
  response->headers.emplace_back("X-Content-Type-Options", "nosniff");
  response->headers.emplace_back("X-Frame-Options", "DENY");
  response->headers.emplace_back("Referrer-Policy", "no-referrer");
  response->headers.emplace_back("Cross-Origin-Opener-Policy", "same-origin");
  response->headers.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
}

net::HttpResponse ConsoleHandler::Refuse(const Error& error) const {
  net::HttpResponse response = ErrorResponse(error);
  Guard(&response);
  return response;
}

net::HttpResponse ConsoleHandler::RefuseRoute(const net::HttpRequest& head, const RouteMatch& match) const {
  net::HttpResponse response = NoRouteResponse(kRoutes, head.path(), match);
  Guard(&response);
  return response;
}

}  // namespace mezzo::api::console
