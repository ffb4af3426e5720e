#pragma once

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>

namespace mezzo::app::cli::internal {

/// Standard input to its end; of more than `limit` bytes about a piece more than that, so that whoever has
/// the limit can see it passed. Blocks.
inline std::string ReadStandardInput(std::size_t limit) {
  std::string out;
  std::array<char, 4096> piece{};
  while (out.size() <= limit) {
    const ssize_t n = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    out.append(piece.data(), static_cast<std::size_t>(n));
  }
  return out;
}

}  // namespace mezzo::app::cli::internal
