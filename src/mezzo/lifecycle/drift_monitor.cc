#include "mezzo/lifecycle/drift_monitor.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

namespace mezzo::lifecycle {
namespace {

constexpr std::string_view DirectionName(bool output) { return output ? "output" : "input"; }

}  // namespace

void DriftRecorder::Add(bool output, std::string_view name, const tensor::Tensor& tensor) {
  std::size_t turn = 0;
  {
    const MutexLock lock(mu_);
    turn = turn_++;
  }
  // Other places in each call, so that no corner of a picture is all that is looked at.
  constexpr std::size_t kStep = 7919;
  AddValues(output, name, SampleValues(tensor, options_.values_per_call, turn * kStep));
}

void DriftRecorder::AddValues(bool output, std::string_view name, std::span<const double> values) {
  if (values.empty()) return;
  std::pair<bool, std::string> key(output, name);
  const MutexLock lock(mu_);
  auto at = seen_.find(key);
  if (at == seen_.end()) {
    const auto in_direction = std::count_if(seen_.begin(), seen_.end(),
                                            [&](const auto& each) { return each.first.first == output; });
    if (static_cast<std::size_t>(in_direction) >= options_.max_tensors) return;
    at = seen_.emplace(std::move(key), Seen()).first;
  }
  Seen& seen = at->second;
  if (seen.values.size() + values.size() > options_.max_values) return;
  seen.values.insert(seen.values.end(), values.begin(), values.end());
  ++seen.calls;
}

DriftRecorder::Tensors DriftRecorder::Take() {
  Tensors taken;
  const MutexLock lock(mu_);
  // The names stay: which tensors are watched is decided once.
  for (auto& [key, seen] : seen_) taken.emplace(key, std::exchange(seen, Seen()));
  return taken;
}

DriftMonitor::DriftMonitor(Options options, Ports ports)
    : options_(std::move(options)),
      ports_(ports),
      psi_(ports.metrics.NewGaugeFamily(
          "mezzo_drift_psi",
          "Population stability index of what all hosts have seen of a tensor lately, against its reference.",
          {"model", "version", "tensor", "direction"}, 2 * options_.max_tensors)),
      ks_(ports.metrics.NewGaugeFamily(
          "mezzo_drift_ks", "Largest distance of the two distribution functions of the same.",
          {"model", "version", "tensor", "direction"}, 2 * options_.max_tensors)),
      breached_(ports.metrics.NewGaugeFamily(
          "mezzo_drift_breached", "1 while a tensor of the version is at its model's threshold or above.",
          {"model", "version"}, 2 * options_.max_tensors)),
      fired_(ports.metrics.NewCounter("mezzo_drift_fired_total",
                                      "Breaches that lasted, and that this host has told of.")),
      thread_({.name = "drift", .first = options_.flush}, ports.clock, [this] {
        FlushAndLog();
        return runtime::PeriodicThread::Pause{.longest = options_.flush};
      }) {}

std::shared_ptr<DriftRecorder> DriftMonitor::RecorderOf(const std::string& model, std::int64_t version) {
  const MutexLock lock(mu_);
  auto& recorder = recorders_[{.model = model, .version = version}];
  if (recorder == nullptr) recorder = std::make_shared<DriftRecorder>(options_.recorder);
  return recorder;
}

std::int64_t DriftMonitor::SlotOf(WallTime at) const {
  const Duration slot = std::max<Duration>(options_.window / Slots(), std::chrono::milliseconds(1));
  return std::chrono::duration_cast<Duration>(at.time_since_epoch()) / slot;
}

double DriftMonitor::ThresholdOf(const std::map<std::string, double>& tags, const std::string& model) const {
  const auto tag = tags.find(model);
  return tag == tags.end() ? options_.threshold : tag->second;
}

void DriftMonitor::Begin(Track& track, const DriftReference& reference) const {
  track.reference = reference;
  track.collected.clear();
  track.collected.shrink_to_fit();
  track.collected_calls = 0;
  track.window.tensor = reference.tensor;
  track.window.host = options_.host;
  track.window.generation = reference.generation;
  track.window.slot = 0;
  track.window.calls = 0;
  track.window.histogram = reference.histogram.Empty();
  track.unsaved = false;
}

void DriftMonitor::Collect() {
  std::map<WatchedVersion, std::shared_ptr<DriftRecorder>> recorders;
  {
    const MutexLock lock(mu_);
    recorders = recorders_;
  }
  const std::int64_t slot = SlotOf(ports_.clock.WallNow());
  for (const auto& [version, recorder] : recorders) {
    for (auto& [key, seen] : recorder->Take()) {
      const WatchedTensor tensor{.of = version, .output = key.first, .name = key.second};
      auto at = tracks_.find(tensor);
      if (at == tracks_.end()) {
        if (seen.calls == 0 || tracks_.size() >= options_.max_tensors) continue;
        at = tracks_.try_emplace(tensor).first;
      }
      Track& track = at->second;
      if (!track.reference) {
        if (track.collected_calls >= options_.reference_calls) continue;
        track.collected.insert(track.collected.end(), seen.values.begin(), seen.values.end());
        track.collected_calls += seen.calls;
        continue;
      }
      if (track.window.slot != slot) {
        track.window.slot = slot;
        track.window.calls = 0;
        track.window.histogram = track.reference->histogram.Empty();
      }
      for (const double value : seen.values) track.window.histogram.Add(value);
      track.window.calls += seen.calls;
      if (seen.calls > 0) track.unsaved = true;
    }
  }
}

Result<void> DriftMonitor::LearnReferences(TimePoint deadline) {
  MEZZO_TRY(const auto loaded, ports_.store.Load(known_, deadline));
  if (loaded) {
    references_.clear();
    for (const DriftReference& reference : loaded->all) references_.emplace(reference.tensor, reference);
    known_ = loaded->counter;
  }
  for (auto& [tensor, track] : tracks_) {
    const auto at = references_.find(tensor);
    if (at == references_.end()) {
      if (track.reference) track = Track();  // Somebody has asked for a new beginning.
    } else if (!track.reference || track.reference->generation != at->second.generation) {
      Begin(track, at->second);
    }
  }
  return {};
}

Result<void> DriftMonitor::ProposeReferences(TimePoint deadline) {
  bool proposed = false;
  for (auto& [tensor, track] : tracks_) {
    if (track.reference || track.collected_calls < options_.reference_calls) continue;
    auto made = DriftHistogram::WithTails(track.collected, options_.bins);
    if (!made.ok()) {
      track.collected.clear();  // No finite value: the next ones may have some.
      track.collected_calls = 0;
      continue;
    }
    const DriftReference reference{.tensor = tensor,
                                   .calls = track.collected_calls,
                                   .histogram = std::move(made).value(),
                                   .source = "first calls"};
    MEZZO_TRY_VOID(ports_.store.Propose(reference, deadline));
    proposed = true;
  }
  // Whoever's it is, it is in the database now.
  if (proposed) return LearnReferences(deadline);
  return {};
}

Result<void> DriftMonitor::WriteWindows(TimePoint deadline) {
  std::vector<DriftWindow> windows;
  for (const auto& [tensor, track] : tracks_) {
    if (track.unsaved) windows.push_back(track.window);
  }
  MEZZO_TRY_VOID(ports_.store.Write(windows, deadline));
  // Rows are cumulative: one that was not written is written with the next values.
  for (auto& [tensor, track] : tracks_) track.unsaved = false;
  return {};
}

Result<void> DriftMonitor::Judge(TimePoint deadline) {
  std::vector<DriftReference> references;
  for (const auto& [tensor, track] : tracks_) {
    if (track.reference) references.push_back(*track.reference);
  }
  if (references.empty()) return {};
  MEZZO_TRY(const auto windows, ports_.store.Windows("", FirstSlot(), deadline));
  MEZZO_TRY(const auto tags, ports_.store.Thresholds(deadline));
  const auto findings = CompareWindows(references, windows, options_.min_calls);
  std::map<WatchedVersion, std::vector<const DriftFinding*>> by_version;
  for (const DriftFinding& finding : findings) {
    const WatchedTensor& tensor = finding.reference.tensor;
    Track& track = tracks_.at(tensor);
    if (!finding.psi || !finding.ks) {
      if (std::exchange(track.shown, false)) {
        track.psi = {};
        track.ks = {};
      }
      continue;
    }
    if (!std::exchange(track.shown, true)) {
      const std::string version = std::to_string(tensor.of.version);
      track.psi = psi_.Lease({tensor.of.model, version, tensor.name, DirectionName(tensor.output)});
      track.ks = ks_.Lease({tensor.of.model, version, tensor.name, DirectionName(tensor.output)});
    }
    track.psi->Set(*finding.psi);
    track.ks->Set(finding.ks->statistic);
    by_version[tensor.of].push_back(&finding);
  }
  for (const auto& [version, found] : by_version) {
    MEZZO_TRY_VOID(JudgeVersion(version, found, ThresholdOf(tags, version.model), deadline));
  }
  return {};
}

Result<void> DriftMonitor::JudgeVersion(const WatchedVersion& version,
                                        const std::vector<const DriftFinding*>& findings, double threshold,
                                        TimePoint deadline) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const DriftFinding* finding : findings) {
    if (*finding->psi < threshold) continue;
    tensors.push_back({{"tensor", finding->reference.tensor.name},
                       {"direction", DirectionName(finding->reference.tensor.output)},
                       {"psi", *finding->psi},
                       {"ks", finding->ks->statistic},
                       {"calls", finding->calls}});
  }
  const bool breach = !tensors.empty();
  const auto known = breaching_.find(version);
  auto gauge = breach_gauges_.find(version);
  if (gauge == breach_gauges_.end()) {
    gauge = breach_gauges_.emplace(version, breached_.Lease({version.model, std::to_string(version.version)}))
                .first;
  }
  gauge->second->Set(breach ? 1 : 0);
  if (!breach) {
    // What a host before a restart may have noted ends, too.
    if (known != breaching_.end() && !known->second) return {};
    MEZZO_TRY(const bool ended, ports_.store.EndBreach(version, deadline));
    if (ended) {
      ports_.log.Info("a version does not drift any more",
                      {{"model", version.model}, {"version", version.version}});
    }
    breaching_.insert_or_assign(version, false);
    return {};
  }
  breaching_.insert_or_assign(version, true);
  MEZZO_TRY(const DriftBreach noted, ports_.store.NoteBreach(version, deadline));
  const WallTime since{std::chrono::microseconds(noted.since_us)};
  const WallTime now = ports_.clock.WallNow();
  if (noted.fired_us != 0 || now - since < options_.sustain) return {};
  const nlohmann::ordered_json detail = {
      {"threshold", threshold}, {"since_us", noted.since_us}, {"tensors", tensors}};
  const std::string text = detail.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  if (triggers_ != nullptr) {
    // Before it is marked: the key makes a second time harmless, and a lost one would be for ever.
    const TriggerEvent event{
        .kind = "drift",
        .model = version.model,
        .version = version.version,
        .key = version.model + "/" + std::to_string(version.version) + "/" + std::to_string(noted.since_us),
        .detail = text,
        .at = now};
    MEZZO_TRY_VOID(triggers_->Fire(event, deadline));
  }
  const nlohmann::ordered_json told = {
      {"since", EventTime(since)}, {"threshold", threshold}, {"tensors", tensors}};
  MEZZO_TRY(const bool first,
            ports_.store.MarkFired(
                version, noted.since_us,
                told.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace), deadline));
  if (!first) return {};
  fired_.Add();
  ports_.log.Warn("a version drifts: what its calls have in them is not what it was",
                  {{"model", version.model}, {"version", version.version}, {"detail", text}});
  return {};
}

Result<void> DriftMonitor::Flush() {
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.database_timeout);
  Collect();
  if (tracks_.empty()) return {};
  MEZZO_TRY_VOID(LearnReferences(deadline));
  MEZZO_TRY_VOID(ProposeReferences(deadline));
  MEZZO_TRY_VOID(WriteWindows(deadline));
  MEZZO_TRY_VOID(Judge(deadline));
  const std::int64_t first = FirstSlot();
  if (pruned_ == first) return {};
  MEZZO_TRY_VOID(ports_.store.Prune(first - 1, deadline));
  pruned_ = first;
  return {};
}

void DriftMonitor::FlushAndLog() {
  const auto done = Flush();
  if (done.ok()) return;
  ports_.log.Limited("drift").Warn("what versions drift can't be judged",
                                   {{"reason", done.error().reason()}, {"message", done.error().message()}});
}

}  // namespace mezzo::lifecycle
