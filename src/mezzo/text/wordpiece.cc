#include "mezzo/text/wordpiece.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/text/internal/word_splitter.h"
#include "mezzo/text/unicode.h"

namespace mezzo::text {
namespace {

constexpr std::string_view kContinuation = "##";

std::string LineText(std::size_t line) { return "line " + std::to_string(line + 1) + " of the vocabulary"; }

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = DecodeChar(text).length;
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// The lines of a vocabulary by number; a trailing line end starts no line.
Result<std::vector<std::string_view>> ReadPieces(std::string_view vocabulary) {
  if (vocabulary.size() > WordPiece::kMaxVocabularyBytes) {
    return InvalidArgument("vocabulary_too_large", "the vocabulary has " + std::to_string(vocabulary.size()) +
                                                       " bytes; the limit is " +
                                                       std::to_string(WordPiece::kMaxVocabularyBytes));
  }
  std::vector<std::string_view> pieces;
  while (!vocabulary.empty()) {
    const std::size_t end = vocabulary.find('\n');
    std::string_view piece = vocabulary.substr(0, end);
    vocabulary.remove_prefix(end == std::string_view::npos ? vocabulary.size() : end + 1);
    if (!piece.empty() && piece.back() == '\r') piece.remove_suffix(1);
    if (pieces.size() == WordPiece::kMaxPieces) {
      return InvalidArgument("vocabulary_too_large", "the vocabulary has more than " +
                                                         std::to_string(WordPiece::kMaxPieces) + " lines");
    }
    if (piece.size() > WordPiece::kMaxPieceBytes) {
      return InvalidArgument("vocabulary_piece", LineText(pieces.size()) + " has " +
                                                     std::to_string(piece.size()) + " bytes; the limit is " +
                                                     std::to_string(WordPiece::kMaxPieceBytes));
    }
    if (!IsUtf8(piece)) {
      return InvalidArgument("vocabulary_piece",
                             LineText(pieces.size()) + " is not UTF-8: '" + Printable(piece) + "'");
    }
    pieces.push_back(piece);
  }
  return pieces;
}

using Numbers = std::unordered_map<std::string_view, TokenId>;

Result<Numbers> NumberPieces(const std::vector<std::string_view>& pieces) {
  Numbers numbers;
  numbers.reserve(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].empty()) continue;
    const auto [at, added] = numbers.emplace(pieces[i], static_cast<TokenId>(i));
    if (!added) {
      return InvalidArgument("vocabulary_duplicate", LineText(i) + " repeats '" + Printable(pieces[i]) +
                                                         "' of line " + std::to_string(at->second + 1));
    }
  }
  return numbers;
}

Result<TokenId> Special(const Numbers& numbers, const std::string& name) {
  const auto found = numbers.find(name);
  if (found == numbers.end()) {
    return InvalidArgument("vocabulary_incomplete", "the vocabulary of " + std::to_string(numbers.size()) +
                                                        " pieces has no '" + Printable(name) + "'");
  }
  return found->second;
}

}  // namespace

Result<WordPiece> WordPiece::Parse(std::string_view vocabulary, const Options& options) {
  MEZZO_TRY(const std::vector<std::string_view> pieces, ReadPieces(vocabulary));
  MEZZO_TRY(const Numbers numbers, NumberPieces(pieces));
  std::vector<std::pair<std::string_view, TokenId>> starts;
  std::vector<std::pair<std::string_view, TokenId>> continuations;
  for (const auto& [piece, id] : numbers) {
    if (!piece.starts_with(kContinuation)) {
      starts.emplace_back(piece, id);
    } else if (piece.size() > kContinuation.size()) {
      continuations.emplace_back(piece.substr(kContinuation.size()), id);
    }
    // No word starts with "##", or is "##": '#' is punctuation.
  }
  WordPiece made{internal::PieceTrie(std::move(starts)), internal::PieceTrie(std::move(continuations))};
  made.size_ = pieces.size();
  MEZZO_TRY(made.first_, Special(numbers, options.first));
  MEZZO_TRY(made.last_, Special(numbers, options.last));
  MEZZO_TRY(made.unknown_, Special(numbers, options.unknown));
  MEZZO_TRY(made.padding_, Special(numbers, options.padding));
  return made;
}

Encoding WordPiece::Encode(std::string_view text, std::size_t max_tokens) const {
  constexpr std::size_t kSpecials = 2;
  constexpr std::size_t kBytesPerToken = 4;  // A guess for the first allocation.
  MEZZO_CHECK(max_tokens >= kSpecials);
  Encoding encoding;
  const std::size_t limit = max_tokens - 1;  // Without the last token.
  encoding.ids.reserve(std::min(max_tokens, text.size() / kBytesPerToken + kSpecials));
  encoding.ids.push_back(first_);
  internal::WordSplitter splitter(text);
  while (splitter.Next()) {
    if (splitter.too_long()) {
      encoding.ids.push_back(unknown_);
    } else {
      AppendWord(splitter.word(), &encoding.ids);
    }
    if (encoding.ids.size() > limit) {
      encoding.ids.resize(limit);
      encoding.truncated = true;
      break;
    }
  }
  encoding.ids.push_back(last_);
  return encoding;
}

void WordPiece::AppendWord(std::string_view word, std::vector<TokenId>* ids) const {
  const std::size_t before = ids->size();
  const internal::PieceTrie* trie = &starts_;
  while (!word.empty()) {
    const internal::PieceTrie::Match match = trie->LongestPrefix(word);
    if (match.id < 0) {
      // One unknown remainder makes the whole word unknown.
      ids->resize(before);
      ids->push_back(unknown_);
      return;
    }
    ids->push_back(match.id);
    word.remove_prefix(match.length);
    trie = &continuations_;
  }
}

PaddedBatch PadRows(std::span<const std::span<const TokenId>> rows, std::size_t length, TokenId padding) {
  PaddedBatch batch;
  const std::size_t size = rows.size() * length;
  batch.rows = rows.size();
  batch.length = length;
  batch.input_ids.reserve(size);
  batch.attention_mask.reserve(size);
  batch.token_type_ids.resize(size);
  for (const std::span<const TokenId> row : rows) {
    MEZZO_CHECK(row.size() <= length);
    batch.input_ids.insert(batch.input_ids.end(), row.begin(), row.end());
    batch.input_ids.insert(batch.input_ids.end(), length - row.size(), padding);
    batch.attention_mask.insert(batch.attention_mask.end(), row.size(), 1);
    batch.attention_mask.insert(batch.attention_mask.end(), length - row.size(), 0);
  }
  return batch;
}

}  // namespace mezzo::text
