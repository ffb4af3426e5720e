#include "mezzo/lifecycle/version_supply.h"

#include <algorithm>
#include <array>

#include "mezzo/runtime/loop.h"

namespace mezzo::lifecycle {
namespace {

/// Names asked for within so many periods are in use.
constexpr int kFreshPeriods = 6;
/// How long an unknown or not ready version is believed to be so.
constexpr Duration kAskAgain = std::chrono::seconds(5);

std::string InForce(const std::string& model) {
  return "the route of model '" + model + "' that is in force there";
}

/// The version's own fault, or the registry's word: no other attempt by itself makes it better soon.
bool IsFinal(const Error& error) {
  switch (error.code()) {
    case Code::kUnavailable:
    case Code::kDeadlineExceeded:
    case Code::kAborted:
    case Code::kCancelled:
      return false;
    default:
      return true;
  }
}

}  // namespace

VersionSupply::VersionSupply(Options options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      brought_(ports_.metrics.NewCounter("mezzo_registry_versions_brought_total",
                                         "Versions of the registry that routes and releases needed here and "
                                         "that have come.")),
      failed_(ports_.metrics.NewCounter("mezzo_registry_versions_failed_total",
                                        "Attempts to bring such a version that have failed.")),
      let_go_(ports_.metrics.NewCounter("mezzo_registry_versions_let_go_total",
                                        "Versions of the registry that nothing needed here any more.")) {
  auto& wanted = ports_.metrics.NewCallbackFamily(
      "mezzo_registry_versions_wanted",
      "Versions that routes and releases need on this host, by how far they are.",
      observe::MetricType::kGauge, {"state"});
  constexpr std::array<std::pair<std::string_view, State>, 4> kStates = {{{"coming", State::kComing},
                                                                          {"here", State::kHere},
                                                                          {"absent", State::kAbsent},
                                                                          {"failed", State::kFailed}}};
  for (const auto& named : kStates) {
    const State state = named.second;
    callbacks_.push_back(wanted.Add({std::string(named.first)}, [this, state] {
      const MutexLock lock(mu_);
      return static_cast<double>(std::count_if(entries_.begin(), entries_.end(), [&](const auto& each) {
        return each.second.status.state == state;
      }));
    }));
  }
}

VersionSupply::Status VersionSupply::Want(const std::string& model, std::int64_t version,
                                          std::string_view user) {
  const Key key(model, version);
  const MutexLock lock(mu_);
  auto at = entries_.find(key);
  if (at == entries_.end()) {
    if (entries_.size() >= options_.max_wanted) return {.state = State::kAbsent, .reason = ""};
    at = entries_.try_emplace(key).first;
    changed_.NotifyAll();
  }
  at->second.wanted = ports_.clock.Now();
  at->second.user = user;
  return at->second.status;
}

std::optional<std::string> VersionSupply::UserOf(const std::string& model, std::int64_t version) const {
  // Whatever the last round was able to ask: what is in force is in use.
  const std::vector<Key> needed = ports_.needed();
  const bool in_force = std::find(needed.begin(), needed.end(), Key(model, version)) != needed.end();
  if (in_force && ports_.hosting.Has(model, version)) return InForce(model);
  const MutexLock lock(mu_);
  const auto at = entries_.find(Key(model, version));
  if (at == entries_.end() || at->second.status.state == State::kAbsent) return std::nullopt;
  if (ports_.clock.Now() - at->second.wanted > kFreshPeriods * options_.period) return std::nullopt;
  return at->second.user;
}

bool VersionSupply::FirstRoundDone() const {
  const MutexLock lock(mu_);
  return looked_ && first_.empty();
}

void VersionSupply::Start() {
  // What is here because of something that needed it before the restart has its time, too.
  for (const auto& one : ports_.hosting.served()) {
    if (!one.by_hand) (void)Want(one.model, one.version, "whatever needed it before the restart");
  }
  threads_.emplace_back([this] { Loop(); });
  for (std::size_t i = 0; i < std::max<std::size_t>(1, options_.threads); ++i) {
    threads_.emplace_back([this] { Work(); });
  }
}

void VersionSupply::Stop() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  ports_.hosting.Interrupt();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void VersionSupply::Loop() {
  runtime::SetThreadName("supply");
  while (true) {
    Round();
    const TimePoint wake = ports_.clock.Now() + options_.period;
    const MutexLock lock(mu_);
    if (stopping_) return;
    const std::size_t known = entries_.size();
    // Somebody new is looked up at once.
    while (!stopping_ && entries_.size() <= known && ports_.clock.Now() < wake) changed_.WaitUntil(mu_, wake);
    if (stopping_) return;
  }
}

std::map<std::string, std::int64_t> VersionSupply::Resolve(const std::vector<std::string>& models) {
  std::map<std::string, std::int64_t> latest;
  bool away = false;
  for (const std::string& model : models) {
    // Asked once: each question to a database that hangs costs its whole time.
    if (!away) {
      const auto record =
          ports_.registry.GetModel(model, AddSaturating(ports_.clock.Now(), options_.database_timeout));
      if (record.ok() && record->latest) latest.emplace(model, *record->latest);
      away = !record.ok() && record.error().code() != Code::kNotFound;
    }
    if (!away) continue;
    if (const auto known = latest_.find(model); known != latest_.end()) latest.insert(*known);
  }
  return latest;
}

void VersionSupply::Round() {
  std::vector<std::string> unresolved;
  std::set<Key> named;
  for (const Key& key : ports_.needed()) {
    if (key.second != 0) {
      named.insert(key);
    } else if (!IsFolders(key.first)) {
      unresolved.push_back(key.first);
    }
  }
  latest_ = Resolve(unresolved);
  named.insert(latest_.begin(), latest_.end());
  for (const Key& key : named) {
    (void)Want(key.first, key.second, InForce(key.first));
  }
  std::vector<Key> gone;
  {
    const MutexLock lock(mu_);
    if (!looked_) {
      for (const Key& key : named) {
        if (entries_.contains(key)) first_.insert(key);  // Unless there were too many.
      }
    }
    looked_ = true;
    const TimePoint now = ports_.clock.Now();
    for (auto& [key, entry] : entries_) {
      if (entry.working) continue;
      if (now - entry.wanted > options_.linger) {
        entry.working = true;  // Nobody begins with it while it goes.
        gone.push_back(key);
      } else if (now >= entry.next_try) {
        entry.working = true;
        queue_.push_back(key);
        changed_.NotifyAll();
      }
    }
  }
  LetGo(gone);
  if (states_checked_ == TimePoint() || ports_.clock.Now() - states_checked_ >= options_.state_check) {
    states_checked_ = ports_.clock.Now();
    (void)ports_.hosting.CatchUpHistory(AddSaturating(ports_.clock.Now(), options_.database_timeout));
    CheckStates();
  }
}

Result<bool> VersionSupply::MayGo(const Key& key) {
  if (!ports_.hosting.Has(key.first, key.second)) return true;
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.database_timeout);
  MEZZO_TRY(const std::string user, ports_.registry.UserOf(key.first, key.second, deadline));
  if (user.empty()) return true;
  const MutexLock lock(mu_);
  Entry& entry = entries_.at(key);
  entry.wanted = ports_.clock.Now();
  entry.user = user;
  return false;
}

void VersionSupply::LetGo(const std::vector<Key>& gone) {
  bool away = false;
  for (const Key& key : gone) {
    const Result<bool> may = away ? Result<bool>(false) : MayGo(key);
    away = away || !may.ok();
    if (may.ok() && *may) {
      LetGo(key);
      continue;
    }
    const MutexLock lock(mu_);
    entries_.at(key).working = false;
  }
}

void VersionSupply::LetGo(const Key& key) {
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.database_timeout);
  const auto done = ports_.hosting.LetGo(key.first, key.second, /*by_hand_too=*/false, deadline);
  if (done.ok() && *done) {
    let_go_.Add();
    ports_.log.Info("nothing needs this version here any more: it is not served from here",
                    {{"model", key.first}, {"version", key.second}});
  } else if (!done.ok()) {
    ports_.log.Limited("supply_let_go")
        .Warn("a version that nothing needs can't be let go",
              {{"model", key.first}, {"version", key.second}, {"message", done.error().message()}});
  }
  const MutexLock lock(mu_);
  const auto at = entries_.find(key);
  at->second.working = false;
  const bool wanted_again = ports_.clock.Now() - at->second.wanted <= options_.linger;
  if (wanted_again) {
    at->second = Entry{.status = {}, .wanted = at->second.wanted, .user = std::move(at->second.user)};
  } else {
    entries_.erase(at);
  }
}

/// What is archived or drained goes, however it came; unless something still needs it here.
void VersionSupply::CheckStates() {
  std::map<std::string, std::vector<std::int64_t>> hosted;
  for (const auto& one : ports_.hosting.served()) hosted[one.model].push_back(one.version);
  if (hosted.empty()) return;
  std::set<Key> draining;
  if (ports_.draining != nullptr) {
    auto found = ports_.draining(AddSaturating(ports_.clock.Now(), options_.database_timeout));
    if (!found.ok()) return;
    draining = *std::move(found);
  }
  for (const auto& [model, versions] : hosted) {
    const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.database_timeout);
    const auto states = ports_.registry.StatesOf(model, deadline);
    if (!states.ok()) {
      if (states.error().code() == Code::kNotFound) continue;  // Renamed or deleted: as it was.
      return;
    }
    for (const std::int64_t version : versions) {
      const auto state = states->find(version);
      const bool archived = state != states->end() && state->second == VersionState::kArchived;
      if (!archived && !draining.contains(Key(model, version))) continue;
      if (IsWanted(model, version)) continue;
      const auto done = ports_.hosting.LetGo(model, version, /*by_hand_too=*/true, deadline);
      if (!done.ok() || !*done) continue;
      let_go_.Add();
      ports_.log.Info("a version that is retired is not served here any more",
                      {{"model", model}, {"version", version}, {"archived", archived}});
    }
  }
}

void VersionSupply::Work() {
  runtime::SetThreadName("supply-fetch");
  while (true) {
    Key key;
    bool was_here = false;
    {
      const MutexLock lock(mu_);
      while (!stopping_ && queue_.empty()) {
        changed_.WaitUntil(mu_, ports_.clock.Now() + std::chrono::seconds(1));
      }
      if (stopping_) return;
      key = std::move(queue_.front());
      queue_.pop_front();
      was_here = entries_.at(key).status.state == State::kHere;
    }
    Status status = Bring(key, was_here);
    const MutexLock lock(mu_);
    Entry& entry = entries_.at(key);
    const TimePoint now = ports_.clock.Now();
    const bool news = status.state != entry.status.state || status.reason != entry.status.reason;
    if (status.state == State::kHere) {
      entry.next_try = now + options_.state_check;  // Somebody may have taken it away by hand.
      entry.backoff = {};
    } else if (status.state == State::kAbsent) {
      entry.next_try = now + kAskAgain;
    } else {
      entry.backoff = std::clamp(2 * entry.backoff, options_.retry_min, options_.retry_max);
      entry.next_try = now + entry.backoff;
      failed_.Add();
    }
    if (news && !status.reason.empty()) {
      ports_.log.Limited("supply_failed")
          .Warn("a version that is needed here can't be served",
                {{"model", key.first}, {"version", key.second}, {"message", status.reason}});
    }
    entry.status = std::move(status);
    entry.working = false;
    first_.erase(key);
  }
}

bool VersionSupply::IsFolders(const std::string& model) {
  const bool known = ports_.catalog.VersionsOf(model).ok() || ports_.catalog.VersionsOf(model + "/unet").ok();
  if (!known) return false;
  const auto served = ports_.hosting.served();
  return std::none_of(served.begin(), served.end(), [&](const auto& one) { return one.model == model; });
}

VersionSupply::Status VersionSupply::Bring(const Key& key, bool was_here) {
  const auto& [model, version] = key;
  const std::string text = std::to_string(version);
  if (ports_.catalog.IsReady(model, text)) return {.state = State::kHere, .reason = ""};
  const auto found = ports_.catalog.Acquire(model, text);
  // What was evicted for others comes back when it is called.
  const bool evicted = was_here && !found.ok() && found.error().reason() == "model_on_disk";
  if (found.ok() || evicted) return {.state = State::kHere, .reason = ""};
  const auto parts = ports_.catalog.VersionsOf(model + "/unet");
  const bool pipeline = parts.ok() && std::find(parts->begin(), parts->end(), version) != parts->end();
  if (was_here && pipeline && ports_.hosting.Has(model, version))
    return {.state = State::kHere, .reason = ""};
  if (IsFolders(model)) return {.state = State::kAbsent, .reason = ""};
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.fetch_timeout);
  const auto served = ports_.hosting.Serve(model, version, VersionHosting::Why::kNeeded, deadline);
  if (!served.ok()) {
    const Error& error = served.error();
    const std::string_view reason = error.reason();
    if (reason == "registry_model_unknown" || reason == "registry_version_unknown") {
      return {.state = State::kAbsent, .reason = ""};
    }
    return {.state = IsFinal(error) ? State::kFailed : State::kComing, .reason = error.message()};
  }
  Status status = AwaitLoaded(key);
  if (status.state != State::kHere) return status;
  const TimePoint soon = AddSaturating(ports_.clock.Now(), options_.database_timeout);
  const auto noted = ports_.hosting.NoteServed(model, version, soon);
  if (!noted.ok()) {
    ports_.log.Limited("supply_noted")
        .Warn("the history does not say that a version is served here",
              {{"model", model}, {"version", version}, {"message", noted.error().message()}});
  }
  if (*served) {
    brought_.Add();
    ports_.log.Info("a version that is needed here has come", {{"model", model}, {"version", version}});
  }
  return status;
}

VersionSupply::Status VersionSupply::AwaitLoaded(const Key& key) {
  const auto& [model, version] = key;
  const TimePoint until = AddSaturating(ports_.clock.Now(), options_.fetch_timeout);
  const auto loaded = ports_.load(model, std::to_string(version), until);
  if (loaded.ok()) return {.state = State::kHere, .reason = ""};
  const Error& error = loaded.error();
  if (error.reason() == "model_unknown" && ports_.catalog.VersionsOf(model + "/unet").ok()) {
    return {.state = State::kHere, .reason = ""};  // A pipeline: its parts load when they are asked for.
  }
  const bool broken = error.reason() == "model_not_ready" || IsFinal(error);
  return {.state = broken ? State::kFailed : State::kComing, .reason = error.message()};
}

}  // namespace mezzo::lifecycle
