#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/release_ports.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::releases {

/// Where hosts hear that a release has changed.
inline constexpr const char* kReleasesChannel = "mezzo_releases";

/// Of the module "releases_life".
std::span<const storage::Migration> ReleaseMigrations();

/// Within a transaction: the model's release that has not ended; nothing when there is none.
Result<std::optional<Release>> ReadOpenRelease(storage::SqlSession& session, const std::string& model);

/// Releases in a database. `clock` is the hosts' shared one (storage::SharedClock). Thread-safe; blocks.
class ReleaseStore final : public ReleaseRows {
 public:
  struct Options {
    std::int64_t max_feedback = 50'000;  ///< Of a release.
  };
  ReleaseStore(storage::SqlDb& db, const Clock& clock) : ReleaseStore(Options(), db, clock) {}
  ReleaseStore(Options options, storage::SqlDb& db, const Clock& clock)
      : options_(options), db_(db), clock_(clock) {}

  Result<void> Create(const Transition& begun, TimePoint deadline) override;
  Result<KeptRelease> Load(const std::string& id, TimePoint deadline) override;
  /// The row's revision alone: without its analysis, which is long. Fails with kNotFound "release_missing".
  Result<std::int64_t> RevisionOf(const std::string& id, TimePoint deadline);
  Result<std::int64_t> Save(const Change& change, TimePoint deadline) override;
  Result<std::vector<Release>> Open(TimePoint deadline) override;
  Result<std::int64_t> Lead(const std::string& holder, Duration lifetime, TimePoint deadline) override;
  Result<void> Report(const std::string& host, const std::vector<OutcomeRow>& outcomes,
                      const std::vector<ReadinessRow>& readiness, TimePoint deadline) override;
  Result<Outcomes> ReadOutcomes(std::int64_t since_us, TimePoint deadline) override;
  Result<Fleet> ReadFleet(Duration alive, TimePoint deadline) override;

  /// Newest first: those of `model`, or of all when it is empty, that come behind the id `before` (empty:
  /// from the newest). `limit` is 1 to 1,000.
  Result<std::vector<Release>> List(const std::string& model, const std::string& before, std::size_t limit,
                                    TimePoint deadline);
  /// The latest `limit` (1 to 1,000), oldest first.
  Result<std::vector<ReleaseEvent>> Events(const std::string& id, std::size_t limit, TimePoint deadline);
  Result<std::vector<EvidenceRow>> Evidence(const std::string& id, std::size_t limit, TimePoint deadline);

  /// The model's release that has not ended. Fails with kNotFound "release_missing".
  Result<Release> OpenOf(const std::string& model, TimePoint deadline);
  /// False, and nothing changes, when the release has one of this request and metric. Fails with
  /// kResourceExhausted "feedback_full" when it has Options::max_feedback of others.
  Result<bool> AddFeedback(const FeedbackRow& feedback, TimePoint deadline);
  /// By request, from behind `after` on; `limit` is 1 to 1,000.
  Result<std::vector<FeedbackRow>> ListFeedback(const std::string& release, const std::string& after,
                                                std::size_t limit, TimePoint deadline);

  Result<std::int64_t> Prune(Duration older, TimePoint deadline) override;

 private:
  [[nodiscard]] std::int64_t NowMicros() const;

  const Options options_;
  storage::SqlDb& db_;
  const Clock& clock_;
};

}  // namespace mezzo::releases
