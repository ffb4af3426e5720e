#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "mezzo/net/testing/server_fixture.h"

namespace mezzo::net {
namespace {

using ::testing::HasSubstr;
using testing::ServerTest;

template <auto Free>
struct Freeing {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freeing<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freeing<X509_free>>;
using File = std::unique_ptr<std::FILE, Freeing<std::fclose>>;

/// Writes a new self-signed certificate for `name` and its key.
void WriteCertificate(const std::string& name, const std::string& certificate_file,
                      const std::string& key_file) {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  const File out(std::fopen(certificate_file.c_str(), "w"));
  PEM_write_X509(out.get(), certificate.get());
  const File key_out(std::fopen(key_file.c_str(), "w"));
  PEM_write_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
}

/// A blocking TLS client that trusts everybody.
class TlsClient {
 public:
  explicit TlsClient(std::uint16_t port, int version = 0, const std::string& alpn = "\x08http/1.1")
      : context_(SSL_CTX_new(TLS_client_method())), ssl_(nullptr) {
    if (version != 0) {
      SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
      SSL_CTX_set_security_level(context_.get(), 0);
      SSL_CTX_set_max_proto_version(context_.get(), version);
    }
    SSL_CTX_set_alpn_protos(context_.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                            static_cast<unsigned>(alpn.size()));
    bio_.reset(BIO_new_connect(("127.0.0.1:" + std::to_string(port)).c_str()));
    ssl_.reset(SSL_new(context_.get()));
    if (BIO_do_connect(bio_.get()) != 1) return;
    BIO_up_ref(bio_.get());
    SSL_set_bio(ssl_.get(), bio_.get(), bio_.get());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] std::string version() const { return SSL_get_version(ssl_.get()); }
  [[nodiscard]] std::string alpn() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  [[nodiscard]] std::string subject() const {
    const Certificate peer(SSL_get1_peer_certificate(ssl_.get()));
    char name[64] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(peer.get()), NID_commonName, name, sizeof(name));
    return name;
  }
  /// Sends and reads until `size` bytes came or the server closed.
  std::string Exchange(const std::string& request, std::size_t size) {
    std::size_t done = 0;
    if (SSL_write_ex(ssl_.get(), request.data(), request.size(), &done) != 1) return "";
    std::string out;
    char buffer[16384];
    while (out.size() < size && SSL_read_ex(ssl_.get(), buffer, sizeof(buffer), &done) == 1)
      out.append(buffer, done);
    return out;
  }
  /// True when the server ended with close_notify.
  [[nodiscard]] bool clean_end() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }

 private:
  std::unique_ptr<SSL_CTX, Freeing<SSL_CTX_free>> context_;
  std::unique_ptr<BIO, Freeing<BIO_free_all>> bio_;
  std::unique_ptr<SSL, Freeing<SSL_free>> ssl_;
  bool connected_ = false;
};

class TlsTest : public ServerTest {
 protected:
  TlsTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mezzo-tls-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    WriteCertificate("first", folder_ + "/cert.pem", folder_ + "/key.pem");
    Options().tls = TlsOptions{
        .certificate_file = folder_ + "/cert.pem", .key_file = folder_ + "/key.pem", .client_ca_file = ""};
  }
  ~TlsTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(TlsTest, ServesOverTls) {
  Start();
  TlsClient client(port());
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(client.version(), "TLSv1.3");
  EXPECT_EQ(client.alpn(), "http/1.1");
  EXPECT_THAT(client.Exchange(Post("/echo", "secret"), 50), HasSubstr("\r\n\r\nsecret"));
  const std::string large(2'000'000, 'l');
  EXPECT_GT(client.Exchange(Post("/echo", large), large.size()).size(), large.size());
  EXPECT_THAT(client.Exchange("GET /pieces HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 10'000),
              HasSubstr("headppp"));
  EXPECT_TRUE(client.clean_end());
}

TEST_F(TlsTest, RefusesOldVersionsAndOtherProtocols) {
  Start();
  EXPECT_TRUE(TlsClient(port(), TLS1_2_VERSION).connected());
  EXPECT_FALSE(TlsClient(port(), TLS1_1_VERSION).connected());
  EXPECT_FALSE(TlsClient(port(), 0, "\x02h2").connected());
  EXPECT_FALSE(Connect().Exchange(Post("/echo", "plain")));
}

TEST_F(TlsTest, ReloadServesTheNewCertificateAndKeepsTheOldOneOnFailure) {
  Start();
  EXPECT_EQ(TlsClient(port()).subject(), "first");
  WriteCertificate("second", folder_ + "/cert.pem", folder_ + "/key.pem");
  ASSERT_TRUE(server().ReloadTls().ok());
  EXPECT_EQ(TlsClient(port()).subject(), "second");

  std::filesystem::remove(folder_ + "/key.pem");
  EXPECT_EQ(server().ReloadTls().error().reason(), "bad_key");
  EXPECT_EQ(TlsClient(port()).subject(), "second");
}

TEST_F(TlsTest, ADisconnectCancelsOverTlsToo) {
  Start();
  {
    TlsClient client(port());
    client.Exchange(Post("/hang", "x"), 0);
    handler().WaitHanging();
  }
  handler().WaitCancelled();
}

TEST_F(TlsTest, StopEndsHandshakesThatNeverCame) {
  Start();
  const testing::RawClient silent = Connect();
  while (server().connections() == 0) std::this_thread::yield();
  server().Stop();
  EXPECT_EQ(server().connections(), 0u);
}

}  // namespace
}  // namespace mezzo::net
