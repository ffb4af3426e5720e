#pragma once

#include <string>

namespace mezzo::net {

/// Where a server's certificate comes from. Both files are PEM; the first holds the chain, the server's
/// first.
struct TlsOptions {
  std::string certificate_file;
  std::string key_file;
  std::string client_ca_file;  ///< When set, clients must present a certificate that it signed.
};

}  // namespace mezzo::net
