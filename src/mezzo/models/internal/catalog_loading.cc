#include <algorithm>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/models/internal/catalog_core.h"

namespace mezzo::models {
namespace {

/// What a version's files say about it: its own and those that every version shares, if any are shared.
std::uint64_t StampOf(const internal::Source& source, std::int64_t version) {
  if (source.overrides != nullptr || source.stamp == 0) return 0;
  const VersionFolder* folder = source.folder.Find(version);
  if (folder == nullptr) return 0;
  // A version by itself has its configuration among its own files.
  return source.own.contains(version) ? folder->stamp : source.folder.config_stamp * 31 + folder->stamp;
}

}  // namespace

RepositoryCatalog::Core::PlanPtr RepositoryCatalog::Core::StartExclusive(const std::string& name,
                                                                         Model& model,
                                                                         std::shared_ptr<const Source> source,
                                                                         Cause cause, After& after) {
  model.taken_stamp = source->stamp;
  model.change_problem = nullptr;
  if (source->problem.has_value()) {
    // A broken configuration does not replace one that serves.
    if (model.Serves()) {
      model.change_problem = std::make_shared<const Error>(*source->problem);
    } else {
      for (auto& [version, slot] : model.slots) slot.plan = nullptr;
      model.slots.clear();
      model.source = source;
    }
    after.events.push_back({.failed = true,
                            .text = "model configuration refused",
                            .model = name,
                            .version = {},
                            .detail = source->problem->message()});
    Publish(name, model);
    return nullptr;
  }
  auto plan = std::make_shared<Plan>();
  plan->cause = cause;
  plan->model = name;
  plan->may_evict = cause == Cause::kExplicit || (cause == Cause::kChange && model.HasReady());
  if (model.source == nullptr || model.source->problem.has_value()) model.source = source;
  for (const std::int64_t version : source->wanted) {
    Slot& slot = model.slots[version];
    const std::uint64_t stamp = StampOf(*source, version);
    const bool current = slot.ref != nullptr && stamp != 0 && stamp == slot.loaded_stamp;
    if (current) continue;
    Piece& piece = plan->pieces.emplace_back();
    piece.version = version;
    slot.plan = plan;
  }
  plan->source = std::move(source);
  plan->remaining = plan->pieces.size();
  model.plan = plan;
  Publish(name, model);
  if (plan->remaining == 0) {
    EndPlan(plan, after);
  } else {
    Enqueue(plan);
  }
  return plan;
}

RepositoryCatalog::Core::PlanPtr RepositoryCatalog::Core::StartOnDemand(const std::string& name, Model& model,
                                                                        std::int64_t version, After& after) {
  auto plan = std::make_shared<Plan>();
  plan->cause = Cause::kDemand;
  plan->model = name;
  plan->source = model.source;
  plan->pieces.emplace_back().version = version;
  plan->remaining = 1;
  model.slots[version].plan = plan;
  Enqueue(plan);
  Dispatch(after);
  ShowStates(model);  // Nothing to publish: for readers it is not in memory, before and after.
  return plan;
}

void RepositoryCatalog::Core::Enqueue(const PlanPtr& plan) {
  const bool urgent = plan->cause == Cause::kDemand || plan->cause == Cause::kExplicit;
  auto& queue = urgent ? urgent_ : later_;
  for (std::size_t i = 0; i < plan->pieces.size(); ++i) queue.emplace_back(plan, i);
}

void RepositoryCatalog::Core::Dispatch(After& after) {
  while (DispatchOne(urgent_, after)) {
  }
  // While somebody waits for memory, nobody else takes it.
  while (urgent_.empty() && DispatchOne(later_, after)) {
  }
  ShowGauges();
}

/// Deals with the head of a queue. False when it has to stay there, or there is none.
bool RepositoryCatalog::Core::DispatchOne(std::deque<Job>& queue, After& after) {
  if (queue.empty()) return false;
  const Job job = queue.front();
  const PlanPtr& plan = job.first;
  Piece& piece = plan->pieces[job.second];
  const bool left = plan->cause == Cause::kDemand && plan->had_waiters && plan->waiters.empty();
  const bool unwanted = plan->abandoned || stopping_ || left;
  if (unwanted) {
    queue.pop_front();
    piece.error =
        Unavailable("load_abandoned", stopping_ ? "the server is shutting down" : "the load was abandoned");
    EndPiece(plan, piece, after);
    return true;
  }
  if (active_loads_ >= options_.max_concurrent_loads) return false;
  const ByteCount need = Expected(*plan, piece.version);
  const Room room = MakeRoom(plan->model, need, plan->may_evict, after);
  const TimePoint now = parts_.clock.Now();
  const bool stays = !plan->may_evict && !plan->source->config->pinned;
  const bool late = plan->blocked_since.has_value() && now - *plan->blocked_since >= options_.room_timeout;
  if (room == Room::kNever || (room == Room::kWait && (late || !plan->may_evict))) {
    queue.pop_front();
    if (stays) {
      piece.left_on_disk = true;
    } else {
      piece.error = NoRoom(*plan, piece.version, need, room == Room::kNever);
    }
    EndPiece(plan, piece, after);
    return true;
  }
  if (room == Room::kWait) {
    if (!plan->blocked_since.has_value()) {
      plan->blocked_since = now;
      keeper_->Wake();  // Its ticks watch the time and what becomes idle.
    }
    return false;
  }
  piece.reserved = need;
  piece.state = Piece::State::kRunning;
  if (!parts_.pool.TrySubmit([this, job] { RunPiece(job.first, job.second); })) {
    piece.reserved = 0;
    piece.state = Piece::State::kQueued;
    if (!plan->blocked_since.has_value()) plan->blocked_since = now;
    keeper_->Wake();
    return false;
  }
  used_ += need;
  ++active_loads_;
  ++jobs_;
  plan->blocked_since.reset();
  queue.pop_front();
  return true;
}

ByteCount RepositoryCatalog::Core::Expected(const Plan& plan, std::int64_t version) {
  const auto model = models_.find(plan.model);
  if (model != models_.end()) {
    const auto slot = model->second.slots.find(version);
    // What was measured holds while the files are the same, or nothing else is known.
    if (slot != model->second.slots.end() && slot->second.measured > 0 &&
        (plan.source == model->second.source ||
         slot->second.loaded_stamp == StampOf(*plan.source, version))) {
      return slot->second.measured;
    }
  }
  if (plan.source->config->memory_hint > 0) return plan.source->config->memory_hint;
  const VersionFolder* folder = plan.source->folder.Find(version);
  if (folder == nullptr) return 0;
  const double expected = static_cast<double>(folder->bytes) * options_.file_size_factor;
  return static_cast<ByteCount>(std::min(expected, 1e15));
}

RepositoryCatalog::Core::Room RepositoryCatalog::Core::MakeRoom(const std::string& name, ByteCount need,
                                                                bool may_evict, After& after) {
  const ByteCount budget = options_.memory_budget;
  if (budget == 0 || (need <= budget && used_ <= budget - need)) return Room::kYes;
  if (!may_evict) return Room::kWait;
  // What can't be had even if everything else went: pinned sessions, and the model's own that keep serving.
  ByteCount fixed = 0;
  for (const auto& [other, model] : models_) {
    for (const auto& [version, slot] : model.slots) {
      if (slot.ref == nullptr) continue;
      const bool stays =
          slot.config->pinned || !slot.config->evictable || (other == name && model.plan != nullptr);
      if (stays) fixed += slot.ref->memory_bytes;
    }
  }
  if (need > budget || fixed > budget - need) return Room::kNever;
  const ByteCount coming = used_ - draining_;  // Once what drains has gone.
  if (coming + need > budget) EvictFor(name, coming + need - budget, after);
  return Room::kWait;  // Until the sessions have really been freed.
}

/// Unpublishes the least valuable idle sessions; false when that does not free enough, and then nothing
/// changes.
bool RepositoryCatalog::Core::EvictFor(const std::string& name, ByteCount shortfall, After& after) {
  const TimePoint now = parts_.clock.Now();
  std::vector<internal::EvictionCandidate> candidates;
  std::vector<std::pair<std::string, std::int64_t>> ids;
  for (auto& [other, model] : models_) {
    if (model.plan != nullptr) continue;  // What a reload may fall back on stays.
    for (auto& [version, slot] : model.slots) {
      if (slot.ref == nullptr || slot.config->pinned || !slot.config->evictable) continue;
      slot.uses.Add(slot.usage->uses.exchange(0, std::memory_order_relaxed), now, options_.value_half_life);
      if (slot.ref.use_count() > 1 || slot.plan != nullptr)
        continue;  // In use: freeing it would free nothing now.
      candidates.push_back({.id = ids.size(),
                            .bytes = slot.ref->memory_bytes,
                            .uses = slot.uses.count(),
                            .load_time = slot.load_time,
                            .young = now - slot.loaded_at < options_.min_residency});
      ids.emplace_back(other, version);
    }
  }
  const auto victims = internal::ChooseVictims(std::move(candidates), shortfall);
  for (const std::size_t victim : victims) {
    const std::string& victim_name = ids[victim].first;
    const std::int64_t victim_version = ids[victim].second;
    Model& model = models_.find(victim_name)->second;
    Slot& slot = model.slots[victim_version];
    after.events.push_back({.failed = false,
                            .text = "model evicted",
                            .model = victim_name,
                            .version = std::to_string(victim_version),
                            .detail = "room for " + name,
                            .bytes = slot.ref->memory_bytes});
    Drop(model, victim_version, std::move(slot.ref), after);
    slot.ref = nullptr;
    metrics_.evictions.Add();
    Publish(victim_name, model);
  }
  return !victims.empty();
}

/// "memory_budget" when no wait would help, "memory_busy" when one has not.
Error RepositoryCatalog::Core::NoRoom(const Plan& plan, std::int64_t version, ByteCount need, bool never) {
  return ResourceExhausted(never ? "memory_budget" : "memory_busy",
                           "model '" + plan.model + "' version " + std::to_string(version) + " needs " +
                               FormatBytes(need) + ", but of the memory budget of " +
                               FormatBytes(options_.memory_budget) + " " + FormatBytes(used_) +
                               " are taken by models that are pinned, in use or being loaded");
}

void RepositoryCatalog::Core::RunPiece(const PlanPtr& plan, std::size_t index) {
  Piece& piece = plan->pieces[index];
  const std::int64_t version = piece.version;  // Never changes.
  auto loaded = loader_.Load(*plan->source, version);
  Result<void> outcome;
  if (loaded.ok()) {
    outcome = Settle(plan, index, **loaded);
    if (outcome.ok() && binder_ != nullptr) {
      auto extension = binder_->Bind(**loaded);
      if (extension.ok()) {
        (*loaded)->extension = std::move(extension).value();
      } else {
        outcome = std::move(extension).error();
      }
    }
    if (!outcome.ok()) loaded->reset();  // Freed here, on the background, before its bytes are given back.
  } else {
    outcome = loaded.error();
  }
  After after;
  {
    MutexLock lock(mu_);
    --active_loads_;
    if (outcome.ok()) {
      piece.loaded = std::move(loaded).value();
    } else {
      used_ -= piece.reserved;
      piece.reserved = 0;
      piece.error = std::move(outcome).error();
    }
    EndPiece(plan, piece, after);
    Dispatch(after);
  }
  Finish(after);
  MutexLock lock(mu_);
  if (--jobs_ == 0) idle_.NotifyAll();
}

/// Puts what was measured in the place of what was expected; fails when that exceeds the budget.
Result<void> RepositoryCatalog::Core::Settle(const PlanPtr& plan, std::size_t index,
                                             const ModelVersion& loaded) {
  After after;
  Result<void> outcome;
  {
    MutexLock lock(mu_);
    Piece& piece = plan->pieces[index];
    const ByteCount measured = loaded.memory_bytes;
    if (const auto model = models_.find(plan->model); model != models_.end()) {
      const auto slot = model->second.slots.find(piece.version);
      // Also when it fails: the next attempt then asks for what it needs.
      if (slot != model->second.slots.end()) slot->second.measured = measured;
    }
    const ByteCount budget = options_.memory_budget;
    const ByteCount others = used_ - piece.reserved - draining_;
    const bool fits = budget == 0 || measured <= piece.reserved || others + measured <= budget ||
                      (plan->may_evict && EvictFor(plan->model, others + measured - budget, after));
    if (fits) {
      used_ = used_ - piece.reserved + measured;
      piece.reserved = measured;
    } else {
      outcome = NoRoom(*plan, piece.version, measured, measured > budget);
      piece.left_on_disk = !plan->may_evict && !loaded.config->pinned;
    }
  }
  Finish(after);
  return outcome;
}

void RepositoryCatalog::Core::EndPiece(const PlanPtr& plan, Piece& piece, After& after) {
  piece.state = Piece::State::kDone;
  if (--plan->remaining == 0) EndPlan(plan, after);
}

void RepositoryCatalog::Core::EndPlan(const PlanPtr& plan, After& after) {
  const auto it = models_.find(plan->model);
  const bool stale = it == models_.end() || plan->abandoned || !it->second.served ||
                     (plan->cause == Cause::kDemand && it->second.source != plan->source);
  if (stale) {
    for (Piece& piece : plan->pieces) {
      if (piece.loaded == nullptr) continue;
      // Into a reference and at once out of it: freed on the keeper's thread, and its bytes counted until
      // then.
      draining_ += piece.loaded->memory_bytes;
      if (it != models_.end()) ++it->second.draining[piece.version];
      after.drop.push_back(MakeRef(std::move(piece.loaded), plan->source));
      piece.error =
          Unavailable("load_superseded", "model '" + plan->model + "' was unloaded or changed meanwhile");
    }
  }
  if (it != models_.end()) {
    Model& model = it->second;
    const bool exclusive = model.plan == plan;
    // Where nothing came of it, what was served before still is.
    bool any = plan->pieces.empty();
    for (const Piece& piece : plan->pieces) any = any || piece.loaded != nullptr || piece.left_on_disk;
    if (!stale) {
      if (exclusive && any) model.source = plan->source;
      for (Piece& piece : plan->pieces) {
        if (piece.loaded != nullptr) TakeUp(plan, model, piece, after);
      }
      for (Piece& piece : plan->pieces) {
        if (piece.published == nullptr) TakeFailure(*plan, model, piece, after);
      }
    }
    for (auto& [version, slot] : model.slots) {
      if (slot.plan == plan) slot.plan = nullptr;
    }
    if (exclusive) {
      model.plan = nullptr;
      if (!stale && any) DropUnwanted(model, after);
    }
    if (model.served) Publish(plan->model, model);
  }
  plan->done = true;
  after.wake.insert(after.wake.end(), plan->waiters.begin(), plan->waiters.end());
  plan->waiters.clear();
  if (plan->cause == Cause::kStartup) startup_left_.fetch_sub(1);
}

/// A loaded version takes its place; the session it replaces drains.
void RepositoryCatalog::Core::TakeUp(const PlanPtr& plan, Model& model, Piece& piece, After& after) {
  Slot& slot = model.slots[piece.version];
  if (slot.ref != nullptr) Drop(model, piece.version, std::move(slot.ref), after);
  slot.active = true;
  slot.failure = nullptr;
  slot.failures = 0;
  slot.measured = piece.loaded->memory_bytes;
  slot.load_time = piece.loaded->load_time;
  slot.loaded_at = parts_.clock.Now();
  slot.loaded_stamp = StampOf(*plan->source, piece.version);
  slot.config = piece.loaded->config;
  slot.usage->uses.fetch_add(1, std::memory_order_relaxed);  // So that it is not the first to go.
  metrics_.loads.With({internal::CauseName(plan->cause), "ok"}).Add();
  metrics_.load_seconds.Observe(slot.load_time);
  after.events.push_back({.failed = false,
                          .text = "model loaded",
                          .model = plan->model,
                          .version = std::to_string(piece.version),
                          .detail = piece.loaded->session->facts().provider,
                          .bytes = slot.measured,
                          .took = slot.load_time});
  piece.published = MakeRef(std::move(piece.loaded), plan->source);
  slot.ref = piece.published;
}

void RepositoryCatalog::Core::TakeFailure(const Plan& plan, Model& model, const Piece& piece, After& after) {
  Slot& slot = model.slots[piece.version];
  if (piece.left_on_disk) {
    slot.active = true;
    return;
  }
  const Error& error = *piece.error;
  // Nothing was tried: nobody waited any more, or the others were too busy to make room.
  if (error.reason() == "load_abandoned" || error.reason() == "memory_busy") {
    slot.active = slot.active || plan.cause == Cause::kStartup;
    return;
  }
  slot.failure = std::make_shared<const Error>(error);
  const auto doublings = std::min<std::uint32_t>(slot.failures++, 20);
  const Duration pause =
      std::min(options_.max_retry_backoff, options_.retry_backoff * (std::int64_t{1} << doublings));
  slot.retry_at = AddSaturating(parts_.clock.Now(), pause);
  // A version that never worked does not take the place of one that does.
  const bool others = std::any_of(model.slots.begin(), model.slots.end(), [&](const auto& entry) {
    return entry.first != piece.version && entry.second.active;
  });
  if (!others) slot.active = true;
  metrics_.loads.With({internal::CauseName(plan.cause), "failed"}).Add();
  metrics_.failures.With({error.reason()}).Add();
  after.events.push_back({.failed = true,
                          .text = "model load failed",
                          .model = plan.model,
                          .version = std::to_string(piece.version),
                          .detail = error.message()});
}

/// Versions that the policy no longer serves go, once one that it serves can take their place.
void RepositoryCatalog::Core::DropUnwanted(Model& model, After& after) {
  const auto& wanted = model.source->wanted;
  const auto is_wanted = [&wanted](std::int64_t version) {
    return std::find(wanted.begin(), wanted.end(), version) != wanted.end();
  };
  const bool served = std::any_of(model.slots.begin(), model.slots.end(), [&](const auto& entry) {
    return is_wanted(entry.first) && entry.second.active &&
           (entry.second.ref != nullptr || !model.HasReady());
  });
  if (!served) return;
  for (auto it = model.slots.begin(); it != model.slots.end();) {
    Slot& slot = it->second;
    if (is_wanted(it->first) || slot.plan != nullptr) {
      ++it;
      continue;
    }
    if (slot.active) after.withdrawn.emplace_back(model.source->folder.name, it->first);
    if (slot.ref != nullptr) Drop(model, it->first, std::move(slot.ref), after);
    it = model.slots.erase(it);
  }
}

void RepositoryCatalog::Core::Abandon(Model& model) {
  if (model.plan != nullptr) model.plan->abandoned = true;
  for (auto& [version, slot] : model.slots) {
    if (slot.plan != nullptr) slot.plan->abandoned = true;
  }
}

void RepositoryCatalog::Core::ShowGauges() {
  metrics_.used_bytes.Set(static_cast<double>(used_));
  metrics_.draining_bytes.Set(static_cast<double>(draining_));
  metrics_.queued_loads.Set(static_cast<double>(urgent_.size() + later_.size()));
  metrics_.active_loads.Set(static_cast<double>(active_loads_));
  metrics_.waiters.Set(static_cast<double>(waiting_));
}

}  // namespace mezzo::models
