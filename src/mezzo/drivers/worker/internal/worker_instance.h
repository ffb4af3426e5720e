#pragma once

#include <poll.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/worker/internal/output_log.h"
#include "mezzo/drivers/worker/internal/worker_desk.h"
#include "mezzo/drivers/worker/internal/worker_frame.h"
#include "mezzo/drivers/worker/internal/worker_message.h"
#include "mezzo/drivers/worker/internal/worker_metrics.h"
#include "mezzo/drivers/worker/internal/worker_process.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/retry.h"

namespace mezzo::drivers {

/// How all processes of one model are run. Immutable.
struct WorkerPlan {
  std::string model;  ///< For messages and the log.
  WorkerCommand command;
  std::string path;  ///< The model's file.
  std::vector<engine::TensorSpec> declared_inputs;
  std::vector<engine::TensorSpec> declared_outputs;
  engine::WorkerSettings settings;  ///< Complete: nothing is left to a default.
  std::uint32_t crash_budget = 5;   ///< Deaths in a row after which a process counts as broken.
  runtime::Backoff::Options backoff;
  Duration broken_pause{};  ///< Between two attempts to start a broken one.
  std::shared_ptr<WorkerMetrics> metrics;
};

/// One process of a model through its lives: started, told to load, given runs, watched, killed, started
/// again after a pause. For the supervisor's thread only.
///
/// down → starting: the pause is over. starting → up: it said "ready". starting, up → ending: it died, broke
/// the protocol or had to be killed. ending → down: it is reaped and its seat is empty.
class WorkerInstance {
 public:
  /// All outlive it. `seat` is its place at the desk.
  WorkerInstance(const WorkerPlan& plan, std::size_t seat, WorkerDesk& desk, const Clock& clock,
                 observe::Logger* log);
  ~WorkerInstance();
  WorkerInstance(const WorkerInstance&) = delete;
  WorkerInstance& operator=(const WorkerInstance&) = delete;

  /// Adds what it waits for, a known number of entries.
  void AddPolls(std::vector<pollfd>& polls) const;
  /// Handles the events of its entries in `polls`, beginning at `*next`, which moves past them.
  void HandlePolls(const std::vector<pollfd>& polls, std::size_t& next);
  /// Does what is due: work from the desk, deadlines, the memory check, a restart.
  void Tick();
  /// When Tick() has something to do next, if nothing else happens.
  [[nodiscard]] TimePoint next_tick() const;
  /// Asks the process to end by itself.
  void AskToStop();
  [[nodiscard]] bool has_process() const { return process_ != nullptr; }
  [[nodiscard]] ByteCount own_memory() const { return process_ == nullptr ? 0 : process_->own_memory(); }

 private:
  enum class Phase : std::uint8_t { kDown, kStarting, kUp, kEnding };

  void StartProcess(TimePoint now);
  void TakeWork(TimePoint now);
  void CheckRun(TimePoint now);
  void CheckMemory(TimePoint now);
  void CancelRun(const Error& why, TimePoint now);
  void EndRun(Result<WorkerAnswer> answer);

  void ReadSocket();
  void WriteSocket();
  void ReadOutput();
  void Send(const std::string& json);
  Result<void> Handle(WorkerMessage message);
  Result<void> OnMessage(const WorkerHello& hello);
  Result<void> OnMessage(WorkerReady&& ready);
  Result<void> OnMessage(const WorkerBeat&) { return {}; }
  Result<void> OnMessage(const WorkerProgress& progress);
  Result<void> OnMessage(const WorkerRoom& room);
  Result<void> OnMessage(WorkerResult&& result);
  Result<void> OnMessage(const WorkerFailed& failed);
  Result<void> OnMessage(const WorkerLog& line);
  Result<void> CheckRunNumber(std::uint64_t run, const char* what) const;

  /// Why the process is going to end; kills it. `crash`: it counts against the crash budget.
  void Fail(const Error& why, bool crash);
  void OnExit();
  [[nodiscard]] std::string Subject() const;

  const WorkerPlan& plan_;
  const std::size_t seat_;
  WorkerDesk& desk_;
  const Clock& clock_;
  observe::Logger* const log_;

  const observe::Series<observe::Gauge> ready_;

  Phase phase_ = Phase::kDown;
  std::unique_ptr<WorkerProcess> process_;
  WorkerFrameReader reader_;
  std::deque<OutgoingFrame> outgoing_;
  std::size_t sent_of_first_ = 0;
  bool told_to_stop_ = false;
  bool said_hello_ = false;
  bool socket_ended_ = false;
  bool output_ended_ = false;
  OutputLog output_;
  TimePoint phase_until_ =
      kNever;  ///< Starting: the latest "ready". After the socket's end: the latest exit.
  TimePoint restart_at_{};
  TimePoint memory_check_at_ = kNever;
  std::uint32_t crashes_ = 0;                ///< In a row.
  std::optional<runtime::Backoff> backoff_;  ///< Always there; made anew by a success.

  WorkerReady declared_;
  WorkerRunPtr run_;
  std::shared_ptr<SharedSegment> room_;  ///< Given to the run for its outputs.
  TimePoint run_until_ = kNever;
  TimePoint last_sign_{};
  std::optional<Error> ending_run_;  ///< Why the run was told to end.
  TimePoint kill_at_ = kNever;
};

}  // namespace mezzo::drivers
