#pragma once

#include <memory>

#include "mezzo/net/http_types.h"

namespace mezzo::app {

/// While no keys are configured, being on this host is all that a caller has to show, and a browser on this
/// host lends that to any page. So requests that a foreign page can cause are refused with 403: those whose
/// Origin is not this server, those that a browser marks as cross-site, and (on loopback) those that name
/// another host, which is a page that had its name rebound to this address. Null: let through.
std::unique_ptr<net::HttpResponse> RefuseForeignPage(const net::HttpRequest& head);

}  // namespace mezzo::app
