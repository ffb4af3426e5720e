#include "mezzo/net/internal/chunk_decoder.h"

#include <memory>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace mezzo::net {
namespace {

struct Decoded {
  std::string body;
  bool done = false;
  bool failed = false;
};

/// Decodes `wire` that arrives in pieces which end after `first`, then after `second` bytes, then byte by
/// byte.
Decoded Decode(std::string_view wire, std::size_t first, std::size_t second) {
  const auto budget = std::make_shared<ByteBudget>(1 << 20);
  BodyBuffer out(budget, 0);
  ChunkDecoder decoder({.max_body = 4096, .max_chunks = 64}, &out);
  std::string unread;
  std::size_t at = 0;
  while (at < wire.size() && !decoder.done() && !decoder.error()) {
    const std::size_t next = at < first ? first : at < second ? second : at + 1;
    unread += wire.substr(at, next - at);
    at = next;
    unread.erase(0, decoder.Decode(unread));
  }
  return {
      .body = std::string(out.Take().text()), .done = decoder.done(), .failed = decoder.error().has_value()};
}

TEST(ChunkDecoder, DecodesWhereverTheBytesAreCut) {
  for (const std::string_view wire :
       {std::string_view("0\r\n\r\n"), std::string_view("4\r\nabcd\r\n0\r\n\r\n"),
        std::string_view("00\r\n\r\n"),
        std::string_view("1\r\na\r\n3;x=y\r\nbcd\r\n0\r\nTrailer: t\r\n\r\n")}) {
    const std::string_view expected = wire.front() == '0' ? "" : "abcd";
    for (std::size_t first = 0; first <= wire.size(); ++first) {
      for (std::size_t second = first; second <= wire.size(); ++second) {
        const Decoded decoded = Decode(wire, first, second);
        EXPECT_TRUE(decoded.done) << wire << " cut at " << first << " and " << second;
        EXPECT_EQ(decoded.body, expected) << wire << " cut at " << first << " and " << second;
      }
    }
  }
}

TEST(ChunkDecoder, RefusesWhatIsNotChunkedWhereverItIsCut) {
  for (const std::string_view wire :
       {std::string_view("zz\r\nabcd\r\n"), std::string_view("4\r\nabcdXX0\r\n\r\n"),
        std::string_view("-1\r\nabcd\r\n")}) {
    for (std::size_t cut = 0; cut <= wire.size(); ++cut) {
      const Decoded decoded = Decode(wire, cut, wire.size());
      EXPECT_TRUE(decoded.failed) << wire << " cut at " << cut;
      EXPECT_FALSE(decoded.done);
    }
  }
}

}  // namespace
}  // namespace mezzo::net
