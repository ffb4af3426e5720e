#include "mezzo/lifecycle/retirement.h"

#include <algorithm>
#include <cstddef>

#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"
#include "mezzo/config/value.h"
#include "mezzo/lifecycle/version_uploads.h"

namespace mezzo::lifecycle {
namespace {

constexpr const char* kTag = "retire.after";
constexpr const char* kHousekeeper = "housekeeper";
constexpr std::size_t kPiece = std::size_t{1} << 20;

std::string Which(const std::string& model, std::int64_t version) {
  return "version " + std::to_string(version) + " of model '" + model + "'";
}

/// What a tag says; nothing when it says nothing that is understood.
std::optional<Duration> AfterOf(const std::string& text) {
  if (text == "never") return Duration::zero();
  const auto parsed = config::ParseDuration(text);
  if (!parsed.ok() || *parsed < Duration::zero()) return std::nullopt;
  return *parsed;
}

}  // namespace

Retirement::Retirement(Options options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      steps_(ports_.metrics.NewCounterFamily("mezzo_registry_retirements_total",
                                             "Steps of versions' retirements that this host has made.",
                                             {"to"})),
      thread_({.name = "retirement", .first = options.period}, ports_.clock, [this] {
        RunAndLog();
        return runtime::PeriodicThread::Pause{.longest = options_.period};
      }) {}

Result<void> Retirement::Begin(const std::string& model, std::int64_t version, const std::string& who,
                               TimePoint deadline) {
  constexpr int kTries = 3;  // Each but the last may meet a step of the automatic kind.
  for (int tried = 0; tried < kTries; ++tried) {
    MEZZO_TRY(const RetireStage stage, ports_.registry.RetirementOf(model, version, deadline));
    if (stage >= RetireStage::kDraining) return {};
    const RegistryStore::RetireStep step{
        .from = stage, .to = RetireStage::kDraining, .by_hand = true, .reason = "by hand"};
    MEZZO_TRY(const bool begun, ports_.registry.StepRetirement(model, version, step, who, deadline));
    if (!begun) continue;
    steps_.With({RetireStageName(RetireStage::kDraining)}).Add();
    ports_.log.Info("a version is retired", {{"model", model}, {"version", version}, {"who", who}});
    return {};
  }
  return FailedPrecondition("registry_conflict", Which(model, version) + " is being changed: try again");
}

Result<std::set<std::pair<std::string, std::int64_t>>> Retirement::Draining(TimePoint deadline) {
  return ports_.registry.VersionsAt(RetireStage::kDraining, deadline);
}

Result<void> Retirement::Verify(const std::string& model, std::int64_t version, TimePoint deadline) {
  MEZZO_TRY(const auto files, ports_.registry.FilesOf(model, version, deadline));
  std::set<std::string> seen;
  std::vector<std::byte> piece(kPiece);
  for (const ManifestFile& file : files) {
    if (!seen.insert(file.sha256).second) continue;
    const auto corrupt = [&](const std::string& what) {
      return Error(Code::kDataLoss, "version_corrupt",
                   "file '" + file.path + "' of " + Which(model, version) + ": " + what);
    };
    auto reader = ports_.contents.Read(VersionUploads::KeyOf(file.sha256), {}, deadline);
    if (!reader.ok() && reader.error().code() == Code::kNotFound)
      return corrupt("the store does not have it");
    if (!reader.ok() && reader.error().reason() == "blob_corrupt") return corrupt(reader.error().message());
    if (!reader.ok()) return std::move(reader).error();
    Sha256 hash;
    ByteCount bytes = 0;
    while (true) {
      if (thread_.stopping()) return Unavailable("shutting_down", "the host is ending");
      if (ports_.clock.Now() >= deadline) {
        return DeadlineExceeded("version_timeout", "the version's files could not be read in time");
      }
      auto got = (*reader)->Read(piece, deadline);
      if (!got.ok() && got.error().reason() == "blob_corrupt") return corrupt(got.error().message());
      MEZZO_TRY_VOID(got);
      if (*got == 0) break;
      hash.Update({piece.data(), *got});
      bytes += *got;
    }
    const std::string digest = HexEncode(hash.Finish());
    if (bytes != file.bytes || digest != file.sha256) {
      return corrupt("it has " + std::to_string(bytes) + " bytes and the SHA-256 " + digest + ", not " +
                     std::to_string(file.bytes) + " and " + file.sha256);
    }
  }
  return {};
}

Result<VersionRecord> Retirement::Restore(const std::string& model, std::int64_t version,
                                          const std::string& who, TimePoint deadline) {
  MEZZO_TRY(const RetireStage stage, ports_.registry.RetirementOf(model, version, deadline));
  if (stage >= RetireStage::kArchiving) {
    MEZZO_TRY_VOID(Verify(model, version, deadline));
    MEZZO_TRY_VOID(ports_.registry.RestoreArchived(model, version, who, deadline));
  } else if (stage != RetireStage::kServing) {
    const RegistryStore::RetireStep undo{
        .from = stage, .to = RetireStage::kServing, .by_hand = false, .reason = "restored"};
    MEZZO_TRY_VOID(ports_.registry.StepRetirement(model, version, undo, who, deadline));
  }
  MEZZO_TRY(VersionRecord now, ports_.registry.GetVersion(model, version, deadline));
  if (now.state != VersionState::kReady) {
    return FailedPrecondition("registry_version_state", Which(model, version) + " is " +
                                                            std::string(VersionStateName(now.state)) +
                                                            ": only a retired one is restored");
  }
  return now;
}

Result<void> Retirement::NoteTraffic(TimePoint deadline) {
  std::vector<std::pair<std::string, std::int64_t>> busy;
  std::map<std::pair<std::string, std::int64_t>, std::uint64_t> now;
  for (const Served& one : ports_.traffic()) now[{one.model, one.version}] += one.calls;
  for (const auto& [key, calls] : now) {
    const auto before = calls_.find(key);
    // A count that fell is one that began anew.
    if (before == calls_.end() ? calls > 0 : before->second != calls) busy.push_back(key);
  }
  MEZZO_TRY_VOID(ports_.registry.NoteTraffic(busy, deadline));
  calls_ = std::move(now);
  return {};
}

Result<bool> Retirement::Move(const RetireCandidate& candidate, RetireStage to, const std::string& reason,
                              TimePoint deadline) {
  const RegistryStore::RetireStep step{
      .from = candidate.facts.stage, .to = to, .by_hand = candidate.facts.by_hand, .reason = reason};
  auto done =
      ports_.registry.StepRetirement(candidate.model, candidate.version, step, kHousekeeper, deadline);
  if (!done.ok()) {
    const auto& why = done.error().reason();
    // Somebody has begun to need it, or it has gone or changed, since it was read.
    const bool moved =
        why == "version_in_use" || why == "registry_version_state" || done.error().code() == Code::kNotFound;
    if (moved) return false;
    return std::move(done).error();
  }
  if (!*done) return false;
  steps_.With({RetireStageName(to)}).Add();
  constexpr std::string_view kSaid = "a version's retirement goes on";
  if (to == RetireStage::kWarned) {
    ports_.log.Warn("a version has had no calls for long and will be retired",
                    {{"model", candidate.model}, {"version", candidate.version}});
  } else {
    ports_.log.Info(kSaid, {{"model", candidate.model},
                            {"version", candidate.version},
                            {"stage", RetireStageName(to)},
                            {"why", reason}});
  }
  return true;
}

Result<void> Retirement::ArchiveFiles(const RetireCandidate& candidate) {
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.store_timeout);
  MEZZO_TRY(const auto contents,
            ports_.registry.ContentsOfArchived(candidate.model, candidate.version, deadline));
  for (const std::string& sha256 : contents) {
    if (thread_.stopping()) return Unavailable("shutting_down", "the host is ending");
    auto moved = ports_.contents.Archive(VersionUploads::KeyOf(sha256), deadline);
    if (!moved.ok() && moved.error().code() == Code::kNotFound) continue;  // Restore() says so.
    MEZZO_TRY_VOID(moved);
  }
  MEZZO_TRY_VOID(Move(candidate, RetireStage::kArchived, "its files are away", deadline));
  return {};
}

Result<Retirement::Round> Retirement::RunOnce() {
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.database_timeout);
  Round round;
  MEZZO_TRY_VOID(NoteTraffic(deadline));
  MEZZO_TRY_VOID(ports_.registry.ForgetRetirementsOfDeleted(deadline));
  MEZZO_TRY(const auto tags, ports_.registry.TagOfModels(kTag, deadline));
  std::map<std::string, Duration> after;
  Duration least = options_.policy.after > Duration::zero() ? options_.policy.after : Duration::max();
  for (const auto& [model, text] : tags) {
    const auto said = AfterOf(text);
    if (!said) {
      ports_.log.Limited("retire_tag")
          .Warn("a model's tag retire.after is no time", {{"model", model}, {"tag", text}});
      continue;
    }
    after.emplace(model, *said);
    if (*said > Duration::zero()) least = std::min(least, *said);
  }
  const WallTime now = ports_.clock.WallNow();
  const WallTime idle_before = least == Duration::max() ? WallTime() : now - least;
  std::optional<Error> failed;
  for (const bool begun : {true, false}) {
    MEZZO_TRY(const auto candidates, NextPage(begun, idle_before, begun ? begun_at_ : idle_at_, deadline));
    auto stepped = StepAll(candidates, after, round, deadline);
    if (!stepped.ok() && !failed) failed = std::move(stepped).error();
  }
  if (failed) return *std::move(failed);
  return round;
}

Result<std::vector<RetireCandidate>> Retirement::NextPage(bool begun, WallTime idle_before,
                                                          std::optional<RetireCursor>& cursor,
                                                          TimePoint deadline) {
  RetireQuery query{.begun = begun, .idle_before = idle_before, .after = cursor, .limit = options_.batch};
  MEZZO_TRY(auto page, ports_.registry.RetireCandidates(query, deadline));
  if (page.empty() && query.after) {
    query.after.reset();
    MEZZO_TRY(page, ports_.registry.RetireCandidates(query, deadline));
  }
  cursor.reset();
  if (page.size() == options_.batch) cursor = page.back().at;
  return page;
}

Result<void> Retirement::StepAll(const std::vector<RetireCandidate>& candidates,
                                 const std::map<std::string, Duration>& after, Round& round,
                                 TimePoint deadline) {
  const WallTime now = ports_.clock.WallNow();
  std::optional<Error> failed;
  for (const RetireCandidate& candidate : candidates) {
    if (candidate.facts.stage == RetireStage::kArchiving) {
      auto done = ArchiveFiles(candidate);
      if (done.ok()) {
        ++round.archived;
      } else {
        failed = std::move(done).error();
      }
      continue;
    }
    RetirePolicy policy = options_.policy;
    if (const auto own = after.find(candidate.model); own != after.end()) policy.after = own->second;
    const RetireDecision next = NextRetireStep(policy, candidate.facts, now);
    if (next.to == candidate.facts.stage) continue;
    MEZZO_TRY(const bool moved, Move(candidate, next.to, next.reason, deadline));
    if (!moved) continue;
    if (next.to == RetireStage::kWarned) ++round.warned;
    if (next.to == RetireStage::kDraining) ++round.drained;
    if (next.to == RetireStage::kServing) ++round.undone;
  }
  if (failed) return *std::move(failed);
  return {};
}

void Retirement::RunAndLog() {
  const auto round = RunOnce();
  if (round.ok()) return;
  ports_.log.Limited("retirement")
      .Warn("versions can't be retired",
            {{"reason", round.error().reason()}, {"message", round.error().message()}});
}

}  // namespace mezzo::lifecycle
