#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/check.h"
#include "mezzo/net/http_types.h"
#include "mezzo/net/internal/request_assembler.h"

namespace mezzo::net::testing {

/// A request as a handler gets it, made from text, for tests of handlers without a server. Aborts on a bad
/// head.
class MadeRequest {
 public:
  MadeRequest(std::string_view method, std::string_view target,
              const std::vector<std::pair<std::string, std::string>>& headers = {}, std::string body = {}) {
    head_ = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\n";
    bool has_host = false;
    for (const auto& [name, value] : headers) {
      has_host = has_host || name == "Host";
      head_.append(name).append(": ").append(value).append("\r\n");
    }
    if (!has_host) head_ += "Host: test\r\n";
    head_ += "\r\n";
    RequestAssembler assembler({});
    MEZZO_CHECK(assembler.FindHead(head_) && assembler.Assemble(head_, &request_));
    RequestAssembler::SetPeer(&request_, "127.0.0.1", true, false);
    RequestAssembler::SetBody(&request_, SharedBytes::FromString(std::move(body)));
  }
  MadeRequest(const MadeRequest&) = delete;
  MadeRequest& operator=(const MadeRequest&) = delete;

  HttpRequest* get() { return &request_; }
  HttpRequest& operator*() { return request_; }
  HttpRequest* operator->() { return &request_; }

 private:
  std::string head_;
  HttpRequest request_;
};

}  // namespace mezzo::net::testing
