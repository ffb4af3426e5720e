#include <sys/prctl.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "mezzo/app/cli/internal/grpc_headers.h"
#include "mezzo/app/cli/load_driver.h"
#include "mezzo/base/mutex.h"

namespace mezzo::app::cli {
namespace {

constexpr const char* kMethod = "/inference.GRPCInferenceService/ModelInfer";

std::string_view StatusName(grpc::StatusCode code) {
  const int number = static_cast<int>(code);
  return number >= 1 && number <= 16 ? CodeName(static_cast<Code>(number)) : "UNKNOWN";
}

/// A flow with its channels and its messages, which calls share without a copy.
struct Lane {
  GrpcFlow flow;
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  std::vector<grpc::ByteBuffer> messages;
  Duration timeout{};
};

/// One call; owned by the completion queue while it is on its way.
struct Call {
  Lane* lane = nullptr;
  Ticket ticket;
  grpc::ClientContext context;
  grpc::ByteBuffer answer;
  grpc::Status status;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
};

class GrpcLoad final : public LoadDriver {
 public:
  GrpcLoad(std::vector<GrpcFlow> flows, const Clock& clock);

  Result<void> Connect(Duration timeout) override;
  void Run() override;
  void Stop() override EXCLUDES(mu_) {
    MutexLock lock(mu_);
    stopped_ = true;
    changed_.NotifyAll();
  }

 private:
  void SendDue(Lane& lane);
  void Start(Lane& lane, const Ticket& ticket);
  void TakeAnswers();
  void Finish(std::unique_ptr<Call> call, bool ok);
  /// Waits until the next arrival, at most 20 ms.
  void Pause() EXCLUDES(mu_);
  [[nodiscard]] bool Finished() const;

  const Clock& clock_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  grpc::CompletionQueue queue_;
  Mutex mu_;
  CondVar changed_;
  bool stopped_ GUARDED_BY(mu_) = false;
};

GrpcLoad::GrpcLoad(std::vector<GrpcFlow> flows, const Clock& clock) : clock_(clock) {
  for (GrpcFlow& flow : flows) {
    auto lane = std::make_unique<Lane>();
    lane->timeout = flow.run->options().timeout;
    for (std::size_t i = 0; i < flow.channels; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
                       1);  // Otherwise all channels share one connection.
      arguments.SetMaxReceiveMessageSize(-1);
      arguments.SetMaxSendMessageSize(-1);
      lane->channels.push_back(
          grpc::CreateCustomChannel(flow.target, grpc::InsecureChannelCredentials(), arguments));
      lane->stubs.push_back(std::make_unique<grpc::GenericStub>(lane->channels.back()));
    }
    for (const std::string& message : flow.requests) {
      const grpc::Slice slice(message);
      lane->messages.emplace_back(&slice, 1);
    }
    lane->flow = std::move(flow);
    lanes_.push_back(std::move(lane));
  }
}

Result<void> GrpcLoad::Connect(Duration timeout) {
  const auto give_up = std::chrono::system_clock::now() + timeout;
  for (const auto& lane : lanes_) {
    for (const auto& channel : lane->channels) channel->GetState(/*try_to_connect=*/true);
    for (const auto& channel : lane->channels) {
      if (channel->WaitForConnected(give_up)) continue;
      return Unavailable("unreachable", lane->flow.target + ": no gRPC server answered");
    }
  }
  return {};
}

void GrpcLoad::Run() {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // The default lets every timer be 50 µs late.
  std::thread answers([this] { TakeAnswers(); });
  while (!Finished()) {
    for (const auto& lane : lanes_) {
      lane->flow.run->Advance(clock_.Now());
      SendDue(*lane);
    }
    Pause();
  }
  queue_.Shutdown();
  answers.join();
}

bool GrpcLoad::Finished() const {
  const TimePoint now = clock_.Now();
  return std::all_of(lanes_.begin(), lanes_.end(),
                     [now](const auto& lane) { return lane->flow.run->Finished(now); });
}

void GrpcLoad::Pause() {
  const TimePoint now = clock_.Now();
  TimePoint next = now + std::chrono::milliseconds(20);
  for (const auto& lane : lanes_) {
    const FlowRun& run = *lane->flow.run;
    next = std::min(next, run.next_arrival());
    if (now < run.start()) next = std::min(next, run.start());  // Closed loops begin there.
  }
  MutexLock lock(mu_);
  if (stopped_) {
    for (const auto& lane : lanes_) lane->flow.run->Stop(now);
  }
  if (next > now) changed_.WaitUntil(mu_, next);
}

void GrpcLoad::SendDue(Lane& lane) {
  while (true) {
    const std::optional<Ticket> ticket = lane.flow.run->Take(clock_.Now());
    if (!ticket.has_value()) return;
    Start(lane, *ticket);
  }
}

void GrpcLoad::Start(Lane& lane, const Ticket& ticket) {
  auto call = std::make_unique<Call>();
  call->lane = &lane;
  call->ticket = ticket;
  call->context.set_deadline(std::chrono::system_clock::now() + lane.timeout);
  if (!lane.flow.authorization.empty()) call->context.AddMetadata("authorization", lane.flow.authorization);
  grpc::GenericStub& stub = *lane.stubs[ticket.number % lane.stubs.size()];
  const grpc::ByteBuffer& message = lane.messages[ticket.number % lane.messages.size()];
  call->reader = stub.PrepareUnaryCall(&call->context, kMethod, message, &queue_);
  call->reader->StartCall();
  Call* tag = call.release();  // The completion queue gives it back to Finish().
  tag->reader->Finish(&tag->answer, &tag->status, tag);
}

void GrpcLoad::TakeAnswers() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) Finish(std::unique_ptr<Call>(static_cast<Call*>(tag)), ok);
}

void GrpcLoad::Finish(std::unique_ptr<Call> call, bool ok) {
  Lane& lane = *call->lane;
  const TimePoint now = clock_.Now();
  Completion done{.kind = Completion::Kind::kOk,
                  .detail = {},
                  .sent_bytes = lane.flow.requests[call->ticket.number % lane.flow.requests.size()].size(),
                  .received_bytes = call->answer.Length()};
  std::string detail;
  if (!ok || !call->status.ok()) {
    const grpc::StatusCode code = call->status.error_code();
    done.kind = Completion::Kind::kRefused;
    detail = StatusName(code);
    const auto& trailing = call->context.GetServerTrailingMetadata();
    if (const auto reason = trailing.find("x-mezzo-reason"); reason != trailing.end()) {
      constexpr std::size_t kMaxReason = 64;
      detail.append(" ").append(reason->second.data(), std::min(reason->second.size(), kMaxReason));
    } else if (code == grpc::StatusCode::DEADLINE_EXCEEDED && now - call->ticket.sent >= lane.timeout) {
      done.kind = Completion::Kind::kFailed;
      detail = "timeout";
    } else if (code == grpc::StatusCode::UNAVAILABLE && call->context.GetServerInitialMetadata().empty() &&
               trailing.empty()) {
      done.kind = Completion::Kind::kFailed;  // No server said this.
      detail = "connection: " + call->status.error_message().substr(0, 80);
    }
    done.detail = detail;
  }
  // Closed loops go on from here: waking the other thread would add its latency to every request. When this
  // was the flow's last answer, Run() may shut the queue down meanwhile; then there is nothing left to take.
  lane.flow.run->Finish(call->ticket, done, now);
  SendDue(lane);
}

}  // namespace

std::unique_ptr<LoadDriver> NewGrpcLoad(std::vector<GrpcFlow> flows, const Clock& clock) {
  return std::make_unique<GrpcLoad>(std::move(flows), clock);
}

}  // namespace mezzo::app::cli
