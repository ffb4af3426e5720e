#include "mezzo/drivers/worker/internal/worker_instance.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/worker/internal/worker_result.h"

namespace mezzo::drivers {
namespace {

constexpr auto kMemoryCheckRunning = std::chrono::milliseconds(50);
constexpr auto kMemoryCheckIdle = std::chrono::seconds(1);
constexpr auto kExitAfterSocket = std::chrono::seconds(1);
constexpr auto kReapCheck = std::chrono::milliseconds(500);
constexpr auto kLongestBeat = std::chrono::seconds(1);
/// Read in one turn, so that one chatty worker does not keep the supervisor from the others.
constexpr std::size_t kReadPiece = std::size_t{64} << 10U;

Error Protocol(const std::string& what) { return Internal("worker_protocol", "the worker sent " + what); }

/// Several signs of life must be missed before a process counts as hung.
Duration BeatOf(const engine::WorkerSettings& settings) {
  return std::min<Duration>(settings.hang_timeout / 4, kLongestBeat);
}

}  // namespace

WorkerInstance::WorkerInstance(const WorkerPlan& plan, std::size_t seat, WorkerDesk& desk, const Clock& clock,
                               observe::Logger* log)
    : plan_(plan),
      seat_(seat),
      desk_(desk),
      clock_(clock),
      log_(log),
      ready_(plan.metrics->ready.Lease({plan.model})),
      output_(log, clock, plan.model, seat),
      backoff_(std::in_place, plan.backoff) {}

WorkerInstance::~WorkerInstance() {
  if (phase_ == Phase::kUp) ready_->Add(-1);
}

std::string WorkerInstance::Subject() const { return "a worker of '" + plan_.model + "'"; }

// Life and death.

void WorkerInstance::StartProcess(TimePoint now) {
  reader_ = {};
  outgoing_.clear();
  sent_of_first_ = 0;
  said_hello_ = false;
  socket_ended_ = false;
  output_ended_ = false;
  output_.Restart();
  auto started = WorkerProcess::Start(plan_.command);
  if (!started.ok()) {
    Fail(started.error(), /*crash=*/true);
    return;
  }
  process_ = std::move(started).value();
  phase_ = Phase::kStarting;
  phase_until_ = AddSaturating(now, plan_.settings.start_timeout);
  memory_check_at_ = now + kMemoryCheckRunning;
}

void WorkerInstance::Fail(const Error& why, bool crash) {
  const TimePoint now = clock_.Now();
  if (process_ != nullptr) {
    ReadOutput();
    process_->Kill();
  }
  if (phase_ == Phase::kUp) ready_->Add(-1);
  plan_.metrics->deaths.With({plan_.model, why.reason()}).Add();
  phase_ = Phase::kEnding;
  phase_until_ = kNever;
  memory_check_at_ = kNever;
  kill_at_ = run_until_ = kNever;
  run_ = nullptr;
  room_ = nullptr;
  ending_run_.reset();
  Duration pause{};
  if (crash) {
    ++crashes_;
    pause = crashes_ >= plan_.crash_budget ? plan_.broken_pause : backoff_->Next();
  }
  restart_at_ = AddSaturating(now, pause);
  const bool broken = crashes_ >= plan_.crash_budget;
  const std::string last = output_.LastLines();
  if (log_ != nullptr) {
    log_->Error("worker ended", {{"model", plan_.model},
                                 {"instance", seat_},
                                 {"reason", why.reason()},
                                 {"error", why.message()},
                                 {"output", last},
                                 {"deaths_in_a_row", crashes_},
                                 {"restart_after", pause}});
  }
  Error shown = why;
  if (broken && !last.empty())
    shown = Error(why.code(), why.reason(), why.message() + "; it last said: " + last);
  desk_.Close(seat_, shown, broken);
}

void WorkerInstance::OnExit() {
  if (!process_->TryReap()) return;
  ReadOutput();
  if (phase_ != Phase::kEnding && !told_to_stop_) {
    ReadSocket();  // Its last words: why the model can't be loaded, or an answer.
    if (phase_ != Phase::kEnding) {
      Fail(Unavailable("worker_died", Subject() + " died: " + process_->ending()), /*crash=*/true);
    }
  }
  process_.reset();
}

void WorkerInstance::AskToStop() {
  told_to_stop_ = true;
  if (process_ == nullptr) return;
  Send(WorkerStopJson());
  WriteSocket();
}

// The supervisor's turns.

void WorkerInstance::AddPolls(std::vector<pollfd>& polls) const {
  const bool writes = !outgoing_.empty();
  const auto reads = static_cast<short>(POLLIN | (writes ? POLLOUT : 0));
  polls.push_back({.fd = process_ == nullptr ? -1 : process_->pidfd(), .events = POLLIN, .revents = 0});
  polls.push_back(
      {.fd = process_ == nullptr || socket_ended_ || phase_ == Phase::kEnding ? -1 : process_->socket(),
       .events = reads,
       .revents = 0});
  polls.push_back(
      {.fd = process_ == nullptr || output_ended_ || phase_ == Phase::kEnding ? -1 : process_->output(),
       .events = POLLIN,
       .revents = 0});
}

void WorkerInstance::HandlePolls(const std::vector<pollfd>& polls, std::size_t& next) {
  const short ended = polls[next].revents;
  const short socket = polls[next + 1].revents;
  const short output = polls[next + 2].revents;
  next += 3;
  if (output != 0) ReadOutput();
  if (socket != 0 && phase_ != Phase::kEnding) ReadSocket();
  if ((socket & POLLOUT) != 0 && phase_ != Phase::kEnding) WriteSocket();
  if (ended != 0) OnExit();
}

TimePoint WorkerInstance::next_tick() const {
  switch (phase_) {
    case Phase::kDown:
      return restart_at_;
    case Phase::kEnding:
      return clock_.Now() + kReapCheck;
    case Phase::kStarting:
    case Phase::kUp:
      break;
  }
  TimePoint next = std::min({phase_until_, memory_check_at_, kill_at_});
  if (run_ != nullptr) next = std::min({next, run_until_, last_sign_ + plan_.settings.hang_timeout});
  return next;
}

void WorkerInstance::Tick() {
  const TimePoint now = clock_.Now();
  if (phase_ == Phase::kEnding && process_ != nullptr) OnExit();
  if (phase_ == Phase::kEnding && process_ == nullptr && desk_.IsAway(seat_)) phase_ = Phase::kDown;
  if (phase_ == Phase::kDown && now >= restart_at_) StartProcess(now);
  if (phase_ == Phase::kUp) TakeWork(now);
  if (phase_ == Phase::kUp && run_ != nullptr) CheckRun(now);
  if (phase_ != Phase::kStarting && phase_ != Phase::kUp) return;
  if (now >= phase_until_) {
    if (socket_ended_) {
      Fail(Unavailable("worker_died", Subject() + " closed its connection"), /*crash=*/true);
    } else {
      Fail(DeadlineExceeded("worker_start_timeout",
                            Subject() + " was not ready within " +
                                std::to_string(Seconds(plan_.settings.start_timeout)) + " s"),
           /*crash=*/true);
    }
    return;
  }
  if (now >= memory_check_at_) CheckMemory(now);
}

void WorkerInstance::TakeWork(TimePoint now) {
  WorkerDesk::Work work = desk_.TakeWork(seat_);
  for (OutgoingFrame& frame : work.frames) outgoing_.push_back(std::move(frame));
  if (work.begun != nullptr) {
    run_ = std::move(work.begun);
    run_until_ = AddSaturating(now, plan_.settings.run_timeout);
    last_sign_ = now;
    memory_check_at_ = now + kMemoryCheckRunning;
    room_ = std::move(run_->room);
  }
  if (work.cancel && !ending_run_.has_value()) {
    CancelRun(Cancelled("run_terminated", "the run was ended before it was done"), now);
  }
  if (!outgoing_.empty()) WriteSocket();
}

void WorkerInstance::CancelRun(const Error& why, TimePoint now) {
  ending_run_ = why;
  kill_at_ = AddSaturating(now, plan_.settings.cancel_grace);
  Send(WorkerCancelJson(run_->id));
}

void WorkerInstance::CheckRun(TimePoint now) {
  if (now >= kill_at_) {
    // Ending a run that was not wanted any more is no fault of the model's; taking too long is.
    const Error why = *ending_run_;
    Fail(why, /*crash=*/why.code() != Code::kCancelled);
    return;
  }
  if (now >= run_until_ && !ending_run_.has_value()) {
    CancelRun(DeadlineExceeded("worker_run_timeout", "a run of '" + plan_.model + "' took longer than " +
                                                         std::to_string(Seconds(plan_.settings.run_timeout)) +
                                                         " s"),
              now);
    WriteSocket();
  }
  if (now - last_sign_ >= plan_.settings.hang_timeout) {
    Fail(DeadlineExceeded("worker_hung", Subject() + " gave no sign of life for " +
                                             std::to_string(Seconds(plan_.settings.hang_timeout)) + " s"),
         /*crash=*/true);
  }
}

void WorkerInstance::CheckMemory(TimePoint now) {
  const bool busy = run_ != nullptr || phase_ == Phase::kStarting;
  memory_check_at_ = now + (busy ? Duration(kMemoryCheckRunning) : Duration(kMemoryCheckIdle));
  const ByteCount used = process_->own_memory();
  if (used <= plan_.settings.memory_limit) return;
  Fail(ResourceExhausted("worker_memory_exceeded", Subject() + " used " + FormatBytes(used) +
                                                       " of memory; its limit is " +
                                                       FormatBytes(plan_.settings.memory_limit)),
       /*crash=*/true);
}

void WorkerInstance::EndRun(Result<WorkerAnswer> answer) {
  if (answer.ok() || answer.error().reason() == "worker_rejected_input") {
    crashes_ = 0;
    backoff_.emplace(plan_.backoff);
  }
  run_ = nullptr;
  room_ = nullptr;
  ending_run_.reset();
  run_until_ = kill_at_ = kNever;
  desk_.Finish(seat_, std::move(answer));
}

// The connection.

void WorkerInstance::Send(const std::string& json) {
  outgoing_.push_back({.bytes = EncodeWorkerFrame(json), .segment = nullptr});
}

void WorkerInstance::WriteSocket() {
  while (!outgoing_.empty()) {
    const OutgoingFrame& frame = outgoing_.front();
    iovec piece{.iov_base = const_cast<char*>(frame.bytes.data()) + sent_of_first_,
                .iov_len = frame.bytes.size() - sent_of_first_};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (frame.segment != nullptr && sent_of_first_ == 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      const int fd = frame.segment->fd();
      std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    }
    const ssize_t sent = ::sendmsg(process_->socket(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return;  // Full: poll says when to go on. Broken: reading finds that out.
    }
    sent_of_first_ += static_cast<std::size_t>(sent);
    if (sent_of_first_ < frame.bytes.size()) continue;
    outgoing_.pop_front();
    sent_of_first_ = 0;
  }
}

void WorkerInstance::ReadSocket() {
  std::string piece(kReadPiece, '\0');
  const ssize_t got = ::recv(process_->socket(), piece.data(), piece.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) {
    socket_ended_ = true;
    phase_until_ = std::min(phase_until_, clock_.Now() + kExitAfterSocket);
    return;
  }
  last_sign_ = clock_.Now();
  reader_.Feed(std::string_view(piece).substr(0, static_cast<std::size_t>(got)));
  while (phase_ != Phase::kEnding) {
    auto frame = reader_.Next();
    if (!frame.ok()) return Fail(frame.error(), /*crash=*/true);
    if (!frame->has_value()) break;
    auto message = ParseWorkerMessage(**frame);
    if (!message.ok()) return Fail(message.error(), /*crash=*/true);
    auto handled = Handle(std::move(message).value());
    if (!handled.ok()) return Fail(handled.error(), /*crash=*/true);
  }
  if (phase_ != Phase::kEnding && !outgoing_.empty()) WriteSocket();
}

void WorkerInstance::ReadOutput() {
  char piece[std::size_t{16} << 10U];
  // A bounded number of pieces: what a chatty worker has more comes in the next turn.
  for (int i = 0; i < 4; ++i) {
    const ssize_t got = ::read(process_->output(), piece, sizeof(piece));
    if (got == 0) output_ended_ = true;
    if (got <= 0) return;
    output_.Feed(std::string_view(piece, static_cast<std::size_t>(got)));
  }
}

// Messages.

Result<void> WorkerInstance::Handle(WorkerMessage message) {
  return std::visit([this](auto&& one) { return OnMessage(std::forward<decltype(one)>(one)); },
                    std::move(message));
}

Result<void> WorkerInstance::OnMessage(const WorkerHello& hello) {
  if (phase_ != Phase::kStarting || said_hello_) return Protocol("'hello' out of turn");
  if (hello.protocol != kWorkerProtocol) {
    return Protocol("'hello' in protocol " + std::to_string(hello.protocol) + "; this server speaks " +
                    std::to_string(kWorkerProtocol));
  }
  said_hello_ = true;
  Send(WorkerLoadJson({.path = plan_.path,
                       .instance = seat_,
                       .beat = BeatOf(plan_.settings),
                       .inputs = plan_.declared_inputs,
                       .outputs = plan_.declared_outputs}));
  return {};
}

Result<void> WorkerInstance::OnMessage(WorkerReady&& ready) {
  if (phase_ != Phase::kStarting || !said_hello_) return Protocol("'ready' out of turn");
  declared_ = ready;
  MEZZO_TRY_VOID(desk_.Open(seat_, std::move(ready)));
  phase_ = Phase::kUp;
  ready_->Add(1);
  phase_until_ = kNever;
  if (log_ != nullptr) {
    log_->Info("worker ready", {{"model", plan_.model}, {"instance", seat_}, {"pid", process_->pid()}});
  }
  return {};
}

Result<void> WorkerInstance::OnMessage(const WorkerProgress& progress) {
  // One of a run that has just ended, or of the loading, tells nobody anything.
  if (run_ != nullptr && run_->id == progress.run) desk_.SetProgress(run_, progress.progress);
  return {};
}

Result<void> WorkerInstance::CheckRunNumber(std::uint64_t run, const char* what) const {
  if (run_ != nullptr && run_->id == run) return {};
  return Protocol("'" + std::string(what) + "' for run " + std::to_string(run) + ", which it does not have");
}

Result<void> WorkerInstance::OnMessage(const WorkerRoom& room) {
  MEZZO_TRY_VOID(CheckRunNumber(room.run, "room"));
  room_ = nullptr;  // So that it counts as free: nothing lies in it yet.
  std::vector<OutgoingFrame> frames;
  auto segment = desk_.arena(seat_).Output(std::max<ByteCount>(room.bytes, 1), frames);
  for (OutgoingFrame& frame : frames) outgoing_.push_back(std::move(frame));
  if (!segment.ok()) {
    ending_run_ = segment.error();
    kill_at_ = AddSaturating(clock_.Now(), plan_.settings.cancel_grace);
    Send(WorkerRefuseJson(room.run));
    return {};
  }
  room_ = std::move(segment).value();
  Send(WorkerRoomJson(room.run, room_->number()));
  return {};
}

Result<void> WorkerInstance::OnMessage(WorkerResult&& result) {
  MEZZO_TRY_VOID(CheckRunNumber(result.run, "result"));
  if (room_ == nullptr || room_->number() != result.segment) {
    return Protocol("a result in segment " + std::to_string(result.segment) + ", which is not this run's");
  }
  MEZZO_TRY_VOID(CheckWorkerResult(result, declared_.outputs, run_->wanted, room_->size()));
  EndRun(WorkerAnswer{.result = std::move(result), .segment = room_});
  return {};
}

Result<void> WorkerInstance::OnMessage(const WorkerFailed& failed) {
  using Kind = WorkerFailed::Kind;
  const std::string text = "model '" + plan_.model + "': " + Printable(failed.text, 600);
  if (phase_ == Phase::kStarting && failed.run == 0 && failed.kind == Kind::kInvalid) {
    return InvalidArgument("model_invalid", text);
  }
  MEZZO_TRY_VOID(CheckRunNumber(failed.run, "failed"));
  if (failed.kind == Kind::kRejected) {
    EndRun(InvalidArgument("worker_rejected_input", text));
  } else if (failed.kind == Kind::kFailed) {
    EndRun(Internal("worker_failed", text));
  } else if (failed.kind != Kind::kInvalid && ending_run_.has_value()) {
    EndRun(Error(*ending_run_));
  } else {
    return Protocol("that it was told to end a run, which it was not");
  }
  return {};
}

Result<void> WorkerInstance::OnMessage(const WorkerLog& line) {
  output_.Line(line.level, line.text);
  return {};
}

}  // namespace mezzo::drivers
