#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "mezzo/base/mutex.h"

namespace mezzo::app::cli {

/// An HTTP server on a free loopback port, a thread for each connection, for the tests of this folder.
class FakeServer {
 public:
  struct Answer {
    int status = 200;
    std::string body = "{}";
    std::vector<std::pair<std::string, std::string>> headers;
    bool close = false;    ///< Close the connection after the answer.
    bool hang_up = false;  ///< Close it instead of answering.
    bool chunked = false;
  };
  using Request = boost::beast::http::request<boost::beast::http::string_body>;
  /// Called on many threads at once.
  using Handler = std::function<Answer(const Request&)>;

  explicit FakeServer(Handler handler)
      : handler_(std::move(handler)), acceptor_(io_, {boost::asio::ip::make_address("127.0.0.1"), 0}) {
    port_ = acceptor_.local_endpoint().port();
    thread_ = std::thread([this] { Accept(); });
  }
  ~FakeServer() {
    stopping_ = true;
    boost::system::error_code ignored;
    boost::asio::ip::tcp::socket knock(io_);  // Ends the accept that waits.
    knock.connect({boost::asio::ip::make_address("127.0.0.1"), port_}, ignored);
    thread_.join();
    {
      MutexLock lock(mu_);
      for (auto& socket : sockets_) socket.shutdown(boost::asio::ip::tcp::socket::shutdown_both, ignored);
    }
    for (auto& connection : connections_) connection.join();
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  void Accept() {
    while (true) {
      boost::asio::ip::tcp::socket socket(io_);
      boost::system::error_code error;
      acceptor_.accept(socket, error);
      if (stopping_ || error) return;
      MutexLock lock(mu_);
      auto& kept = sockets_.emplace_back(std::move(socket));
      connections_.emplace_back([this, &kept] { Serve(kept); });
    }
  }

  void Serve(boost::asio::ip::tcp::socket& socket) {
    namespace http = boost::beast::http;
    boost::beast::flat_buffer buffer;
    boost::system::error_code error;
    while (!error) {
      Request request;
      http::read(socket, buffer, request, error);
      if (error) break;
      const Answer answer = handler_(request);
      if (answer.hang_up) break;
      http::response<http::string_body> response(static_cast<http::status>(answer.status), 11);
      for (const auto& [name, value] : answer.headers) response.set(name, value);
      response.keep_alive(!answer.close);
      response.body() = answer.body;
      if (answer.chunked) {
        response.chunked(true);
      } else {
        response.prepare_payload();
      }
      http::write(socket, response, error);
      if (answer.close) break;
    }
    socket.shutdown(boost::asio::ip::tcp::socket::shutdown_both, error);
  }

  Handler handler_;
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};  // Set before the accepting thread is joined; no partner.
  Mutex mu_;
  std::list<boost::asio::ip::tcp::socket> sockets_ GUARDED_BY(mu_);
  std::list<std::thread> connections_;  // Filled by the accepting thread, joined after it.
  std::thread thread_;
};

}  // namespace mezzo::app::cli
