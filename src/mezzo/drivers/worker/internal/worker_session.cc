#include "mezzo/drivers/worker/internal/worker_session.h"

#include <cstring>
#include <optional>
#include <utility>

#include "mezzo/drivers/worker/internal/worker_frame.h"
#include "mezzo/drivers/worker/internal/worker_result.h"

namespace mezzo::drivers {
namespace {

constexpr ByteCount kAlignment = 64;

ByteCount Aligned(ByteCount offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

/// Passes Terminate() on to the run in progress, if any. Thread-safe.
class WorkerSession::Control final : public engine::RunControl {
 public:
  explicit Control(WorkerDesk& desk) : desk_(desk) {}

  void Terminate() override EXCLUDES(mu_) {
    MutexLock lock(mu_);
    terminated_ = true;
    if (run_ != nullptr) desk_.Cancel(run_);
  }
  void Reset() override EXCLUDES(mu_) {
    MutexLock lock(mu_);
    terminated_ = false;
  }
  [[nodiscard]] engine::RunProgress progress() const override EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return run_ == nullptr ? last_ : desk_.ProgressOf(run_);
  }

  void Begin(const WorkerRunPtr& run) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    run_ = run;
    if (terminated_) desk_.Cancel(run_);
  }
  void End() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    last_ = desk_.ProgressOf(run_);
    run_ = nullptr;
  }

 private:
  WorkerDesk& desk_;  // The session's, which outlives its runs.
  mutable Mutex mu_;
  bool terminated_ GUARDED_BY(mu_) = false;
  WorkerRunPtr run_ GUARDED_BY(mu_);
  engine::RunProgress last_ GUARDED_BY(mu_);
};

WorkerSession::WorkerSession(std::unique_ptr<WorkerSupervisor> supervisor,
                             std::shared_ptr<SegmentBudget> budget, engine::SessionFacts facts,
                             const Clock& clock)
    : clock_(clock),
      facts_(std::move(facts)),
      budget_(std::move(budget)),
      supervisor_(std::move(supervisor)) {}

WorkerSession::~WorkerSession() = default;

std::unique_ptr<engine::RunControl> WorkerSession::NewRunControl() {
  return std::make_unique<Control>(supervisor_->desk());
}

Result<void> WorkerSession::Health() const { return supervisor_->desk().Health(); }

Result<std::vector<tensor::Tensor>> WorkerSession::Run(std::span<const tensor::Tensor* const> inputs,
                                                       std::span<const std::size_t> wanted,
                                                       engine::RunControl* control) {
  const auto run = std::make_shared<WorkerRun>(next_run_.fetch_add(1, std::memory_order_relaxed),
                                               std::vector<std::size_t>(wanted.begin(), wanted.end()));
  auto* watched = static_cast<Control*>(control);
  if (watched != nullptr) watched->Begin(run);
  auto outputs = RunOnce(inputs, run);
  if (watched != nullptr) watched->End();
  return outputs;
}

Result<std::vector<tensor::Tensor>> WorkerSession::RunOnce(std::span<const tensor::Tensor* const> inputs,
                                                           const WorkerRunPtr& run) {
  WorkerDesk& desk = supervisor_->desk();
  MEZZO_TRY(const std::size_t seat, desk.Take(run, clock_.Now() + kLongestWait));
  std::vector<OutgoingFrame> frames;
  if (auto prepared = Prepare(inputs, *run, desk.arena(seat), frames); !prepared.ok()) {
    desk.GiveBack(seat, std::move(frames));
    return std::move(prepared).error();
  }
  MEZZO_TRY(const WorkerAnswer answer, desk.Run(seat, run, std::move(frames)));
  return TakeTensors(answer, *budget_);
}

Result<void> WorkerSession::Prepare(std::span<const tensor::Tensor* const> inputs, WorkerRun& run,
                                    SegmentArena& arena, std::vector<OutgoingFrame>& frames) const {
  std::vector<TensorPlace> places;
  ByteCount end = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr) continue;
    places.push_back({.name = facts_.inputs[i].name,
                      .dtype = inputs[i]->dtype,
                      .shape = inputs[i]->shape,
                      .offset = end,
                      .bytes = inputs[i]->data.size()});
    end = Aligned(end + inputs[i]->data.size());
  }
  MEZZO_TRY(const std::shared_ptr<SharedSegment> segment, arena.Input(std::max<ByteCount>(end, 1), frames));
  std::size_t next = 0;
  for (const tensor::Tensor* input : inputs) {
    if (input == nullptr) continue;
    const TensorPlace& place = places[next++];
    if (place.bytes > 0) std::memcpy(segment->data() + place.offset, input->data.data(), place.bytes);
  }
  std::vector<std::string_view> names;
  names.reserve(run.wanted.size());
  for (const std::size_t output : run.wanted) names.emplace_back(facts_.outputs[output].name);
  run.room = arena.FreeOutput();
  std::optional<std::uint32_t> room;
  if (run.room != nullptr) room = run.room->number();
  const std::string json =
      WorkerRunJson(run.id, segment->number(), places, names, room.has_value() ? &*room : nullptr);
  frames.push_back({.bytes = EncodeWorkerFrame(json), .segment = nullptr});
  return {};
}

}  // namespace mezzo::drivers
