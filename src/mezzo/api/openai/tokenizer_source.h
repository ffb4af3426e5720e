#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "mezzo/base/result.h"
#include "mezzo/models/catalog.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"
#include "mezzo/text/wordpiece.h"

namespace mezzo::api::openai {

/// How texts become rows for one version of a model.
struct EmbeddingTokenizer {
  text::WordPiece pieces;
  std::size_t max_tokens = 0;  ///< What the tokenizer's own configuration says; 0: nothing.
};

/// Finds the tokenizer that belongs to a loaded version. Thread-safe.
class TokenizerSource {
 public:
  virtual ~TokenizerSource() = default;
  /// `file` is the vocabulary's name in the version's folder. Continues on the loop it was called on.
  virtual runtime::Task<Result<std::shared_ptr<const EmbeddingTokenizer>>> For(runtime::Context ctx,
                                                                               models::VersionRef version,
                                                                               std::string file) = 0;
};

}  // namespace mezzo::api::openai
