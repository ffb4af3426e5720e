#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::cache {

/// Who was told what instead of a model's own answer, without the answer.
struct CorrectionFacts {
  std::string id;
  std::string model;
  std::string version;
  std::string tenant;  ///< Whose calls it answers; empty: everybody's, of a model whose answers are public.
  Sha256Digest content{};       ///< What the version was when it was corrected: another content is not.
  ByteCount bytes = 0;          ///< Of question and answer.
  std::int64_t created_us = 0;  ///< Unix time.
  std::string created_by;
  std::int64_t revision = 0;  ///< Of the cache's epochs, when it came; each has its own.
};

/// An answer that somebody put in place of a model's own.
struct Correction {
  CorrectionFacts facts;
  Sha256Digest key{};    ///< Names the question.
  std::string key_text;  ///< The question, in full.
  std::string answer;    ///< As who serves it encodes it.
};

/// The corrections of all hosts, durable. A change counts the revision of the cache's epochs up and tells
/// hosts as epochs do. Thread-safe; blocks.
class CorrectionStore {
 public:
  struct Limits {
    std::int64_t per_model = 1000;
    std::int64_t per_tenant = 1000;
    std::int64_t in_all = 10'000;
    ByteCount bytes_each = ByteCount{1} << 20;
    ByteCount bytes_per_tenant = ByteCount{16} << 20;
    ByteCount bytes_in_all = ByteCount{64} << 20;
  };
  CorrectionStore(storage::SqlDb& db, Limits limits) : db_(db), limits_(limits) {}

  /// Takes the place of an earlier one of the same question. Fails with kResourceExhausted
  /// "corrections_full" and kInvalidArgument "correction_too_large".
  Result<void> Put(const Correction& correction, TimePoint deadline);
  /// Fails with kNotFound "correction_unknown". `tenant`: only one of this tenant's; nothing: anybody's.
  Result<void> Remove(std::string_view id, const std::optional<std::string>& tenant, TimePoint deadline);
  /// In the order of their ids, behind `after`. `tenant` as above; an empty `model`: of all.
  Result<std::vector<CorrectionFacts>> List(const std::optional<std::string>& tenant, std::string_view model,
                                            std::string_view after, std::size_t limit, TimePoint deadline);

  /// The revisions of all corrections there are, ascending.
  Result<std::vector<std::int64_t>> Revisions(TimePoint deadline);
  /// Those that came after the revision, a few at a time, ascending.
  Result<std::vector<Correction>> After(std::int64_t revision, TimePoint deadline);

 private:
  storage::SqlDb& db_;
  const Limits limits_;
};

}  // namespace mezzo::cache
