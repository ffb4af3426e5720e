#include "mezzo/lifecycle/drift_store.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

namespace mezzo::lifecycle {
namespace {

using Json = nlohmann::json;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlStatement;
using storage::SqlValue;

// Times are microseconds of the hosts' shared clock. `output` is 0 or 1. `drift_changes` counts every change
// of references. Histograms are JSON: {"edges": [...], "counts": [...], "odd": n}; windows have the edges of
// the reference of their generation.
constexpr std::string_view kTables = R"sql(
CREATE TABLE drift_changes (
  one BIGINT NOT NULL PRIMARY KEY,
  counter BIGINT NOT NULL
);
INSERT INTO drift_changes (one, counter) VALUES (1, 1);

CREATE TABLE drift_references (
  model TEXT NOT NULL,
  version BIGINT NOT NULL,
  output BIGINT NOT NULL,
  tensor TEXT NOT NULL,
  generation BIGINT NOT NULL,
  calls BIGINT NOT NULL,
  histogram TEXT NOT NULL,
  source TEXT NOT NULL,
  made_us BIGINT NOT NULL,
  PRIMARY KEY (model, version, output, tensor)
);

CREATE TABLE drift_windows (
  model TEXT NOT NULL,
  version BIGINT NOT NULL,
  output BIGINT NOT NULL,
  tensor TEXT NOT NULL,
  host TEXT NOT NULL,
  slot BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  calls BIGINT NOT NULL,
  histogram TEXT NOT NULL,
  PRIMARY KEY (model, version, output, tensor, host, slot)
);
CREATE INDEX drift_windows_by_slot ON drift_windows (slot);

CREATE TABLE drift_breaches (
  model TEXT NOT NULL,
  version BIGINT NOT NULL,
  since_us BIGINT NOT NULL,
  fired_us BIGINT NOT NULL,
  PRIMARY KEY (model, version)
);
)sql";

constexpr std::array<storage::Migration, 1> kMigrations = {
    {{.version = 1, .name = "drift", .sql = kTables, .sqlite = "", .postgres = ""}}};

std::string TextOf(const DriftHistogram& histogram) {
  return Json{{"edges", histogram.edges()}, {"counts", histogram.counts()}, {"odd", histogram.odd()}}.dump();
}

Result<DriftHistogram> HistogramOf(const std::string& text) {
  const auto bad = [] { return Internal("drift_row", "a histogram of the database can't be read"); };
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("edges") || !json.contains("counts") || !json.contains("odd")) {
    return bad();
  }
  std::vector<double> edges;
  std::vector<std::uint64_t> counts;
  if (!json["edges"].is_array() || !json["counts"].is_array() || !json["odd"].is_number_unsigned())
    return bad();
  for (const Json& edge : json["edges"]) {
    if (!edge.is_number()) return bad();
    edges.push_back(edge.get<double>());
  }
  for (const Json& count : json["counts"]) {
    if (!count.is_number_unsigned()) return bad();
    counts.push_back(count.get<std::uint64_t>());
  }
  auto made = DriftHistogram::Restore(std::move(edges), std::move(counts), json["odd"].get<std::uint64_t>());
  if (!made.ok()) return bad();
  return made;
}

std::int64_t Number(bool flag) { return flag ? 1 : 0; }

Result<void> CountUp(SqlSession& session) {
  MEZZO_TRY_VOID(session.Run("UPDATE drift_changes SET counter = counter + 1 WHERE one = 1", {}));
  return {};
}

Error Unknown(const WatchedVersion& version) {
  return NotFound("drift_unknown", "version " + std::to_string(version.version) + " of model '" +
                                       version.model + "' has no reference to compare with");
}

}  // namespace

std::span<const storage::Migration> DriftMigrations() { return kMigrations; }

std::int64_t DriftStore::NowMicros() const {
  return std::chrono::floor<std::chrono::microseconds>(clock_.WallNow().time_since_epoch()).count();
}

Result<std::optional<DriftStore::References>> DriftStore::Load(std::int64_t known, TimePoint deadline) {
  std::optional<References> found;
  const auto limit = static_cast<std::int64_t>(options_.max_references);
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.reset();
    MEZZO_TRY(const SqlRows counter, session.Run("SELECT counter FROM drift_changes WHERE one = 1", {}));
    if (counter.empty()) return Internal("drift_row", "the table drift_changes has lost its row");
    if (counter.Int(0, 0) == known) return {};
    References references{.counter = counter.Int(0, 0), .all = {}};
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("SELECT model, version, output, tensor, generation, calls, histogram, source, made_us "
                    "FROM drift_references ORDER BY model, version, output, tensor LIMIT $1",
                    {limit}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      MEZZO_TRY(DriftHistogram histogram, HistogramOf(rows.Text(row, 6)));
      references.all.push_back({.tensor = {.of = {.model = rows.Text(row, 0), .version = rows.Int(row, 1)},
                                           .output = rows.Int(row, 2) != 0,
                                           .name = rows.Text(row, 3)},
                                .generation = rows.Int(row, 4),
                                .calls = static_cast<std::uint64_t>(rows.Int(row, 5)),
                                .histogram = std::move(histogram),
                                .source = rows.Text(row, 7),
                                .made = WallTime(std::chrono::microseconds(rows.Int(row, 8)))});
    }
    found = std::move(references);
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

Result<void> DriftStore::Propose(const DriftReference& reference, TimePoint deadline) {
  const WatchedTensor& tensor = reference.tensor;
  const std::string text = TextOf(reference.histogram);
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY(const SqlRows count, session.Run("SELECT COUNT(*) FROM drift_references", {}));
    if (static_cast<std::size_t>(count.Int(0, 0)) >= options_.max_references) return {};
    const std::int64_t now = NowMicros();
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO drift_references (model, version, output, tensor, generation, calls, histogram, source, "
        "made_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $5) ON CONFLICT (model, version, output, tensor) "
        "DO NOTHING",
        {tensor.of.model, tensor.of.version, Number(tensor.output), tensor.name, now,
         static_cast<std::int64_t>(reference.calls), text, reference.source}));
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<void> DriftStore::Reset(const WatchedVersion& version, std::optional<std::int64_t> from,
                               TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    SqlRows donor;
    if (from) {
      MEZZO_TRY(donor, session.Run("SELECT output, tensor, calls, histogram FROM drift_references "
                                   "WHERE model = $1 AND version = $2",
                                   {version.model, *from}));
      if (donor.empty()) return Unknown({.model = version.model, .version = *from});
    }
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM drift_references WHERE model = $1 AND version = $2",
                          {version.model, version.version}));
    if (gone.affected() == 0 && !from) return Unknown(version);
    MEZZO_TRY_VOID(session.Run("DELETE FROM drift_windows WHERE model = $1 AND version = $2",
                               {version.model, version.version}));
    MEZZO_TRY_VOID(End(session, version, "it has another reference"));
    const std::int64_t now = NowMicros();
    for (std::size_t row = 0; row < donor.size(); ++row) {
      MEZZO_TRY_VOID(session.Run(
          "INSERT INTO drift_references (model, version, output, tensor, generation, calls, histogram, "
          "source, made_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $5)",
          {version.model, version.version, donor.Int(row, 0), donor.Text(row, 1), now, donor.Int(row, 2),
           donor.Text(row, 3), "version " + std::to_string(*from)}));
    }
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<void> DriftStore::Write(const std::vector<DriftWindow>& windows, TimePoint deadline) {
  std::vector<SqlStatement> statements;
  statements.reserve(windows.size());
  for (const DriftWindow& window : windows) {
    const WatchedTensor& tensor = window.tensor;
    statements.push_back(
        {.sql = "INSERT INTO drift_windows (model, version, output, tensor, host, slot, generation, calls, "
                "histogram) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
                "ON CONFLICT (model, version, output, tensor, host, slot) DO UPDATE SET "
                "generation = excluded.generation, calls = excluded.calls, histogram = excluded.histogram",
         .params = {tensor.of.model, tensor.of.version, Number(tensor.output), tensor.name, window.host,
                    window.slot, window.generation, static_cast<std::int64_t>(window.calls),
                    TextOf(window.histogram)}});
  }
  if (statements.empty()) return {};
  MEZZO_TRY_VOID(db_.TransactAll(statements, {}, deadline));
  return {};
}

Result<std::vector<DriftWindow>> DriftStore::Windows(const std::string& model, std::int64_t first,
                                                     TimePoint deadline) {
  std::vector<DriftWindow> windows;
  const auto limit = static_cast<std::int64_t>(options_.max_windows);
  const auto work = [&](SqlSession& session) -> Result<void> {
    windows.clear();
    constexpr std::string_view kAll =
        "SELECT model, version, output, tensor, host, slot, generation, calls, histogram FROM drift_windows "
        "WHERE slot >= $1 LIMIT $2";
    constexpr std::string_view kOne =
        "SELECT model, version, output, tensor, host, slot, generation, calls, histogram FROM drift_windows "
        "WHERE slot >= $1 AND model = $3 LIMIT $2";
    std::vector<SqlValue> values = {first, limit};
    if (!model.empty()) values.emplace_back(model);
    MEZZO_TRY(const SqlRows rows, session.Run(model.empty() ? kAll : kOne, std::move(values)));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      MEZZO_TRY(DriftHistogram histogram, HistogramOf(rows.Text(row, 8)));
      windows.push_back({.tensor = {.of = {.model = rows.Text(row, 0), .version = rows.Int(row, 1)},
                                    .output = rows.Int(row, 2) != 0,
                                    .name = rows.Text(row, 3)},
                         .host = rows.Text(row, 4),
                         .generation = rows.Int(row, 6),
                         .slot = rows.Int(row, 5),
                         .calls = static_cast<std::uint64_t>(rows.Int(row, 7)),
                         .histogram = std::move(histogram)});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return windows;
}

Result<void> DriftStore::Prune(std::int64_t first, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.Run("DELETE FROM drift_windows WHERE slot < $1", {first}));
    // Nobody calls these any more, so no look would find that they are as they were.
    MEZZO_TRY(const SqlRows over,
              session.Run("SELECT b.model, b.version FROM drift_breaches b JOIN registry_models m ON "
                          "m.name = b.model WHERE m.next_version > b.version AND NOT EXISTS (SELECT 1 FROM "
                          "registry_versions v WHERE v.model_id = m.id AND v.version = b.version AND "
                          "v.state <> 'archived') ORDER BY b.model, b.version LIMIT 100",
                          {}));
    for (std::size_t row = 0; row < over.size(); ++row) {
      MEZZO_TRY_VOID(End(session, {.model = over.Text(row, 0), .version = over.Int(row, 1)},
                         "the version is out of service"));
    }
    // What the registry has deleted is gone for good: numbers are never given out again.
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM drift_references WHERE EXISTS (SELECT 1 FROM registry_models m WHERE "
                          "m.name = drift_references.model AND m.next_version > drift_references.version AND "
                          "NOT EXISTS (SELECT 1 FROM registry_versions v WHERE v.model_id = m.id AND "
                          "v.version = drift_references.version))",
                          {}));
    if (gone.affected() == 0) return {};
    return CountUp(session);
  };
  return db_.Transact(work, deadline);
}

Result<DriftBreach> DriftStore::NoteBreach(const WatchedVersion& version, TimePoint deadline) {
  DriftBreach breach;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(
        session.Run("INSERT INTO drift_breaches (model, version, since_us, fired_us) "
                    "VALUES ($1, $2, $3, 0) ON CONFLICT (model, version) DO NOTHING",
                    {version.model, version.version, NowMicros()}));
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT since_us, fired_us FROM drift_breaches WHERE model = $1 AND version = $2",
                          {version.model, version.version}));
    if (rows.empty()) return Internal("drift_row", "a breach has gone while it was written");
    breach = {.since_us = rows.Int(0, 0), .fired_us = rows.Int(0, 1)};
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return breach;
}

Result<bool> DriftStore::EndBreach(const WatchedVersion& version, TimePoint deadline) {
  bool ended = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(ended, End(session, version, "all tensors are below the threshold"));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return ended;
}

Result<void> DriftStore::Tell(SqlSession& session, const WatchedVersion& version, const std::string& what,
                              const std::string& data) const {
  if (!outbox_) return {};
  return outbox_(session, {.type = "version.drift." + what,
                           .model = version.model,
                           .version = version.version,
                           .data = data,
                           .at = clock_.WallNow()});
}

Result<bool> DriftStore::End(SqlSession& session, const WatchedVersion& version,
                             const std::string& reason) const {
  MEZZO_TRY(const SqlRows gone, session.Run("DELETE FROM drift_breaches WHERE model = $1 AND version = $2 "
                                            "RETURNING since_us, fired_us",
                                            {version.model, version.version}));
  if (gone.empty()) return false;
  if (gone.Int(0, 1) == 0) return true;  // Nobody has heard of it.
  const WallTime since{std::chrono::microseconds(gone.Int(0, 0))};
  const Json data = {{"since", EventTime(since)}, {"reason", reason}};
  MEZZO_TRY_VOID(Tell(session, version, "ended", data.dump()));
  return true;
}

Result<bool> DriftStore::MarkFired(const WatchedVersion& version, std::int64_t since_us,
                                   const std::string& data, TimePoint deadline) {
  bool first = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows marked,
              session.Run("UPDATE drift_breaches SET fired_us = $4 WHERE model = $1 AND version = $2 AND "
                          "since_us = $3 AND fired_us = 0",
                          {version.model, version.version, since_us, NowMicros()}));
    first = marked.affected() > 0;
    return first ? Tell(session, version, "began", data) : Result<void>();
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return first;
}

Result<std::map<WatchedVersion, DriftBreach>> DriftStore::Breaches(TimePoint deadline) {
  std::map<WatchedVersion, DriftBreach> breaches;
  const auto limit = static_cast<std::int64_t>(options_.max_references);
  const auto work = [&](SqlSession& session) -> Result<void> {
    breaches.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT model, version, since_us, fired_us FROM drift_breaches LIMIT $1", {limit}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      breaches.emplace(WatchedVersion{.model = rows.Text(row, 0), .version = rows.Int(row, 1)},
                       DriftBreach{.since_us = rows.Int(row, 2), .fired_us = rows.Int(row, 3)});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return breaches;
}

Result<std::map<std::string, double>> DriftStore::Thresholds(TimePoint deadline) {
  std::map<std::string, double> thresholds;
  const auto work = [&](SqlSession& session) -> Result<void> {
    thresholds.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT m.name, t.tag_value FROM registry_model_tags t JOIN registry_models m "
                          "ON m.id = t.model_id WHERE t.tag_key = 'drift.psi' LIMIT 100000",
                          {}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const std::string& text = rows.Text(row, 1);
      double value = 0;
      const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
      const bool whole = read.ec == std::errc() && read.ptr == text.data() + text.size();
      if (whole && std::isfinite(value) && value > 0) thresholds.emplace(rows.Text(row, 0), value);
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return thresholds;
}

std::vector<DriftFinding> CompareWindows(const std::vector<DriftReference>& references,
                                         const std::vector<DriftWindow>& windows, std::uint64_t min_calls) {
  std::map<WatchedTensor, std::size_t> index;
  std::vector<DriftFinding> findings;
  findings.reserve(references.size());
  for (const DriftReference& reference : references) {
    index.emplace(reference.tensor, findings.size());
    findings.push_back({.reference = reference, .calls = 0, .now = reference.histogram.Empty()});
  }
  for (const DriftWindow& window : windows) {
    const auto at = index.find(window.tensor);
    if (at == index.end()) continue;
    DriftFinding& finding = findings[at->second];
    if (window.generation != finding.reference.generation) continue;
    if (finding.now.Merge(window.histogram).ok()) finding.calls += window.calls;
  }
  for (DriftFinding& finding : findings) {
    if (finding.calls < min_calls) continue;
    const auto psi = PopulationStability(finding.reference.histogram, finding.now);
    const auto ks = CompareHistograms(finding.reference.histogram, finding.now);
    if (psi.ok()) finding.psi = *psi;
    if (ks.ok()) finding.ks = *ks;
  }
  return findings;
}

}  // namespace mezzo::lifecycle
