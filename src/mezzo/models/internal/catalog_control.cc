#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/models/internal/catalog_core.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::models {
namespace {

/// How often blocked loads are looked at again: sessions become idle without telling.
constexpr Duration kBlockedTick = std::chrono::milliseconds(20);

struct ByName {
  bool operator()(const ModelFolder& folder, const std::string& name) const { return folder.name < name; }
  bool operator()(const std::string& name, const ModelFolder& folder) const { return name < folder.name; }
};

Error FailedLoad(const std::string& name, const std::string& why) {
  return Internal("load_failed", "failed to load '" + Printable(name) + "', " + why);
}

}  // namespace

Result<bool> RepositoryCatalog::Core::Enlist(const PlanPtr& plan, const runtime::Context& wake) {
  MutexLock lock(mu_);
  if (plan->done) return false;
  if (plan->waiters.size() >= options_.max_waiters_per_load) {
    metrics_.refused_waiters.Add();
    return ResourceExhausted("too_many_waiters", "model '" + plan->model + "' is being loaded and " +
                                                     std::to_string(plan->waiters.size()) +
                                                     " calls wait for it already; that is the limit")
        .WithRetryAfter(std::chrono::seconds(1));
  }
  plan->waiters.push_back(wake);
  plan->had_waiters = true;
  ++waiting_;
  ShowGauges();
  return true;
}

/// True when the plan has ended.
bool RepositoryCatalog::Core::Delist(const PlanPtr& plan, const runtime::Context& wake) {
  MutexLock lock(mu_);
  --waiting_;
  ShowGauges();
  if (plan->done) return true;
  std::erase_if(plan->waiters, [&wake](const runtime::Context& other) {
    return &other.cancel_state() == &wake.cancel_state();
  });
  return false;
}

runtime::Task<Result<void>> RepositoryCatalog::Core::WaitFor(runtime::Context ctx, PlanPtr plan) {
  // A context of its own: cancelled by whatever ends the wait first, the plan or the caller.
  const runtime::Context wake;
  MEZZO_CO_TRY(const bool waits, Enlist(plan, wake));
  if (!waits) co_return Result<void>();
  runtime::Callback forward = [wake] { wake.Cancel(); };
  const runtime::CancelRegistration registration(ctx.cancel_state(), std::move(forward));
  const auto slept = co_await runtime::SleepUntil(wake, ctx.deadline());
  const bool done = Delist(plan, wake);
  if (done) co_return Result<void>();
  if (ctx.cancelled()) {
    co_return Cancelled("cancelled", "the call was cancelled while model '" + plan->model + "' was loading");
  }
  co_return DeadlineExceeded("deadline",
                             "the call's deadline passed while model '" + plan->model + "' was loading");
}

/// The plan that brings the version into memory; null when it is there already.
Result<RepositoryCatalog::Core::PlanPtr> RepositoryCatalog::Core::Join(const std::string& name,
                                                                       const std::string& version) {
  After after;
  Result<PlanPtr> joined = PlanPtr();
  {
    MutexLock lock(mu_);
    const auto it = models_.find(name);
    if (stopping_) {
      joined = Unavailable("shutting_down", "the server is shutting down");
    } else if (it != models_.end() && it->second.served) {
      Model& model = it->second;
      // The same choice as the reader's: its snapshot may be older than what is here, then it looks again.
      const auto* views = snapshot_->Find(name);
      const auto* view = version.empty() ? views->Default() : views->Find(version);
      if (const auto at = view == nullptr ? model.slots.end() : model.slots.find(view->version);
          at != model.slots.end()) {
        Slot& slot = at->second;
        if (slot.plan != nullptr) {
          joined = slot.plan;
        } else if (slot.ref == nullptr && slot.active &&
                   (slot.failure == nullptr || parts_.clock.Now() >= slot.retry_at)) {
          joined = StartOnDemand(name, model, view->version, after);
        }
      }
    }
  }
  Finish(after);
  return joined;
}

/// What the ended plan made of the version; null when it says nothing about it, and it's worth another look.
Result<VersionRef> RepositoryCatalog::Core::OutcomeFor(const PlanPtr& plan, const std::string& version) {
  MutexLock lock(mu_);
  VersionRef newest;
  const Piece* failed = nullptr;
  for (const Piece& piece : plan->pieces) {
    if (!version.empty() && std::to_string(piece.version) != version) continue;
    if (piece.published != nullptr) newest = piece.published;
    const bool tried = piece.error.has_value() && piece.error->reason() != "load_superseded" &&
                       (piece.error->reason() != "load_abandoned" || stopping_);
    if (tried) failed = &piece;
  }
  if (newest != nullptr || failed == nullptr) return newest;
  return Unavailable("model_not_ready", "Request for unknown model: '" + plan->model + "' version " +
                                            std::to_string(failed->version) +
                                            " is not at ready state: " + failed->error->message());
}

runtime::Task<Result<VersionRef>> RepositoryCatalog::Core::AcquireLoaded(runtime::Context ctx,
                                                                         ModelName model,
                                                                         std::string version) {
  // More than once only when the model changes or is evicted again meanwhile.
  for (int attempt = 0; attempt < 4; ++attempt) {
    Result<VersionRef> found = Acquire(model.str(), version);
    if (found.ok() || found.error().reason() != "model_on_disk") co_return found;
    MEZZO_CO_TRY(const PlanPtr plan, Join(model.str(), version));
    if (plan == nullptr) continue;
    MEZZO_CO_TRY_VOID(co_await WaitFor(ctx, plan));
    MEZZO_CO_TRY(VersionRef loaded, OutcomeFor(plan, version));
    if (loaded != nullptr) co_return loaded;
  }
  co_return Unavailable("model_not_ready", "Request for unknown model: '" + Printable(model.str()) +
                                               "' has no available versions: it keeps changing");
}

Result<void> RepositoryCatalog::Core::CheckControl() const {
  if (options_.control == ControlMode::kExplicit) return {};
  return Unavailable("control_mode", "explicit model load / unload is not allowed if polling is enabled");
}

/// Reads or writes files: on the pool.
Result<std::shared_ptr<const RepositoryCatalog::Core::Source>> RepositoryCatalog::Core::PrepareLoad(
    const std::string& name, const LoadOverrides& overrides) {
  if (!IsModelName(name)) {
    return InvalidArgument("model_name", "'" + Printable(name) +
                                             "' is not a model's name: 1 to 128 of letters, digits, "
                                             "'.', '_' and '-', not beginning with '.'");
  }
  if (overrides.config_json.empty() && !overrides.files.empty()) {
    return InvalidArgument("config_missing",
                           "the load of '" + name + "' brings files; it must bring a config as well");
  }
  if (overrides.config_json.empty()) {
    auto folder = repository_.Look(name);
    if (!folder.ok() && folder.error().code() == Code::kNotFound) {
      return FailedLoad(name, "failed to poll from model repository");
    }
    if (!folder.ok()) return std::move(folder).error();
    return std::shared_ptr<const Source>(SourceOf(std::move(folder).value()));
  }
  MEZZO_TRY(DeclaredConfig declared, ParseConfigJson(overrides.config_json, "config"));
  std::shared_ptr<const internal::OverrideDir> dir;
  std::optional<Repository> private_repository;
  if (!overrides.files.empty()) {
    const internal::OverrideDir::Limits limits{.max_files = options_.max_override_files,
                                               .max_bytes = options_.max_override_bytes};
    MEZZO_TRY(std::unique_ptr<const internal::OverrideDir> made,
              internal::OverrideDir::Create(options_.temp_dir, name, overrides.files, limits));
    // Whoever lets go last, the files are deleted on the keeper's thread.
    dir.reset(made.release(), [keeper = keeper_](const internal::OverrideDir* raw) {
      keeper->Post([owned = std::unique_ptr<const internal::OverrideDir>(raw)] {});
    });
    private_repository.emplace(std::vector<std::string>{dir->root()});
  }
  auto folder = (private_repository.has_value() ? *private_repository : repository_).Look(name);
  if (!folder.ok()) return FailedLoad(name, "failed to poll from model repository");
  auto source = internal::MakeOverrideSource(std::move(folder).value(), std::move(declared), std::move(dir));
  return std::shared_ptr<const Source>(std::move(source));
}

/// Starts the load, or returns the one that has to end first (`mine` is then false).
Result<RepositoryCatalog::Core::PlanPtr> RepositoryCatalog::Core::BeginLoad(
    const std::string& name, const std::shared_ptr<const Source>& source, bool& mine) {
  After after;
  Result<PlanPtr> plan = PlanPtr();
  {
    MutexLock lock(mu_);
    Model& model = models_[name];
    mine = model.plan == nullptr;
    if (stopping_) {
      plan = Unavailable("shutting_down", "the server is shutting down");
    } else if (!mine) {
      plan = model.plan;
    } else {
      model.served = true;
      plan = StartExclusive(name, model, source, Cause::kExplicit, after);
      Dispatch(after);
    }
  }
  Finish(after);
  return plan;
}

Result<void> RepositoryCatalog::Core::LoadOutcome(const PlanPtr& plan) {
  MutexLock lock(mu_);
  std::string reasons;
  bool any = plan->pieces.empty();
  for (const Piece& piece : plan->pieces) {
    any = any || piece.published != nullptr;
    if (piece.error.has_value()) {
      reasons += (reasons.empty() ? ": version " : "; version ") + std::to_string(piece.version) + ": " +
                 piece.error->message();
    }
  }
  if (any) return {};
  return FailedLoad(plan->model, "no version is available" + reasons);
}

runtime::Task<Result<void>> RepositoryCatalog::Core::Load(runtime::Context ctx, ModelName model,
                                                          LoadOverrides overrides) {
  MEZZO_CO_TRY_VOID(CheckControl());
  auto look = [this, &model] { return repository_.PartsOf(model.str()); };
  MEZZO_CO_TRY(const std::vector<std::string> parts, co_await runtime::Offload(parts_.pool, look));
  for (const std::string& part : parts) {
    ModelName name(part);
    MEZZO_CO_TRY_VOID(co_await Load(ctx, std::move(name), LoadOverrides()));
  }
  if (!parts.empty()) co_return Result<void>();
  auto prepare = [this, &model, &overrides] { return PrepareLoad(model.str(), overrides); };
  MEZZO_CO_TRY(const std::shared_ptr<const Source> source, co_await runtime::Offload(parts_.pool, prepare));
  while (true) {
    bool mine = false;
    MEZZO_CO_TRY(const PlanPtr plan, BeginLoad(model.str(), source, mine));
    if (plan == nullptr) co_return *source->problem;
    MEZZO_CO_TRY_VOID(co_await WaitFor(ctx, plan));
    if (mine) co_return LoadOutcome(plan);
  }
}

Result<void> RepositoryCatalog::Core::UnloadNow(const std::string& name) {
  MEZZO_TRY_VOID(CheckControl());
  After after;
  {
    MutexLock lock(mu_);
    const auto it = models_.find(name);
    if (it == models_.end()) {
      return NotFound("model_unknown",
                      "failed to unload '" + Printable(name) + "', the repository has no such model");
    }
    Model& model = it->second;
    if (!model.served) return {};
    Abandon(model);
    model.served = false;
    model.plan = nullptr;
    model.source = nullptr;
    model.change_problem = nullptr;
    for (auto& [version, slot] : model.slots) {
      if (slot.active) after.withdrawn.emplace_back(name, version);
      if (slot.ref != nullptr) Drop(model, version, std::move(slot.ref), after);
      slot = Slot();
    }
    Withdraw(name);
    ShowStates(model);
    after.events.push_back(
        {.failed = false, .text = "model unloaded", .model = name, .version = {}, .detail = {}});
    Dispatch(after);  // Ends what was queued of it.
  }
  Finish(after);
  return {};
}

runtime::Task<Result<void>> RepositoryCatalog::Core::Unload(runtime::Context, ModelName model) {
  std::vector<std::string> parts;
  {
    MutexLock lock(mu_);
    const std::string prefix = model.str() + "/";
    for (auto it = models_.lower_bound(prefix); it != models_.end() && it->first.starts_with(prefix); ++it)
      parts.push_back(it->first);
  }
  for (const std::string& part : parts) MEZZO_CO_TRY_VOID(UnloadNow(part));
  if (!parts.empty()) co_return Result<void>();
  co_return UnloadNow(model.str());
}

/// Folders whose change has lasted; those that have gone come back without a path.
std::vector<ModelFolder> RepositoryCatalog::Core::SettledChanges(std::vector<ModelFolder> found) {
  std::vector<ModelFolder> changed;
  std::vector<ModelFolder> missing;
  MutexLock lock(mu_);
  const TimePoint now = parts_.clock.Now();
  const auto settled = [&](Model& model, std::uint64_t stamp) REQUIRES(mu_) {
    if (stamp == model.taken_stamp) {
      model.seen_stamp = stamp;
      return false;
    }
    if (stamp != model.seen_stamp) {
      model.seen_stamp = stamp;
      model.seen_since = now;
    }
    return now - model.seen_since >= options_.settle_time && model.plan == nullptr;
  };
  for (auto it = models_.begin(); it != models_.end();) {
    const Model& model = it->second;
    const std::string& name = it->first;
    // Sorted, as the scan is.
    const bool here = std::binary_search(found.begin(), found.end(), name, ByName());
    const bool unused =
        !model.served && model.slots.empty() && model.draining.empty() && model.plan == nullptr;
    if (!here && model.served) {
      ModelFolder folder;
      folder.name = name;
      missing.push_back(std::move(folder));
    }
    it = !here && unused ? models_.erase(it)
                         : std::next(it);  // A new folder that went before it was taken up.
  }
  std::move(missing.begin(), missing.end(), std::back_inserter(found));
  for (ModelFolder& folder : found) {
    const std::uint64_t stamp = folder.path.empty() ? 0 : folder.Stamp();
    if (settled(models_[folder.name], stamp)) changed.push_back(std::move(folder));
  }
  return changed;
}

bool RepositoryCatalog::Core::TakeChange(const std::string& name, std::shared_ptr<const Source> source) {
  After after;
  {
    MutexLock lock(mu_);
    Model& model = models_[name];
    if (model.plan != nullptr || stopping_) return false;  // The next look finds it again.
    if (source != nullptr) {
      model.served = true;
      StartExclusive(name, model, std::move(source), Cause::kChange, after);
    } else {
      Abandon(model);
      model.served = false;
      model.taken_stamp = 0;
      for (auto& [version, slot] : model.slots) {
        if (slot.active) after.withdrawn.emplace_back(name, version);
        if (slot.ref != nullptr) Drop(model, version, std::move(slot.ref), after);
      }
      model.slots.clear();
      Withdraw(name);
      ShowStates(model);
      after.events.push_back({.failed = false,
                              .text = "model gone from the repository",
                              .model = name,
                              .version = {},
                              .detail = {}});
      if (model.draining.empty()) models_.erase(name);
    }
    Dispatch(after);
  }
  Finish(after);
  return true;
}

Result<bool> RepositoryCatalog::Core::LookNow(std::string_view model) {
  MutexLock one(poll_mu_);
  // A pipeline is served by its parts, and those that it had may have gone.
  MEZZO_TRY(const std::vector<std::string> parts, repository_.PartsOf(model));
  std::set<std::string> names(parts.begin(), parts.end());
  {
    MutexLock lock(mu_);
    const std::string prefix = std::string(model) + "/";
    for (auto it = models_.lower_bound(prefix); it != models_.end() && it->first.starts_with(prefix); ++it)
      names.insert(it->first);
    if (names.empty() || models_.contains(model)) names.emplace(model);
  }
  bool all = true;
  for (const std::string& name : names) {
    MEZZO_TRY(const bool taken, LookAtOne(name));
    all = all && taken;
  }
  return all;
}

Result<bool> RepositoryCatalog::Core::LookAtOne(const std::string& name) {
  auto folder = repository_.Look(name);
  if (!folder.ok() && folder.error().code() != Code::kNotFound) return folder.error();
  std::shared_ptr<const Source> source;
  if (folder.ok()) {
    if (folder->root != options_.chosen_root) {
      return FailedPrecondition("model_in_folder", "a model folder of this host has a model '" +
                                                       Printable(name) + "': that one is served");
    }
    source = SourceOf(std::move(folder).value());
  }
  return TakeChange(name, std::move(source));
}

void RepositoryCatalog::Core::PollNow() {
  if (options_.control != ControlMode::kPoll || !started_.load()) return;
  MutexLock one(poll_mu_);
  auto found = repository_.Scan();
  if (!found.ok()) {
    // An unmounted disk must not unload everything.
    parts_.log.Limited("repository_poll")
        .Warn("model repository unreadable", {{"detail", found.error().message()}});
    return;
  }
  for (ModelFolder& folder : SettledChanges(std::move(found).value())) {
    const std::string name = folder.name;
    const bool gone = folder.path.empty();
    std::shared_ptr<const Source> source;
    if (!gone) source = SourceOf(std::move(folder));
    TakeChange(name, std::move(source));
  }
}

/// On the keeper's thread. Real time decides when; the clock decides what.
Duration RepositoryCatalog::Core::Tick() {
  After after;
  bool blocked = false;
  {
    MutexLock lock(mu_);
    Dispatch(after);
    blocked = (!urgent_.empty() || !later_.empty()) && active_loads_ < options_.max_concurrent_loads;
  }
  Finish(after);
  const bool polls = options_.control == ControlMode::kPoll && options_.poll_interval > Duration::zero();
  Duration until_poll = Duration::zero();
  if (polls && started_.load()) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (now >= next_poll_) {
      if (next_poll_ != TimePoint()) PollNow();  // The first time the start has just looked.
      next_poll_ = std::chrono::steady_clock::now() + options_.poll_interval;
    }
    until_poll = std::max<Duration>(next_poll_ - now, kBlockedTick);
  }
  return blocked ? kBlockedTick : until_poll;
}

}  // namespace mezzo::models
