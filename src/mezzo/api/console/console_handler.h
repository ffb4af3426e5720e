#pragma once

#include <span>
#include <string>
#include <vector>

#include "mezzo/api/console/console_assets.h"
#include "mezzo/api/protocol.h"

namespace mezzo::api::console {

/// The web console (docs/guides/console.md), from memory:
///
///     GET, HEAD  /console, /console/        the page; always asked for again
///     GET, HEAD  /console/assets/{file}     its scripts and styles; their names change with them
///     GET, HEAD  /console/{file}            its icon
///     GET, HEAD  /console/sign-in.json      how people may sign in
///
/// Open to everybody: the files are the same for all, and what they show they ask the API for with the
/// caller's own key. A request's path is compared with the list of files and never leads to a file system.
/// Thread-safe.
class ConsoleHandler final : public Protocol {
 public:
  /// An issuer at which people sign in by authorization code and PKCE.
  struct Issuer {
    std::string url;
    std::string client_id;
    std::string scope;  ///< What is asked for, such as "openid profile".
  };
  struct Options {
    std::string version;  ///< The server's, as the page shows it.
    std::vector<Issuer> issuers;
    /// Further origins ("https://bucket.example") that pictures and films come from.
    std::vector<std::string> media_origins;
  };
  /// `assets` are sorted by path and outlive the handler.
  ConsoleHandler(const Options& options, std::span<const ConsoleAsset> assets);

  static constexpr const char* kRoot = "/console";
  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;
  [[nodiscard]] net::HttpResponse Refuse(const Error& error) const override;
  [[nodiscard]] net::HttpResponse RefuseRoute(const net::HttpRequest& head,
                                              const RouteMatch& match) const override;

 private:
  [[nodiscard]] net::HttpResponse Serve(const net::HttpRequest& request) const;
  /// What every answer says to the browser.
  void Guard(net::HttpResponse* response) const;

  const std::span<const ConsoleAsset> assets_;
  const std::string policy_;   ///< Content-Security-Policy.
  const std::string sign_in_;  ///< JSON.
};

/// The origin of an http or https address ("https://a:8443"); empty when it is none.
[[nodiscard]] std::string OriginOf(std::string_view url);

/// Whether an Accept-Encoding header lets gzip be sent.
[[nodiscard]] bool AcceptsGzip(std::string_view accept_encoding);

/// Whether an If-None-Match header names `etag`, or anything.
[[nodiscard]] bool MatchesEtag(std::string_view if_none_match, std::string_view etag);

}  // namespace mezzo::api::console
