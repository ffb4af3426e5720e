#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mezzo/base/check.h"

namespace mezzo::net::testing {

/// What came back, headers in one text.
struct RawResponse {
  int status = 0;
  std::string head;
  std::string body;
};

/// A blocking client that sends exactly the bytes it is told to. Waits at most ten seconds.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    MEZZO_CHECK(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0);
  }
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), pending_(std::move(other.pending_)) {}
  RawClient& operator=(RawClient&&) = delete;
  ~RawClient() { Close(); }

  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void CloseSending() { ::shutdown(fd_, SHUT_WR); }
  /// False when the server has closed.
  bool Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// The next response; nothing at the end of the stream or when it is incomplete.
  std::optional<RawResponse> Receive(bool without_body = false) {
    RawResponse response;
    const std::optional<std::string> head = Until("\r\n\r\n");
    if (!head) return std::nullopt;
    response.head = *head;
    std::from_chars(head->data() + 9, head->data() + 12, response.status);
    if (without_body || response.status == 100) return response;
    if (head->find("Transfer-Encoding: chunked") != std::string::npos) {
      return ReceiveChunks(response) ? std::optional(response) : std::nullopt;
    }
    const std::size_t at = head->find("Content-Length: ");
    if (at == std::string::npos) return response;
    std::size_t length = 0;
    std::from_chars(head->data() + at + 16, head->data() + head->size(), length);
    if (!Fill(length)) return std::nullopt;
    response.body = Take(length);
    return response;
  }
  std::optional<RawResponse> Exchange(std::string_view request) {
    Send(request);
    return Receive();
  }
  /// The next `count` bytes, or fewer at the end.
  std::string ReceiveBytes(std::size_t count) {
    Fill(count);
    return Take(std::min(count, pending_.size()));
  }
  /// True when the server closes without sending more.
  bool AtEnd() { return pending_.empty() && !More(); }

 private:
  bool More() {
    char buffer[16384];
    const ssize_t got = ::recv(fd_, buffer, sizeof(buffer), 0);
    if (got <= 0) return false;
    pending_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }
  bool Fill(std::size_t count) {
    while (pending_.size() < count) {
      if (!More()) return false;
    }
    return true;
  }
  std::string Take(std::size_t count) {
    std::string taken = pending_.substr(0, count);
    pending_.erase(0, count);
    return taken;
  }
  std::optional<std::string> Until(std::string_view mark) {
    std::size_t at = 0;
    while ((at = pending_.find(mark)) == std::string::npos) {
      if (!More()) return std::nullopt;
    }
    return Take(at + mark.size());
  }
  bool ReceiveChunks(RawResponse& response) {
    while (true) {
      const std::optional<std::string> line = Until("\r\n");
      if (!line) return false;
      std::size_t size = 0;
      std::from_chars(line->data(), line->data() + line->size(), size, 16);
      if (!Fill(size + 2)) return false;
      response.body += Take(size);
      Take(2);
      if (size == 0) return true;
    }
  }

  int fd_;
  std::string pending_;
};

}  // namespace mezzo::net::testing
