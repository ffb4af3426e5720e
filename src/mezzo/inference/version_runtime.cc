#include "mezzo/inference/version_runtime.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/published.h"
#include "mezzo/inference/batch_gather.h"
#include "mezzo/models/warmup.h"

namespace mezzo::inference {
namespace {

using tensor::Tensor;

/// Of the inputs that tell a broken model from unsuitable values.
constexpr ByteCount kMaxSampleBytes = ByteCount{64} << 20;

RuntimeItem& AsRun(sched::WorkItem* item) { return static_cast<RuntimeItem&>(*item); }

/// The same bytes under another shape (Triton's reshape). The variable dimensions of `to` take those of
/// `from` in order.
Tensor Relabel(Tensor tensor, const tensor::Shape& from, const tensor::Shape& to) {
  tensor::Shape shape;
  std::size_t next = 0;
  for (const auto dim : to.dims()) {
    if (dim >= 0) {
      (void)shape.Append(dim);
      continue;
    }
    while (next < from.rank() && from[next] >= 0) ++next;
    if (next >= from.rank() || next >= tensor.shape.rank())
      return tensor;  // The loader has checked that they pair up.
    (void)shape.Append(tensor.shape[next++]);
  }
  tensor.shape = shape;
  return tensor;
}

void Count(StatisticDuration& to, Duration time, std::uint64_t count = 1) {
  to.count += count;
  to.ns += static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0)) * count;
}

/// What the engine itself allows a run of a model that runs elsewhere, waiting for a process or another
/// attempt included; zero for models that run here. Such runs take minutes by nature, and are ended by who
/// runs them.
Duration OwnRunLimit(const models::ModelConfig& config) {
  constexpr std::chrono::minutes kWaits{1};
  if (config.platform == models::kPythonPlatform) {
    return config.worker.run_timeout + config.worker.cancel_grace + kWaits;
  }
  if (config.platform == models::kRemotePlatform) {
    return config.upstream.timeout * (config.upstream.retries + 1) + kWaits;
  }
  return Duration::zero();
}

}  // namespace

InferenceMetrics::InferenceMetrics(observe::Registry& registry)
    : requests(registry.NewCounterFamily("mezzo_inference_requests_total",
                                         "Calls that reached a model, by outcome.",
                                         {"model", "version", "tenant", "outcome"}, 4096)),
      request_time(registry.NewHistogramFamily("mezzo_inference_request_seconds",
                                               "Time from the decoded call to its answer.",
                                               {"model", "version", "tenant"}, 2048)),
      stage_time(registry.NewHistogramFamily("mezzo_inference_stage_seconds",
                                             "Time of a call in each stage of its path.",
                                             {"model", "version", "stage"}, 4096)),
      batch_rows(registry.NewSizeHistogramFamily("mezzo_inference_batch_rows",
                                                 "Rows of the batches that ran.", {"model", "version"})),
      refused(registry.NewCounterFamily("mezzo_inference_refused_total", "Calls that did not run, by reason.",
                                        {"model", "reason"}, 4096)),
      queued(registry.NewCallbackFamily("mezzo_inference_queued_calls", "Calls that wait for the device.",
                                        observe::MetricType::kGauge, {"model", "version"})),
      device_time(registry.NewCallbackFamily("mezzo_inference_device_seconds_total",
                                             "Device time that batches took.", observe::MetricType::kCounter,
                                             {"model", "version"})),
      predicted_time(
          registry.NewCallbackFamily("mezzo_inference_predicted_seconds_total",
                                     "Device time that the latency model expected of the same batches.",
                                     observe::MetricType::kCounter, {"model", "version"})) {}

VersionRuntime::VersionRuntime(const models::ModelVersion& version, sched::DeviceExecutor& executor,
                               InferenceMetrics& metrics, const Clock& clock, std::size_t default_max_queued,
                               Extras extras)
    : version_(version),
      executor_(executor),
      metrics_(metrics),
      clock_(clock),
      place_(std::move(extras.place)),
      sampler_(std::move(extras.sampler)),
      ledger_(extras.ledger) {
  const std::string& name = version.name.str();
  const std::string& number = version.version_text;
  stages_.admit = metrics.stage_time.Lease({name, number, "admit"});
  stages_.encode = metrics.stage_time.Lease({name, number, "encode"});
  stages_.queue = metrics.stage_time.Lease({name, number, "queue"});
  stages_.gather = metrics.stage_time.Lease({name, number, "gather"});
  stages_.run = metrics.stage_time.Lease({name, number, "run"});
  stages_.scatter = metrics.stage_time.Lease({name, number, "scatter"});
  batch_rows_ = metrics.batch_rows.Lease({name, number});
  statistics_.name = name;
  statistics_.version = number;
  statistics_.memory_bytes = version.memory_bytes;

  const models::ModelConfig& config = *version.config;
  sched::Scheduler::ModelOptions options;
  options.name = name;
  options.max_batch_rows = static_cast<std::uint32_t>(std::max<std::int64_t>(config.max_batch_size, 1));
  options.max_queued_items = config.max_queued > 0 ? config.max_queued : default_max_queued;
  max_queued_ = options.max_queued_items;
  options.max_concurrent = static_cast<std::uint32_t>(std::max<std::int64_t>(config.instances, 1));
  options.weight = config.weight;
  options.max_queue_delay = config.max_queue_delay;
  // Else one long run would hold up an I/O thread, and everybody on it.
  options.may_run_long = version.session->facts().has_loops;
  options.watchdog_floor = std::max(options.watchdog_floor, OwnRunLimit(config));
  if (version.timing) {
    options.prior_cost = version.timing->solo;
    options.prior_marginal = version.timing->marginal;
  }
  model_ = executor_.AddModel(std::move(options), *this);

  callbacks_.push_back(metrics.queued.Add(
      {name, number}, [this] { return static_cast<double>(executor_.StatisticsOf(model_).queued_items); }));
  callbacks_.push_back(metrics.device_time.Add(
      {name, number}, [this] { return Seconds(executor_.StatisticsOf(model_).charged); }));
  callbacks_.push_back(metrics.predicted_time.Add(
      {name, number}, [this] { return Seconds(executor_.StatisticsOf(model_).predicted); }));
}

VersionRuntime::~VersionRuntime() {
  callbacks_.clear();
  executor_.RemoveModel(model_);
}

engine::RunControl* VersionRuntime::ControlFor(std::uint32_t slot) {
  MutexLock lock(mu_);
  if (controls_.size() <= slot) controls_.resize(slot + 1);
  if (controls_[slot] == nullptr) controls_[slot] = version_.session->NewRunControl();
  return controls_[slot].get();
}

void VersionRuntime::Stop(std::uint32_t slot) { ControlFor(slot)->Terminate(); }

sched::RunOutcome VersionRuntime::Run(const sched::Batch& batch, std::uint32_t slot) {
  std::optional<Error> error;
  const std::span<sched::WorkItem* const> items(batch.items);
  for (sched::WorkItem* item : items) AsRun(item).OnStart();
  if (RunTogether(items, slot, error)) return sched::RunOutcome::kOk;
  const sched::RunOutcome outcome = Blame(*error, slot);
  if (items.size() > 1 && outcome == sched::RunOutcome::kInputFault) {
    // One input that the model can't take must not fail its neighbours.
    for (std::size_t i = 0; i < items.size(); ++i) {
      std::optional<Error> own;
      if (!RunTogether(items.subspan(i, 1), slot, own)) AsRun(items[i]).result.emplace(*std::move(own));
    }
    return outcome;
  }
  for (sched::WorkItem* item : items) AsRun(item).result.emplace(*error);
  return outcome;
}

sched::RunOutcome VersionRuntime::Blame(const Error& error, std::uint32_t slot) {
  if (error.code() == Code::kInvalidArgument) return sched::RunOutcome::kInputFault;
  // A run that was stopped was late already: it is not tried once more.
  if (error.code() != Code::kInternal || error.reason() == "batch_mismatch")
    return sched::RunOutcome::kModelFault;
  engine::RunControl* control = ControlFor(slot);
  return models::RunsOnSample(*version_.session, *version_.config, kMaxSampleBytes, control)
             ? sched::RunOutcome::kInputFault
             : sched::RunOutcome::kModelFault;
}

bool VersionRuntime::RunTogether(std::span<sched::WorkItem* const> items, std::uint32_t slot,
                                 std::optional<Error>& error) {
  const TimePoint started = clock_.Now();
  const RequestPlan& first = AsRun(items[0]).plan();
  const std::size_t input_count = first.inputs.size();

  // What the batch computes is the union of what its calls want; usually all want the same.
  std::vector<std::size_t> wanted = first.wanted;
  for (std::size_t i = 1; i < items.size(); ++i) {
    const RequestPlan& plan = AsRun(items[i]).plan();
    if (plan.wanted == first.wanted) continue;
    for (const std::size_t output : plan.wanted) {
      if (std::find(wanted.begin(), wanted.end(), output) == wanted.end()) wanted.push_back(output);
    }
  }

  std::vector<Tensor> gathered;
  std::vector<const Tensor*> inputs = first.inputs;
  if (items.size() > 1) {
    gathered.reserve(input_count);
    std::vector<const Tensor*> parts(items.size());
    for (std::size_t k = 0; k < input_count; ++k) {
      if (first.inputs[k] == nullptr || version_.config->inputs[k].shared) continue;
      for (std::size_t i = 0; i < items.size(); ++i) parts[i] = AsRun(items[i]).plan().inputs[k];
      gathered.push_back(GatherRows(parts));
      inputs[k] = &gathered.back();
    }
  }
  const models::ModelConfig& config = *version_.config;
  std::vector<Tensor> relabelled;
  relabelled.reserve(input_count);
  for (std::size_t k = 0; k < input_count; ++k) {
    const auto& spec = config.inputs[k];
    if (!spec.engine_shape || inputs[k] == nullptr) continue;
    relabelled.push_back(Relabel(*inputs[k], spec.shape, *spec.engine_shape));
    inputs[k] = &relabelled.back();
  }
  const TimePoint running = clock_.Now();

  engine::RunControl* control = ControlFor(slot);
  control->Reset();
  auto outputs = version_.session->Run(inputs, wanted, control);
  const TimePoint ran = clock_.Now();
  std::uint32_t rows = 0;
  for (sched::WorkItem* item : items) rows += item->rows;
  if (!outputs.ok()) {
    error = std::move(outputs).error();
    return false;
  }

  for (std::size_t i = 0; i < outputs->size(); ++i) {
    const auto& spec = config.outputs[wanted[i]];
    if (spec.engine_shape) (*outputs)[i] = Relabel(std::move((*outputs)[i]), *spec.engine_shape, spec.shape);
  }
  const bool batched = config.max_batch_size > 0;
  if (batched && items.size() > 1) {
    for (std::size_t i = 0; i < outputs->size(); ++i) {
      const tensor::Shape& shape = (*outputs)[i].shape;
      if (shape.rank() >= 1 && shape[0] == static_cast<std::int64_t>(rows)) continue;
      error = Internal("batch_mismatch", "output '" + version_.config->outputs[wanted[i]].name +
                                             "' of model '" + version_.name.str() + "' has shape " +
                                             shape.ToString() + " for a batch of " + std::to_string(rows) +
                                             " rows: set max_batch_size to 0, or dynamic batching off");
      return false;
    }
  }
  Scatter(items, wanted, *outputs);
  const TimePoint ended = clock_.Now();
  for (sched::WorkItem* item : items) {
    AsRun(item).gather = running - started;
    AsRun(item).scatter = ended - ran;
  }
  CountBatch(rows, running - started, ran - running, ended - ran);
  return true;
}

void VersionRuntime::Scatter(std::span<sched::WorkItem* const> items, std::span<const std::size_t> computed,
                             std::vector<Tensor>& outputs) const {
  if (items.size() == 1) {
    AsRun(items[0]).result.emplace(std::move(outputs));
    return;
  }
  std::int64_t row = 0;
  for (sched::WorkItem* item : items) {
    RuntimeItem& call = AsRun(item);
    std::vector<Tensor> own;
    own.reserve(call.plan().wanted.size());
    for (const std::size_t output : call.plan().wanted) {
      const auto at = std::find(computed.begin(), computed.end(), output) - computed.begin();
      own.push_back(RowsOf(outputs[static_cast<std::size_t>(at)], output, call, row));
    }
    call.result.emplace(std::move(own));
    row += item->rows;
  }
}

Tensor VersionRuntime::RowsOf(const Tensor& output, std::size_t index, const RuntimeItem& item,
                              std::int64_t first) const {
  Tensor rows = tensor::SliceRows(output, first, item.rows);
  if (version_.config->ragged != models::RaggedPolicy::kPad) return rows;
  // A dimension that the model calls by the same symbol as one of its inputs' was padded with it: cut it
  // back.
  const auto& facts = version_.session->facts();
  const auto& symbols = facts.outputs[index].symbols;
  tensor::Shape cut = rows.shape;
  for (std::size_t d = 1; d < cut.rank() && d < symbols.size(); ++d) {
    if (symbols[d].empty()) continue;
    for (std::size_t k = 0; k < facts.inputs.size(); ++k) {
      const Tensor* input = item.plan().inputs[k];
      if (input == nullptr) continue;
      const auto& names = facts.inputs[k].symbols;
      for (std::size_t e = 1; e < names.size() && e < input->shape.rank(); ++e) {
        if (names[e] == symbols[d]) cut[d] = std::min(cut[d], input->shape[e]);
      }
    }
  }
  return CropTo(rows, cut);
}

void VersionRuntime::CountBatch(std::uint32_t rows, Duration gather, Duration run, Duration scatter) {
  batch_rows_->Observe(rows);
  MutexLock lock(mu_);
  statistics_.inference_count += rows;
  ++statistics_.execution_count;
  auto& batches = statistics_.batches;
  auto it = std::lower_bound(
      batches.begin(), batches.end(), rows,
      [](const BatchStatistic& batch, std::uint32_t size) { return batch.batch_size < size; });
  if (it == batches.end() || it->batch_size != rows) {
    it = batches.insert(it, BatchStatistic{});  // At most one for each size up to max_batch_size.
    it->batch_size = rows;
  }
  Count(it->compute_input, gather);
  Count(it->compute_infer, run);
  Count(it->compute_output, scatter);
}

VersionRuntime::TenantSeries& VersionRuntime::SeriesFor(const tenancy::Tenant& tenant) {
  if (tenants_.size() <= tenant.index) tenants_.resize(tenant.index + 1);
  auto& series = tenants_[tenant.index];
  if (series == nullptr) {
    series = std::make_unique<TenantSeries>();
    const std::string& name = version_.name.str();
    const std::string& number = version_.version_text;
    const std::string& id = tenant.id.str();
    series->success = metrics_.requests.Lease({name, number, id, "success"});
    series->failure = metrics_.requests.Lease({name, number, id, "failure"});
    series->time = metrics_.request_time.Lease({name, number, id});
  }
  return *series;
}

void VersionRuntime::RecordSuccess(const tenancy::Tenant& tenant, const RuntimeItem& item, Duration total) {
  const Duration queued = item.report.queued;
  const Duration run = item.report.run - item.gather - item.scatter;
  stages_.queue->Observe(queued);
  stages_.gather->Observe(item.gather);
  stages_.run->Observe(run);
  stages_.scatter->Observe(item.scatter);
  MutexLock lock(mu_);
  TenantSeries& series = SeriesFor(tenant);
  series.success->Add();
  series.time->Observe(total);
  Count(statistics_.success, total);
  Count(statistics_.queue, queued);
  Count(statistics_.compute_input, item.gather);
  Count(statistics_.compute_infer, run);
  Count(statistics_.compute_output, item.scatter);
  statistics_.last_inference_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.WallNow().time_since_epoch()).count());
}

void VersionRuntime::RecordFailure(const tenancy::Tenant& tenant, const Error& error, Duration total) {
  metrics_.refused.With({version_.name.str(), error.reason()}).Add();
  MutexLock lock(mu_);
  TenantSeries& series = SeriesFor(tenant);
  series.failure->Add();
  series.time->Observe(total);
  Count(statistics_.fail, total);
}

void VersionRuntime::RecordCached(const tenancy::Tenant& tenant, Duration total) {
  MutexLock lock(mu_);
  TenantSeries& series = SeriesFor(tenant);
  series.success->Add();
  series.time->Observe(total);
  Count(statistics_.success, total);
  Count(statistics_.cache_hit, total);
}

void VersionRuntime::RecordMiss(Duration run) {
  MutexLock lock(mu_);
  Count(statistics_.cache_miss, run);
}

tenancy::Account* VersionRuntime::AccountOf(const tenancy::Caller& caller, std::string_view kind) {
  if (ledger_ == nullptr) return nullptr;
  AccountStripe& stripe = accounts_.at(ThreadStripe<kAccountStripes>());
  // A job's key has no index here, and may be revoked by now.
  const bool indexed = caller.key.empty() || caller.key_index != 0;
  if (indexed) {
    MutexLock lock(stripe.mu);
    const auto found =
        stripe.accounts.find(std::tuple<std::uint32_t, std::uint32_t, std::string_view, std::string_view>(
            caller.tenant->index, caller.key_index, caller.project.str(), kind));
    if (found != stripe.accounts.end()) return found->second;
  }
  tenancy::Account* account = &ledger_->AccountFor({.tenant = caller.tenant->id.str(),
                                                    .project = caller.project.str(),
                                                    .key_id = caller.key.str(),
                                                    .model = version_.name.str(),
                                                    .version = version_.version_text,
                                                    .kind = std::string(kind)});
  if (!indexed) return account;
  MutexLock lock(stripe.mu);
  stripe.accounts[{caller.tenant->index, caller.key_index, caller.project.str(), std::string(kind)}] =
      account;
  return account;
}

ModelStatistics VersionRuntime::Statistics() const {
  MutexLock lock(mu_);
  return statistics_;
}

}  // namespace mezzo::inference
