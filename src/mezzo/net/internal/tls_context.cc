#include "mezzo/net/internal/tls_context.h"

#include <cstring>
#include <string>

#include <openssl/ssl.h>

namespace mezzo::net {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

constexpr unsigned char kAlpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

int SelectAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
               unsigned offered_size, void*) {
  unsigned char* selected = nullptr;
  const int result = SSL_select_next_proto(&selected, out_size, kAlpn, sizeof(kAlpn), offered, offered_size);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

Error Bad(std::string_view reason, const std::string& what, const std::string& file,
          const error_code& error) {
  return InvalidArgument(reason, what + " '" + file + "': " + error.message());
}

}  // namespace

Result<std::shared_ptr<ssl::context>> LoadTls(const TlsOptions& options) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  error_code error;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1 |
                           ssl::context::single_dh_use | SSL_OP_NO_RENEGOTIATION,
                       error);
  context->use_certificate_chain_file(options.certificate_file, error);
  if (error) return Bad("bad_certificate", "cannot use the certificate", options.certificate_file, error);
  context->use_private_key_file(options.key_file, ssl::context::pem, error);
  if (error) return Bad("bad_key", "cannot use the key", options.key_file, error);
  if (!options.client_ca_file.empty()) {
    context->load_verify_file(options.client_ca_file, error);
    if (error)
      return Bad("bad_client_ca", "cannot use the clients' authority", options.client_ca_file, error);
    context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
  }
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_alpn_select_cb(context->native_handle(), SelectAlpn, nullptr);
  return context;
}

}  // namespace mezzo::net
