#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/text/internal/piece_trie.h"

namespace mezzo::text {

using TokenId = std::int32_t;

/// A text as a model reads it.
struct Encoding {
  std::vector<TokenId> ids;  ///< With the first and the last token.
  bool truncated = false;    ///< The text had more tokens than were asked for.
};

/// BERT's uncased WordPiece tokenizer, as all-MiniLM and most sentence encoders use it: the text is cleaned,
/// accents are stripped, letters lowered, CJK characters and punctuation set apart; then each word is cut
/// into the longest known pieces from the left. Gives what the `tokenizers` package gives, by Unicode 14
/// (README.md).
///
/// Names of special tokens in a text ("[SEP]") are ordinary text. Bytes that are not UTF-8 are dropped.
/// Immutable; thread-safe.
class WordPiece {
 public:
  static constexpr std::size_t kMaxVocabularyBytes = std::size_t{16} << 20;
  static constexpr std::size_t kMaxPieces = 1'000'000;
  static constexpr std::size_t kMaxPieceBytes = 512;

  struct Options {
    std::string first = "[CLS]";
    std::string last = "[SEP]";
    std::string unknown = "[UNK]";
    std::string padding = "[PAD]";
  };

  /// Reads a vocab.txt: one piece a line, whose number counts from 0. Empty lines have a number, too. Errors,
  /// all kInvalidArgument and naming the line: "vocabulary_too_large", "vocabulary_piece",
  /// "vocabulary_duplicate", "vocabulary_incomplete" (a special token is missing).
  static Result<WordPiece> Parse(std::string_view vocabulary, const Options& options);
  static Result<WordPiece> Parse(std::string_view vocabulary) { return Parse(vocabulary, Options()); }

  /// At most `max_tokens` (at least 2) tokens, the first and the last included. Stops reading once they are
  /// full, so the time is bounded by tokens as well as by the length of the text.
  [[nodiscard]] Encoding Encode(std::string_view text, std::size_t max_tokens) const;

  /// Numbers below this are tokens.
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] TokenId padding() const { return padding_; }

 private:
  WordPiece(internal::PieceTrie starts, internal::PieceTrie continuations)
      : starts_(std::move(starts)), continuations_(std::move(continuations)) {}

  void AppendWord(std::string_view word, std::vector<TokenId>* ids) const;

  internal::PieceTrie starts_;
  internal::PieceTrie continuations_;  // Without their "##".
  std::size_t size_ = 0;
  TokenId first_ = 0;
  TokenId last_ = 0;
  TokenId unknown_ = 0;
  TokenId padding_ = 0;
};

/// The inputs of a BERT-like model for some rows of equal length, row after row.
struct PaddedBatch {
  std::size_t rows = 0;
  std::size_t length = 0;
  std::vector<std::int64_t> input_ids;
  std::vector<std::int64_t> attention_mask;  ///< 1 where there is a token, 0 in the padding.
  std::vector<std::int64_t> token_type_ids;  ///< All 0.
};

/// Fills rows up to `length`, which none exceeds, with `padding`.
[[nodiscard]] PaddedBatch PadRows(std::span<const std::span<const TokenId>> rows, std::size_t length,
                                  TokenId padding);

}  // namespace mezzo::text
