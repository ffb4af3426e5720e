#include "mezzo/sched/internal/batch_former.h"

#include <algorithm>

namespace mezzo::sched::internal {
namespace {

// Flows looked at for one batch beyond its rows: bounds the work when many flows' first items do not fit.
constexpr std::size_t kMaxMisfits = 4;

}  // namespace

BatchFormer::BatchFormer(const Scheduler::Options& options, Backlog& backlog)
    : fifo_(options.policy == Scheduler::Policy::kFifo), backlog_(backlog) {}

void BatchFormer::Form(Subqueue& lead, TimePoint now, bool tight, const DeadlineLine::Device& device,
                       std::vector<WorkItem*>& items, std::vector<Running::Rider>& riders,
                       std::vector<WorkItem*>& hopeless, std::uint32_t idle) {
  Lane& lane = *lead.lane;
  lane_ = &lane;
  model_ = lane.model_class->model;
  fit_ = &model_->latency.For(lane.key);
  now_ = now;
  tight_ = tight;
  device_ = device;
  tightest_ = kNever;
  rows_ = 0;
  max_rows_ = model_->options.max_batch_rows;
  if (!fifo_) max_rows_ = std::max(fit_->BestRows(max_rows_), lead.items.top()->rows);
  if (idle > 0 && !fifo_) max_rows_ = std::max(PartOf(lane.rows, idle), lead.items.top()->rows);
  lead_weight_ = lead.leaf->node->weight;
  longest_run_ = Duration::max();
  full_ = false;
  items_ = &items;
  hopeless_ = &hopeless;
  candidates_.clear();

  const double row_cost = static_cast<double>(fit_->Expected(max_rows_).count()) / max_rows_;
  AddCandidate(lead, row_cost);
  if (TakeHead(lead, max_rows_) == Take::kTaken && !full_) {
    lane.subqueues.Remove(&lead);
    Gather(lane, row_cost);
    candidates_[0].tag += candidates_[0].row_cost * lead.taken_rows;
    Fill();
    if (!fifo_) FillFromLowerClasses(row_cost);
  }
  Finish(riders);
}

std::uint32_t BatchFormer::PartOf(std::uint32_t rows, std::uint32_t idle) const {
  const std::uint32_t whole = std::min(rows, max_rows_);
  const std::uint32_t part = std::min(whole, rows / (idle + 1) + (rows % (idle + 1) > 0 ? 1 : 0));
  const auto longer = static_cast<double>(fit_->Expected(whole).count());
  return longer > kWorthSpreading * static_cast<double>(fit_->Expected(part).count()) ? part : max_rows_;
}

void BatchFormer::AddCandidate(Subqueue& subqueue, double row_cost) {
  const Node& node = *subqueue.leaf->node;
  candidates_.push_back({&subqueue, node.tag, row_cost / node.weight, false});
}

void BatchFormer::FillFromLowerClasses(double row_cost) {
  longest_run_ =
      Duration(static_cast<std::int64_t>(static_cast<double>(fit_->Expected(rows_).count()) * kStretch));
  if (fit_->Expected(rows_ + 1) > longest_run_) return;
  const auto own = static_cast<std::size_t>(lane_->model_class->class_state->cls);
  for (std::size_t i = own + 1; i < model_->classes.size() && !full_; ++i) {
    Lane* lower = backlog_.FindLane(model_->classes[i], lane_->key);
    if (lower == nullptr) continue;
    Gather(*lower, row_cost);
    Fill();
  }
}

void BatchFormer::Gather(Lane& lane, double row_cost) {
  if (lane.subqueues.empty()) return;
  lane.virtual_time = std::max(lane.virtual_time, lane.subqueues.top()->lane_tag);
  joining_.clear();
  while (!lane.subqueues.empty() && joining_.size() < max_rows_ + kMaxMisfits) {
    joining_.push_back(lane.subqueues.top());
    lane.subqueues.Pop();
  }
  // With thousands of flows each of these is a cache miss, and the chain is three long: overlap them.
  for (const Subqueue* rider : joining_) __builtin_prefetch(rider->leaf);
  for (const Subqueue* rider : joining_) {
    __builtin_prefetch(rider->leaf->node);
    __builtin_prefetch(rider->items.top());
  }
  for (Subqueue* rider : joining_) AddCandidate(*rider, row_cost);
}

void BatchFormer::Fill() {
  while (!full_) {
    Candidate* next = nullptr;
    for (Candidate& each : candidates_) {
      if (!each.blocked && (next == nullptr || each.tag < next->tag)) next = &each;
    }
    if (next == nullptr) return;
    Subqueue& subqueue = *next->subqueue;
    const bool leads = next == &candidates_[0];
    const std::uint32_t before = subqueue.taken_rows;
    if (TakeHead(subqueue, leads ? max_rows_ : MostRows(subqueue)) != Take::kTaken) {
      next->blocked = true;
      continue;
    }
    next->tag += next->row_cost * (subqueue.taken_rows - before);
    if (!leads) continue;
    // With more rows of the lead, the others may have more too.
    for (Candidate& each : candidates_) each.blocked = each.subqueue->items.empty();
  }
}

std::uint32_t BatchFormer::MostRows(const Subqueue& rider) const {
  if (rider.lane != lane_) return max_rows_;  // Of less urgent classes the stretch of the run decides.
  const std::uint32_t lead_rows = candidates_[0].subqueue->taken_rows;
  const double scaled = lead_rows * rider.leaf->node->weight / lead_weight_;
  return std::max(lead_rows, static_cast<std::uint32_t>(std::min<double>(scaled, max_rows_)));
}

BatchFormer::Take BatchFormer::TakeHead(Subqueue& subqueue, std::uint32_t most_rows) {
  while (!subqueue.items.empty()) {
    WorkItem& item = *subqueue.items.top();
    const bool timed = ItemAccess::Timed(item);
    if (timed && now_ + fit_->Expected(item.rows) > item.deadline) {
      hopeless_->push_back(&item);
      backlog_.Unlink(item);
      continue;
    }
    // A probe runs alone, whether it leads or would ride along.
    if (ItemAccess::Probe(item) && rows_ > 0) return Take::kNone;
    const std::uint32_t rows = rows_ + item.rows;
    if (rows > max_rows_ || subqueue.taken_rows + item.rows > most_rows) return Take::kNone;
    if (rows_ > 0 && !fifo_) {
      if (fit_->Expected(rows) > longest_run_) return Take::kNone;
      if (!MayGrow(rows, tightest_)) {
        full_ = true;
        return Take::kFull;
      }
      if ((timed && !MayGrow(rows, item.deadline)) || HurtsOthers(item)) return Take::kNone;
    }
    backlog_.Unlink(item);
    ItemAccess::State(item) = WorkItem::State::kRunning;
    items_->push_back(&item);
    if (timed) tightest_ = std::min(tightest_, item.deadline);
    rows_ = rows;
    subqueue.taken_rows += item.rows;
    ++subqueue.taken_items;
    full_ = rows_ == max_rows_ || ItemAccess::Probe(item);
    return Take::kTaken;
  }
  return Take::kNone;
}

bool BatchFormer::MayGrow(std::uint32_t rows, TimePoint deadline) const {
  return deadline >= kNever || now_ + fit_->High(rows) <= deadline;
}

bool BatchFormer::HurtsOthers(const WorkItem& item) const {
  if (!tight_) return false;
  const Duration first = fit_->Expected(items_->front()->rows);
  const Duration present = fit_->Expected(rows_);
  DeadlineLine::Device device = device_;
  device.free_sum += static_cast<double>((present - first).count());
  return backlog_.deadlines().Hurts(
      item, static_cast<double>((fit_->Expected(rows_ + item.rows) - present).count()), device);
}

void BatchFormer::Finish(std::vector<Running::Rider>& riders) {
  for (const Candidate& candidate : candidates_) {
    Subqueue* rider = candidate.subqueue;
    if (rider->taken_items > 0) {
      rider->lane_tag += rider->taken_rows / rider->leaf->node->weight;
      riders.push_back({rider->leaf, rider->taken_rows});
      ++rider->leaf->running_batches;
      rider->taken_items = rider->taken_rows = 0;
    }
    backlog_.Settle(*rider);
  }
}

}  // namespace mezzo::sched::internal
