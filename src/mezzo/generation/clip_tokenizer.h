#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/generation/clip_tokenizer_files.h"
#include "mezzo/generation/internal/byte_pair_merger.h"
#include "mezzo/generation/internal/clip_vocabulary.h"
#include "mezzo/generation/internal/clip_words.h"
#include "mezzo/text/wordpiece.h"

namespace mezzo::generation {

/// A text as CLIP's text encoder reads it.
struct ClipTokens {
  std::vector<text::TokenId> ids;  ///< max_length() of them: start token, text, end token, padding.
  std::size_t count = 0;           ///< Without the padding.
  bool truncated = false;          ///< The text had more tokens than fit.
};

/// CLIP's tokenizer, a byte-level byte pair encoding: gives the ids that CLIPTokenizer (without the ftfy
/// package) and CLIPTokenizerFast of transformers 4.44 give with padding="max_length" and truncation=True.
/// The two differ where a text has CJK characters, controls, formats or a capital sigma; a model's
/// model_index.json says which one it means.
///
/// As there, the names of special tokens in a text are those tokens, and so is the padding token where it is
/// not the end token: "!" of Stable Diffusion 2 and of SDXL's second encoder.
///
/// Categories, case and composition are those of Unicode 14. Immutable; thread-safe.
class ClipTokenizer {
 public:
  using Rules = internal::ClipRules;

  static constexpr std::size_t kMaxTextBytes = std::size_t{128} << 10;

  /// Errors, naming file and value: "tokenizer_invalid" (kInvalidArgument) for what can't be read,
  /// "tokenizer_unsupported" (kFailedPrecondition) for another class of tokenizer, "vocabulary_too_large"
  /// above 16 MiB, "vocabulary_incomplete" (both kInvalidArgument) when a special token or a part of a merge
  /// is missing.
  static Result<ClipTokenizer> Parse(const ClipTokenizerFiles& files, Rules rules);

  /// Time is linear in the text up to the last word that fits, and n log n in the length of each of its
  /// words. Fails with "prompt_too_long" above kMaxTextBytes and "prompt_not_utf8", naming the byte (both
  /// kInvalidArgument).
  [[nodiscard]] Result<ClipTokens> Encode(std::string_view text) const;

  /// Tokens of every text, padding included.
  [[nodiscard]] std::size_t max_length() const { return vocabulary_.max_length; }
  /// Ids are below this.
  [[nodiscard]] std::size_t size() const { return vocabulary_.size; }
  [[nodiscard]] text::TokenId start() const { return vocabulary_.start; }
  [[nodiscard]] text::TokenId end() const { return vocabulary_.end; }
  [[nodiscard]] text::TokenId padding() const { return vocabulary_.padding; }

 private:
  struct Special {
    std::u32string text;
    text::TokenId id = 0;
  };
  /// The ids of a text so far.
  struct Output {
    std::vector<text::TokenId> ids;
    std::size_t limit = 0;
    std::vector<text::TokenId> symbols;  // Of the word at work.
    [[nodiscard]] bool full() const { return ids.size() > limit; }
  };

  ClipTokenizer(internal::ClipVocabulary vocabulary, Rules rules);

  /// Hands the parts of `text` between special tokens to `append_rest`.
  template <typename AppendRest>
  static void SplitAtSpecials(const std::vector<Special>& specials, std::u32string_view text, Output* output,
                              const AppendRest& append_rest);
  void AppendClean(std::u32string_view text, Output* output) const;
  void AppendWord(std::u32string_view word, Output* output) const;

  internal::ClipVocabulary vocabulary_;
  Rules rules_;
  internal::BytePairMerger merger_;
  std::vector<Special> raw_specials_;    // Found in the text as it was given; longest first.
  std::vector<Special> clean_specials_;  // Found in the cleaned text; longest first.
};

}  // namespace mezzo::generation
