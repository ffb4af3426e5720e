#pragma once

#include <cstdint>
#include <string>

#include <boost/beast/http/basic_parser.hpp>

namespace mezzo::app::cli {

/// Walks one HTTP/1.1 response without keeping its body: what a load generator needs of it.
class ResponseParser final : public boost::beast::http::basic_parser<false> {
 public:
  using Text = boost::beast::string_view;
  using ErrorCode = boost::beast::error_code;

  ResponseParser() {
    eager(true);
    body_limit(boost::none);
    header_limit(16 * 1024);
  }

  [[nodiscard]] int status() const { return status_; }
  /// Mezzo's stable slug of an error; empty when the server sent none.
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  using Field = boost::beast::http::field;
  using Verb = boost::beast::http::verb;

  void on_request_impl(Verb, Text, Text, int, ErrorCode&) override {}
  void on_response_impl(int code, Text, int, ErrorCode&) override { status_ = code; }
  void on_field_impl(Field field, Text name, Text value, ErrorCode&) override {
    constexpr std::size_t kMaxReason = 64;
    if (field == Field::unknown && boost::beast::iequals(name, "X-Mezzo-Reason")) {
      reason_.assign(value.data(), std::min(value.size(), kMaxReason));
    }
  }
  void on_header_impl(ErrorCode&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, ErrorCode&) override {}
  std::size_t on_body_impl(Text body, ErrorCode&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, Text, ErrorCode&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text body, ErrorCode&) override { return body.size(); }
  void on_finish_impl(ErrorCode&) override {}

  int status_ = 0;
  std::string reason_;
};

}  // namespace mezzo::app::cli
