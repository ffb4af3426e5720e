#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/api/openai/embedding_request.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"

namespace mezzo::api::openai {

/// The vectors of a request, in the order of its inputs: little-endian floats in the engine's own memory.
struct Embeddings {
  std::size_t dimensions = 0;
  std::vector<SharedBytes> rows;
  std::uint64_t tokens = 0;
};

/// Checks `wanted` dimensions of vectors that have `available`. Fails with kInvalidArgument
/// "dimensions_invalid".
Result<void> CheckDimensions(std::string_view model, std::optional<std::uint64_t> wanted,
                             std::size_t available);

/// The body of the answer. With `dimensions` (checked) vectors are cut to their first components and scaled
/// to length 1 again. Fails with kInternal "embedding_not_finite" naming the input: JSON has no such numbers.
Result<std::string> EncodeEmbeddings(std::string_view model, const Embeddings& embeddings,
                                     EncodingFormat format, std::optional<std::uint64_t> dimensions);

}  // namespace mezzo::api::openai
