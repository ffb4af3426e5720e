#include <algorithm>
#include <utility>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "mezzo/net/internal/transport.h"

namespace mezzo::net {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t kRecord = 16 << 10;  // The largest plain text of a TLS record.

class TlsTransport final : public Transport {
 public:
  TlsTransport(asio::ip::tcp::socket plain, std::shared_ptr<asio::ssl::context> context)
      : Transport(std::move(plain)), context_(std::move(context)), stream_(socket(), *context_) {}

  void StartHandshake(TransportEvents* events) override {
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [events](const error_code& error) { events->OnRead(!error, 0); });
  }

  void StartRead(TransportEvents* events, char* to, std::size_t count) override {
    stream_.async_read_some(asio::buffer(to, count),
                            [events](const error_code& error, std::size_t n) { events->OnRead(!error, n); });
  }

  std::size_t TryWrite(std::span<const iovec>, bool*) override { return 0; }

  void StartWrite(TransportEvents* events, std::span<const iovec> parts) override {
    // One record for a head and a small body: small parts are gathered, a large first part goes as it is.
    asio::const_buffer out(parts[0].iov_base, parts[0].iov_len);
    if (parts.size() > 1 && parts[0].iov_len < kRecord) {
      gathered_.clear();
      for (const iovec& part : parts) {
        const std::size_t take = std::min(part.iov_len, kRecord - gathered_.size());
        const char* from = static_cast<const char*>(part.iov_base);
        gathered_.insert(gathered_.end(), from, from + take);
        if (gathered_.size() == kRecord) break;
      }
      out = asio::buffer(gathered_);
    }
    stream_.async_write_some(
        out, [events](const error_code& error, std::size_t n) { events->OnWritten(!error, n); });
  }

  bool StartShutdown(TransportEvents* events) override {
    // Sends close_notify, which tells the peer an end from a cut, and waits for the peer's.
    stream_.async_shutdown([events](const error_code& error) { events->OnWritten(!error, 0); });
    return true;
  }

 private:
  const std::shared_ptr<asio::ssl::context> context_;
  asio::ssl::stream<asio::ip::tcp::socket&> stream_;
  std::vector<char> gathered_;
};

}  // namespace

std::unique_ptr<Transport> NewTlsTransport(asio::ip::tcp::socket socket,
                                           std::shared_ptr<asio::ssl::context> context) {
  return std::make_unique<TlsTransport>(std::move(socket), std::move(context));
}

}  // namespace mezzo::net
