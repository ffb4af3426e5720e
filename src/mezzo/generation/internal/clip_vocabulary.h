#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/generation/clip_tokenizer_files.h"
#include "mezzo/generation/internal/byte_pair_merger.h"

namespace mezzo::generation::internal {

inline constexpr std::size_t kMaxTokenizerFileBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxClipTokens = 1'000'000;
inline constexpr std::size_t kMaxSpecialTokens = 256;
inline constexpr std::size_t kMaxClipLength = 4096;
/// CLIP's own, when a configuration names no length or one above kMaxClipLength ("no limit" is a huge
/// number).
inline constexpr std::size_t kDefaultClipLength = 77;

/// A string that stands for one token wherever a text has it.
struct SpecialToken {
  std::string text;  ///< UTF-8, not empty.
  TokenId id = 0;
  bool normalized = false;  ///< CLIPTokenizerFast looks for it in the cleaned text.
};

/// What the files of a tokenizer say. A negative id: not in the vocabulary.
struct ClipVocabulary {
  std::vector<Merge> merges;
  std::array<TokenId, 256> inner_bytes{};  ///< The symbol of a byte inside of a word,
  std::array<TokenId, 256> last_bytes{};   ///< and at its end.
  std::vector<SpecialToken> specials;
  TokenId start = 0;
  TokenId end = 0;
  TokenId unknown = 0;
  TokenId padding = 0;
  std::size_t size = 0;  ///< All ids are below it.
  std::size_t max_length = kDefaultClipLength;
};

/// Errors: those of ClipTokenizer::Parse().
Result<ClipVocabulary> ParseClipVocabulary(const ClipTokenizerFiles& files);

}  // namespace mezzo::generation::internal
