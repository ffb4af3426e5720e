#include "mezzo/sched/internal/forecast.h"

#include <algorithm>
#include <array>

namespace mezzo::sched::internal {
namespace {

constexpr double kLateResidual =
    0.1;  // Of its prediction: what a run past its prediction is assumed to need still.

double Ns(Duration duration) { return static_cast<double>(duration.count()); }

}  // namespace

Forecast::Prediction Forecast::Predict(const Arrival& arrival, const std::vector<Running*>& running,
                                       std::uint32_t slots, TimePoint now) {
  const Model& model = *arrival.model;
  const ClassState& cls = tree_.class_state(arrival.cls);
  const ModelClass& model_class = model.classes[static_cast<std::size_t>(arrival.cls)];
  const LatencyFit& fit = model.latency.For(arrival.batch_key);
  const double own = Ns(model.latency.amortised_row()) * arrival.rows;

  // In its lane the item waits for whole batches, then rides in one. A deadline keeps those batches small.
  std::uint32_t batch_rows = fit.BestRows(model.options.max_batch_rows);
  if (arrival.deadline < kNever) {
    batch_rows = std::max<std::uint32_t>(1, fit.RowsWithin((arrival.deadline - now) / 2, batch_rows));
  }
  const Lane* lane = backlog_.FindLane(model_class, arrival.batch_key);
  const std::uint32_t lane_rows = lane != nullptr ? lane->rows : 0;
  const std::uint32_t rest = lane_rows % batch_rows;
  std::uint32_t full_batches = lane_rows / batch_rows;
  std::uint32_t ride = rest + arrival.rows;
  double lane_wait = full_batches * Ns(fit.Expected(batch_rows));
  if (ride > batch_rows) {
    lane_wait += Ns(fit.Expected(rest));
    ride = arrival.rows;
  }
  const double lane_cost = lane != nullptr ? static_cast<double>(lane->cost) : 0;

  const double everything = std::max(0.0, static_cast<double>(cls.queued_cost) - lane_cost) + lane_wait;
  const double fair = FairShareAhead(arrival, cls, own);
  const double ahead = std::min(everything, fair);

  CollectResiduals(running, nullptr, slots, now);
  double wait = Pour(ahead + OtherClasses(cls, ahead + own));
  if (model.options.max_concurrent < slots) {
    const double of_model =
        std::max(0.0, static_cast<double>(model_class.queued_cost) - lane_cost) + lane_wait;
    CollectResiduals(running, &model, model.options.max_concurrent, now);
    wait = std::max(wait, Pour(std::min(of_model, fair)));
  }
  return {Duration(static_cast<std::int64_t>(wait)), fit.High(ride)};
}

double Forecast::FairShareAhead(const Arrival& arrival, const ClassState& cls, double own) const {
  const Node& node = arrival.tenant->nodes[static_cast<std::size_t>(arrival.cls)];
  const ModelClass& model_class = arrival.model->classes[static_cast<std::size_t>(arrival.cls)];
  const Leaf* leaf = backlog_.FindLeaf(node, model_class);
  const bool queued = leaf != nullptr && leaf->queued_items > 0;

  // Within the tenant: all it has queued, or its models taking turns.
  const double model_weight = arrival.model->options.weight;
  const double models = node.active_weight + (queued ? 0 : model_weight);
  const double own_flow = (queued ? static_cast<double>(leaf->queued_cost) : 0) + own;
  const double flow_debt =
      leaf != nullptr ? std::max(0.0, leaf->tag - node.virtual_time) * (models - model_weight) : 0;
  const double own_tenant =
      std::min(static_cast<double>(node.queued_cost) + own, own_flow * models / model_weight + flow_debt);

  const double weight = node.weight;
  const double tenants = cls.active_weight + (node.active_leaves > 0 ? 0 : weight);
  // What the tenant got beyond its share lately, the others get first.
  const double debt = std::max(0.0, tree_.Lead(node)) * (tenants - weight);
  return own_tenant * tenants / weight + debt - own;
}

double Forecast::OtherClasses(const ClassState& cls, double own) const {
  double before = 0;
  double shares = cls.share;
  for (std::size_t i = 0; i < kClassCount; ++i) {
    const ClassState& other = tree_.class_state(static_cast<Class>(i));
    if (&other == &cls || other.queued_cost == 0) continue;
    shares += other.share;
    if (other.cls < cls.cls || cls.tokens < own) before += static_cast<double>(other.queued_cost);
  }
  if (before == 0 || cls.share <= 0) return before;
  return std::min(before, own * (shares / cls.share - 1));
}

void Forecast::CollectResiduals(const std::vector<Running*>& running, const Model* model, std::uint32_t slots,
                                TimePoint now) {
  residuals_.clear();
  for (const Running* run : running) {
    if (model != nullptr && run->model != model) continue;
    const double left = run->predicted - Ns(now - run->start);
    residuals_.push_back(std::max(left, kLateResidual * run->predicted));
  }
  while (residuals_.size() < slots) residuals_.push_back(0);
  std::sort(residuals_.begin(), residuals_.end());
  residuals_.resize(std::max<std::uint32_t>(1, slots));
}

double Forecast::Pour(double work) {
  double sum = work;
  for (std::size_t i = 0; i < residuals_.size(); ++i) {
    sum += residuals_[i];
    const double level = sum / static_cast<double>(i + 1);
    if (i + 1 == residuals_.size() || level <= residuals_[i + 1]) return std::max(level, residuals_[0]);
  }
  return 0;
}

}  // namespace mezzo::sched::internal
