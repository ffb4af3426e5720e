#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "mezzo/net/internal/body_buffer.h"
#include "mezzo/net/internal/request_assembler.h"

namespace mezzo::net {

/// Decodes one chunked body. Trailers are checked and dropped. Not thread-safe.
class ChunkDecoder {
 public:
  struct Limits {
    ByteCount max_body = 0;
    std::size_t max_chunks = 65536;
  };
  ChunkDecoder(Limits limits, BodyBuffer* out);
  ~ChunkDecoder();

  /// Decodes from `in` and returns how much it used; what is left must be there again, with more, at the next
  /// call.
  std::size_t Decode(std::string_view in);
  [[nodiscard]] bool done() const;
  [[nodiscard]] const std::optional<HttpError>& error() const;

 private:
  class Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace mezzo::net
