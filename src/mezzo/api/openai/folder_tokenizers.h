#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "mezzo/api/openai/tokenizer_source.h"
#include "mezzo/base/mutex.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::openai {

/// Reads vocab.txt and, when it is there, tokenizer_config.json from a version's folder; keeps what it read
/// as long as the version lives. Requests for the same version share one read. Failures are not kept.
/// Thread-safe.
class FolderTokenizers final : public TokenizerSource {
 public:
  /// `pool` does the reading and outlives the tokenizers.
  explicit FolderTokenizers(runtime::BlockingPool& pool);
  ~FolderTokenizers() override;

  runtime::Task<Result<std::shared_ptr<const EmbeddingTokenizer>>> For(runtime::Context ctx,
                                                                       models::VersionRef version,
                                                                       std::string file) override;

 private:
  class Flight;
  struct Entry {
    std::weak_ptr<const models::ModelVersion> version;
    std::shared_ptr<Flight> flight;
  };

  /// The flight for the version, and whether the caller has to fly it.
  std::pair<std::shared_ptr<Flight>, bool> Join(const models::VersionRef& version) EXCLUDES(mu_);
  void Forget(const models::ModelVersion* version) EXCLUDES(mu_);

  runtime::BlockingPool& pool_;
  Mutex mu_;
  std::unordered_map<const models::ModelVersion*, Entry> entries_ GUARDED_BY(mu_);
};

/// Reads a tokenizer from `folder`. Blocks on the disk. Errors: kFailedPrecondition "tokenizer_missing",
/// naming the file, and "tokenizer_unsupported" (a configuration that asks for what WordPiece does not do, a
/// bad vocabulary).
Result<std::shared_ptr<const EmbeddingTokenizer>> ReadTokenizer(const std::string& folder,
                                                                const std::string& file);

}  // namespace mezzo::api::openai
