#include "mezzo/models/internal/catalog_core.h"

#include <algorithm>
#include <iterator>

#include "mezzo/base/strings.h"

namespace mezzo::models {

using internal::ModelView;
using internal::Snapshot;
using internal::VersionView;

namespace internal {

std::string_view CauseName(Cause cause) {
  switch (cause) {
    case Cause::kStartup:
      return "startup";
    case Cause::kDemand:
      return "demand";
    case Cause::kExplicit:
      return "explicit";
    case Cause::kChange:
      return "change";
  }
  return "unknown";
}

}  // namespace internal

namespace {

constexpr std::array<std::string_view, 6> kStateNames = {"unknown", "on_disk",   "loading",
                                                         "ready",   "unloading", "unavailable"};

Error UnknownModel(std::string_view model) {
  return NotFound("model_unknown", "Request for unknown model: '" + Printable(model) + "' is not found");
}

/// The index's state of one version.
VersionState StateOf(const internal::Slot& slot, bool draining) {
  if (slot.ref != nullptr) return VersionState::kReady;
  if (slot.plan != nullptr) return VersionState::kLoading;
  if (slot.failure != nullptr) return VersionState::kUnavailable;
  if (slot.active) return VersionState::kOnDisk;
  return draining ? VersionState::kUnloading : VersionState::kUnavailable;
}

}  // namespace

RepositoryCatalog::Core::Core(Options options, Parts parts)
    : options_(std::move(options)),
      parts_(parts),
      repository_(options_.roots),
      loader_({.default_max_batch = options_.default_max_batch,
               .default_instances = options_.default_instances,
               .default_providers = options_.default_providers,
               .max_warmup_bytes = options_.max_warmup_bytes},
              parts_.engine, parts_.clock),
      metrics_(parts_.registry),
      link_(std::make_shared<Link>()),
      snapshot_(std::make_shared<const Snapshot>()),
      keeper_(std::make_shared<internal::Keeper>([this] { return Tick(); }, options_.after_unload,
                                                 internal::Keeper::Pace{})) {
  MutexLock lock(link_->mu);
  link_->core = this;
  metrics_.budget_bytes.Set(static_cast<double>(options_.memory_budget));
}

RepositoryCatalog::Core::~Core() { Stop(); }

bool RepositoryCatalog::Core::StartsServed(const ModelFolder& folder) const {
  if (options_.control != ControlMode::kExplicit) return true;
  if (!options_.chosen_root.empty() && folder.root == options_.chosen_root) return true;
  return std::any_of(
      options_.startup_models.begin(), options_.startup_models.end(), [&folder](const std::string& name) {
        return name == "*" || name == folder.name || (name == folder.pipeline && !name.empty());
      });
}

std::shared_ptr<internal::Source> RepositoryCatalog::Core::SourceOf(ModelFolder folder) const {
  const bool chosen = !options_.chosen_root.empty() && folder.root == options_.chosen_root;
  return internal::ReadSource(std::move(folder), /*every_version=*/chosen);
}

Result<void> RepositoryCatalog::Core::Start(VersionBinder* binder) {
  binder_ = binder;
  internal::OverrideDir::RemoveAbandoned(options_.temp_dir);
  MEZZO_TRY(std::vector<ModelFolder> folders, repository_.Scan());
  std::vector<std::shared_ptr<Source>> sources;
  std::vector<std::string> unserved;
  for (ModelFolder& folder : folders) {
    if (StartsServed(folder)) {
      sources.push_back(SourceOf(std::move(folder)));
    } else {
      unserved.push_back(folder.name);
    }
  }
  for (const std::string& name : options_.startup_models) {
    const bool found =
        name == "*" || std::any_of(sources.begin(), sources.end(), [&name](const auto& source) {
          return source->folder.name == name || source->folder.pipeline == name;
        });
    if (!found)
      return NotFound("model_unknown", "the repository has no model '" + Printable(name) + "' to start with");
  }
  std::sort(sources.begin(), sources.end(), [](const auto& a, const auto& b) {
    if (a->config->pinned != b->config->pinned) return a->config->pinned;
    return a->folder.name < b->folder.name;
  });
  After after;
  {
    MutexLock lock(mu_);
    if (stopping_) return Unavailable("shutting_down", "the catalog has been stopped");
    for (const std::string& name : unserved) models_.try_emplace(name);  // The index shows them.
    // Counted before any can end.
    startup_left_.store(sources.size());
    for (auto& source : sources) {
      const std::string name = source->folder.name;
      Model& model = models_[name];
      model.served = true;
      if (StartExclusive(name, model, std::move(source), Cause::kStartup, after) == nullptr)
        startup_left_.fetch_sub(1);
    }
    started_.store(true);
    Dispatch(after);
  }
  Finish(after);
  keeper_->Wake();
  return {};
}

void RepositoryCatalog::Core::Stop() {
  After after;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    for (auto& [name, model] : models_) Abandon(model);
    Dispatch(after);  // Ends what is queued.
  }
  Finish(after);
  {
    MutexLock lock(mu_);
    while (jobs_ > 0) idle_.Wait(mu_);
    for (auto& [name, model] : models_) {
      for (auto& [version, slot] : model.slots) {
        if (slot.ref != nullptr) Drop(model, version, std::move(slot.ref), after);
        slot.ref = nullptr;
      }
    }
    models_.clear();
    snapshot_ = std::make_shared<const Snapshot>();
    board_.Publish(snapshot_);
  }
  Finish(after);
  keeper_->Stop();  // Frees what nobody holds, and tells OnFreed() about it.
  MutexLock lock(link_->mu);
  link_->core = nullptr;
}

void RepositoryCatalog::Core::Finish(After& after) {
  for (const runtime::Context& ctx : after.wake) ctx.Cancel();
  for (const After::Event& event : after.events) {
    const auto level = event.failed ? observe::LogLevel::kWarn : observe::LogLevel::kInfo;
    parts_.log.Log(level, event.text,
                   {{"model", event.model},
                    {"version", event.version},
                    {"detail", event.detail},
                    {"bytes", event.bytes},
                    {"seconds", event.took}});
  }
  for (const auto& [model, version] : after.withdrawn) {
    if (binder_ != nullptr) binder_->Withdrawn(model, version);
  }
  after.withdrawn.clear();
  after.wake.clear();
  after.events.clear();
  after.drop.clear();  // Last references go to the keeper.
}

VersionRef RepositoryCatalog::Core::MakeRef(std::unique_ptr<ModelVersion> version,
                                            std::shared_ptr<const Source> source) {
  // The deleter is kept as long as weak references are; what it holds is given up when it runs.
  struct Bury {
    std::shared_ptr<internal::Keeper> keeper;
    std::shared_ptr<Link> link;
    std::shared_ptr<const Source> source;
    void operator()(ModelVersion* raw) {
      auto keep = std::move(keeper);
      auto burial = [version = std::unique_ptr<ModelVersion>(raw), tell = std::move(link),
                     files = std::move(source)]() mutable {
        const std::string name = version->name.str();
        const std::int64_t number = version->version;
        const ByteCount bytes = version->memory_bytes;
        version.reset();  // Extension first, then session.
        files.reset();
        MutexLock lock(tell->mu);
        if (tell->core != nullptr) tell->core->OnFreed(name, number, bytes);
      };
      keep->Post(std::move(burial));
    }
  };
  ModelVersion* raw = version.release();
  return VersionRef(raw, Bury{keeper_, link_, std::move(source)});
}

void RepositoryCatalog::Core::Drop(Model& model, std::int64_t version, VersionRef ref, After& after) {
  draining_ += ref->memory_bytes;
  ++model.draining[version];
  after.drop.push_back(std::move(ref));
}

void RepositoryCatalog::Core::OnFreed(const std::string& name, std::int64_t version, ByteCount bytes) {
  After after;
  {
    MutexLock lock(mu_);
    used_ -= bytes;
    draining_ -= bytes;
    metrics_.unloads.Add();
    if (const auto it = models_.find(name); it != models_.end()) {
      Model& model = it->second;
      if (--model.draining[version] <= 0) model.draining.erase(version);
      ShowStates(model);
      const bool forgotten =
          !model.served && model.slots.empty() && model.draining.empty() && model.plan == nullptr;
      if (forgotten && options_.control == ControlMode::kPoll)
        models_.erase(it);  // Its folder has gone, too.
    }
    Dispatch(after);
    ShowGauges();
  }
  Finish(after);
}

void RepositoryCatalog::Core::Publish(const std::string& name, Model& model) {
  auto view = std::make_shared<ModelView>();
  if (model.source != nullptr && model.source->problem.has_value()) {
    view->problem = std::make_shared<const Error>(*model.source->problem);
  }
  for (const auto& [version, slot] : model.slots) {
    VersionView v;
    v.version = version;
    v.text = std::to_string(version);
    v.ref = slot.ref;
    v.active = slot.active;
    v.loading = slot.plan != nullptr;
    if (slot.ref == nullptr) v.failure = slot.failure;
    v.retry_at = slot.retry_at;
    v.usage = slot.usage;
    v.config = slot.config != nullptr ? slot.config : model.source->config;
    view->versions.push_back(std::move(v));
  }
  snapshot_ = snapshot_->With(name, std::move(view));
  board_.Publish(snapshot_);
  ShowStates(model);
}

void RepositoryCatalog::Core::Withdraw(const std::string& name) {
  snapshot_ = snapshot_->With(name, nullptr);
  board_.Publish(snapshot_);
}

void RepositoryCatalog::Core::ShowStates(Model& model) {
  std::array<int, 6> states{};
  for (const auto& [version, slot] : model.slots) {
    ++states[static_cast<std::size_t>(StateOf(slot, model.draining.contains(version)))];
  }
  for (const auto& [version, count] : model.draining) {
    if (!model.slots.contains(version)) ++states[static_cast<std::size_t>(VersionState::kUnloading)];
  }
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (states[i] != model.counted[i])
      metrics_.versions.With({kStateNames[i]}).Add(states[i] - model.counted[i]);
  }
  model.counted = states;
}

Result<VersionRef> RepositoryCatalog::Core::Acquire(std::string_view model, std::string_view version) {
  const ModelView* view = board_.Read().Find(model);
  if (view == nullptr) return UnknownModel(model);
  const VersionView* found = version.empty() ? view->Default() : view->Find(version);
  if (found != nullptr) {
    if (VersionRef ref = found->ref.lock()) {
      found->usage->uses.fetch_add(1, std::memory_order_relaxed);
      return ref;
    }
  }
  return NotServed(model, *view, found, version);
}

Error RepositoryCatalog::Core::NotServed(std::string_view model, const ModelView& view,
                                         const VersionView* version, std::string_view text) const {
  const std::string subject = "Request for unknown model: '" + Printable(model) + "'";
  if (view.problem != nullptr) {
    return Unavailable("model_not_ready", subject + " has no available versions: " + view.problem->message());
  }
  if (version == nullptr) {
    if (text.empty()) return Unavailable("model_not_ready", subject + " has no available versions");
    return NotFound("version_unknown", subject + " version " + Printable(text) + " is not found");
  }
  const TimePoint now = parts_.clock.Now();
  const bool may_load = version->active && (version->failure == nullptr || now >= version->retry_at);
  if (version->loading || may_load) {
    return FailedPrecondition("model_on_disk", "model '" + Printable(model) + "' version " + version->text +
                                                   " is not in memory; it has to be loaded first");
  }
  std::string message = subject + " version " + version->text + " is not at ready state";
  if (version->failure != nullptr) message += ": " + version->failure->message();
  Error error = Unavailable("model_not_ready", std::move(message));
  if (version->active && version->retry_at > now)
    return std::move(error).WithRetryAfter(version->retry_at - now);
  return error;
}

Result<std::shared_ptr<const ModelConfig>> RepositoryCatalog::Core::ConfigOf(std::string_view model,
                                                                             std::string_view version) {
  const ModelView* view = board_.Read().Find(model);
  if (view == nullptr) return UnknownModel(model);
  const VersionView* found = version.empty() ? view->Default() : view->Find(version);
  if (found == nullptr) return NotServed(model, *view, found, version);
  return found->config;
}

Result<std::vector<std::int64_t>> RepositoryCatalog::Core::VersionsOf(std::string_view model) {
  const ModelView* view = board_.Read().Find(model);
  if (view == nullptr) return UnknownModel(model);
  std::vector<std::int64_t> versions;
  for (const VersionView& each : view->versions) {
    if (each.active && each.failure == nullptr) versions.push_back(each.version);
  }
  return versions;
}

bool RepositoryCatalog::Core::IsReady(std::string_view model, std::string_view version) {
  const ModelView* view = board_.Read().Find(model);
  if (view == nullptr) return false;
  const VersionView* found = version.empty() ? view->Default() : view->Find(version);
  if (found == nullptr || !found->active || found->failure != nullptr) return false;
  const VersionRef ref = found->ref.lock();
  return ref == nullptr || ref->session->Health().ok();
}

std::vector<IndexEntry> RepositoryCatalog::Core::Index(bool ready_only) {
  std::vector<IndexEntry> entries;
  MutexLock lock(mu_);
  for (const auto& [name, model] : models_) {
    const std::size_t before = entries.size();
    for (const auto& [version, slot] : model.slots) {
      IndexEntry entry{.name = name, .version = std::to_string(version), .state = {}, .reason = {}};
      entry.state = StateOf(slot, model.draining.contains(version));
      if (slot.failure != nullptr) {
        entry.reason = slot.failure->message();
      } else if (!model.served) {
        entry.reason = "unloaded";
      }
      if (entry.state == VersionState::kReady && model.change_problem != nullptr) {
        entry.reason = "not reloaded: " + model.change_problem->message();
      } else if (entry.state == VersionState::kReady && slot.failure != nullptr) {
        entry.reason = "not reloaded: " + slot.failure->message();
      }
      if (entry.state == VersionState::kReady && slot.ref != nullptr) {
        if (const auto health = slot.ref->session->Health(); !health.ok()) {
          entry.state = VersionState::kUnavailable;
          entry.reason = health.error().message();
        }
      }
      entries.push_back(std::move(entry));
    }
    for (const auto& [version, count] : model.draining) {
      if (model.slots.contains(version)) continue;
      entries.push_back({.name = name,
                         .version = std::to_string(version),
                         .state = VersionState::kUnloading,
                         .reason = std::to_string(count) + " unloaded session(s) still in use"});
    }
    if (entries.size() == before) {
      IndexEntry entry{.name = name, .version = {}, .state = VersionState::kUnknown, .reason = {}};
      if (model.source != nullptr && model.source->problem.has_value()) {
        entry.state = VersionState::kUnavailable;
        entry.reason = model.source->problem->message();
      }
      entries.push_back(std::move(entry));
    }
  }
  if (ready_only) {
    std::erase_if(entries, [](const IndexEntry& entry) { return entry.state != VersionState::kReady; });
  }
  return entries;
}

ByteCount RepositoryCatalog::Core::bytes_used() {
  MutexLock lock(mu_);
  return used_;
}

}  // namespace mezzo::models
