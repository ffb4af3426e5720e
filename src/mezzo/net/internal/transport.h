#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

namespace mezzo::net {

/// Who hears of a transport's ends of operations. Called on the loop, never from within the starting call.
class TransportEvents {
 public:
  /// `count` 0 with an error, or without one at the end of the stream. Also ends StartHandshake().
  virtual void OnRead(bool ok, std::size_t count) = 0;
  /// `count` bytes were written, or the transport failed.
  virtual void OnWritten(bool ok, std::size_t count) = 0;

 protected:
  ~TransportEvents() = default;
};

/// A byte stream under a connection: one read and one write at a time, on the loop's thread only. Must not be
/// destroyed while an operation runs: Abort() ends them soon.
class Transport {
 public:
  explicit Transport(boost::asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}
  virtual ~Transport() = default;

  /// Ends with OnRead(). Plain transports are never asked.
  virtual void StartHandshake(TransportEvents* events) = 0;
  virtual void StartRead(TransportEvents* events, char* to, std::size_t count) = 0;
  /// Writes what fits now; 0 when that is nothing. Sets `failed` when the stream is broken.
  virtual std::size_t TryWrite(std::span<const iovec> parts, bool* failed) = 0;
  /// Waits until something can be written, writes it and ends with OnWritten(); the caller goes on with the
  /// rest.
  virtual void StartWrite(TransportEvents* events, std::span<const iovec> parts) = 0;
  /// Sends the end of the stream; no read may run. True when OnWritten() will follow, false when it is sent.
  virtual bool StartShutdown(TransportEvents* events);
  /// Ends running operations with errors; the stream stays usable for writing.
  void Cancel();
  /// Ends running operations with errors and closes the socket.
  void Abort();
  /// True when the client has closed its sending side, as far as the kernel knows.
  [[nodiscard]] bool PeerClosed();

 protected:
  boost::asio::ip::tcp::socket& socket() { return socket_; }

 private:
  boost::asio::ip::tcp::socket socket_;
};

std::unique_ptr<Transport> NewPlainTransport(boost::asio::ip::tcp::socket socket);
std::unique_ptr<Transport> NewTlsTransport(boost::asio::ip::tcp::socket socket,
                                           std::shared_ptr<boost::asio::ssl::context> context);

}  // namespace mezzo::net
