#pragma once

#include <memory>

#include <boost/asio/ssl/context.hpp>

#include "mezzo/base/result.h"
#include "mezzo/net/tls.h"

namespace mezzo::net {

/// A server's context: TLS 1.2 or newer, ALPN "http/1.1". Fails as HttpServer::ReloadTls() says.
Result<std::shared_ptr<boost::asio::ssl::context>> LoadTls(const TlsOptions& options);

}  // namespace mezzo::net
