#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <boost/asio/buffer.hpp>

#include "mezzo/net/internal/transport.h"

namespace mezzo::net {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t kMaxParts = 1024;  // IOV_MAX of Linux.

class PlainTransport final : public Transport {
 public:
  using Transport::Transport;

  void StartHandshake(TransportEvents*) override {}

  void StartRead(TransportEvents* events, char* to, std::size_t count) override {
    // Asio tries at once unless the last read emptied the socket, and then waits for epoll's edge: no wasted
    // call.
    socket().async_read_some(asio::buffer(to, count),
                             [events](const error_code& error, std::size_t n) { events->OnRead(!error, n); });
  }

  std::size_t TryWrite(std::span<const iovec> parts, bool* failed) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts.data());
    message.msg_iovlen = std::min(parts.size(), kMaxParts);
    while (true) {
      const ssize_t sent = ::sendmsg(socket().native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0) return static_cast<std::size_t>(sent);
      if (errno == EINTR) continue;
      *failed = errno != EAGAIN && errno != EWOULDBLOCK;
      return 0;
    }
  }

  void StartWrite(TransportEvents* events, std::span<const iovec> parts) override {
    socket().async_wait(asio::ip::tcp::socket::wait_write, [this, events, parts](const error_code& error) {
      bool failed = static_cast<bool>(error);
      const std::size_t sent = failed ? 0 : TryWrite(parts, &failed);
      events->OnWritten(!failed, sent);
    });
  }
};

}  // namespace

bool Transport::StartShutdown(TransportEvents*) {
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  return false;
}

void Transport::Cancel() {
  error_code ignored;
  socket_.cancel(ignored);
}

void Transport::Abort() {
  error_code ignored;
  socket_.close(ignored);
}

bool Transport::PeerClosed() {
  pollfd state{.fd = socket_.native_handle(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

std::unique_ptr<Transport> NewPlainTransport(asio::ip::tcp::socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

}  // namespace mezzo::net
