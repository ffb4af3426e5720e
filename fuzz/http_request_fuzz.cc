// Heads and chunked bodies of HTTP requests, cut into reads at places that the input chooses.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/net/internal/chunk_decoder.h"
#include "mezzo/net/internal/request_assembler.h"

namespace mezzo::net {
namespace {

void CheckRequest(const HttpRequest& request) {
  if (request.path() == "*") return;
  MEZZO_CHECK(request.path().starts_with('/'));
  MEZZO_CHECK(request.path().find('\0') == std::string_view::npos);
  MEZZO_CHECK((std::string(request.path()) + "/").find("/../") == std::string::npos);
  for (const HeaderView& header : request.headers()) {
    MEZZO_CHECK(!header.name.empty());
    MEZZO_CHECK(header.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
  }
}

void DecodeChunks(std::string_view body, std::size_t step) {
  const auto budget = std::make_shared<ByteBudget>(1 << 20);
  {
    BodyBuffer out(budget, 7);
    ChunkDecoder decoder({.max_body = 4096, .max_chunks = 64}, &out);
    std::string pending;
    while (!decoder.done() && !decoder.error() && !body.empty()) {
      const std::size_t take = std::min(step, body.size());
      pending += body.substr(0, take);
      body.remove_prefix(take);
      pending.erase(0, decoder.Decode(pending));
    }
    MEZZO_CHECK(out.size() <= 4096);
  }
  MEZZO_CHECK(budget->used() == 0);
}

}  // namespace
}  // namespace mezzo::net

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mezzo::net;  // NOLINT(google-build-using-namespace): the entry point has to be global.
  if (size == 0) return 0;
  const std::size_t step = data[0] % 64 + 1;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  RequestAssembler assembler({.max_header_bytes = 4096, .max_headers = 16, .max_request_line = 512});
  HttpRequest request;
  for (std::size_t seen = std::min(step, text.size());; seen = std::min(seen + step, text.size())) {
    const std::string_view arrived = std::string_view(text).substr(0, seen);
    if (assembler.FindHead(arrived)) {
      // A copy of exactly the head: reading past it is a sanitizer's error.
      const std::string head(arrived.substr(0, assembler.head_size()));
      if (!assembler.Assemble(head, &request)) break;
      CheckRequest(request);
      if (assembler.framing().chunked) DecodeChunks(std::string_view(text).substr(head.size()), step);
      break;
    }
    if (assembler.error() || seen == text.size()) break;
  }
  return 0;
}
