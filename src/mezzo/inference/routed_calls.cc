// Calls whose version a route decides: an arm, the stable version behind it, and shadows beside it.

#include <algorithm>
#include <utility>

#include "mezzo/inference/call_fault.h"
#include "mezzo/inference/local_service.h"
#include "mezzo/inference/request_plan.h"
#include "mezzo/releases/compare.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::inference {
namespace {

using releases::ArmEnd;
using releases::ArmOutcome;
using releases::LiveRoute;
using releases::LiveRouteRef;

constexpr Duration kLongestLoad = std::chrono::minutes(10);
constexpr Duration kLongestShadow = std::chrono::seconds(60);
/// More bytes of outputs are compared off the loop.
constexpr std::size_t kComparedInline = std::size_t{64} << 10;

/// What of a call may be kept when its caller has its answer.
InferenceCall Kept(const InferenceCall& call) {
  InferenceCall copy = call;
  copy.limit = nullptr;
  copy.headers = {};
  return copy;
}

/// The same call, to be cancelled by itself.
runtime::Context Own(const runtime::Context& ctx) {
  runtime::Context::Facts facts{.tenant = ctx.tenant(), .request_id = ctx.request_id(), .trace = ctx.trace()};
  return runtime::Context(std::move(facts)).WithDeadline(ctx.deadline());
}

/// Whether the answer was there without a run of this call's own.
bool WasKept(const InferenceAnswer& answer) {
  return answer.cache && *answer.cache != CacheUse::kMiss && *answer.cache != CacheUse::kBypass;
}

ArmOutcome OutcomeOf(const Result<InferenceAnswer>& answer, Duration latency) {
  ArmOutcome outcome{.latency = latency};
  if (answer.ok()) {
    outcome.cost = Seconds(answer->device_share);
    outcome.kept = WasKept(*answer);
  }
  return outcome;
}

std::size_t BytesOf(const std::vector<NamedTensor>& tensors) {
  std::size_t bytes = 0;
  for (const NamedTensor& named : tensors) bytes += named.tensor.data.size();
  return bytes;
}

std::vector<releases::ComparedOutput> Compared(const std::vector<NamedTensor>& outputs) {
  std::vector<releases::ComparedOutput> compared;
  compared.reserve(outputs.size());
  for (const NamedTensor& output : outputs)
    compared.push_back({.name = output.name, .tensor = &output.tensor});
  return compared;
}

}  // namespace

/// One attempt beside its caller. Everything in it is touched on one loop alone.
struct LocalService::ArmRun {
  tenancy::CallerRef caller;
  InferenceCall call;
  runtime::Context ctx;   ///< Its own: cancelled when nobody waits for it any more.
  runtime::Context wake;  ///< Cancelled when it has ended; whoever waits puts it there.
  Bill bill;
  bool pays = false;  ///< The caller has gone: what it has used is charged when it ends.
  std::optional<Result<InferenceAnswer>> answer;
};

struct LocalService::ShadowRun {
  LiveRouteRef route;
  std::size_t shadow = 0;
  tenancy::CallerRef caller;
  InferenceCall call;
  std::vector<NamedTensor> outputs;  ///< That the caller got,
  models::VersionRef served_by;      ///< and the version, which keeps them.
  ByteCount bytes = 0;
};

runtime::Task<Result<InferenceAnswer>> LocalService::InferRouted(runtime::Context ctx,
                                                                 tenancy::CallerRef caller,
                                                                 InferenceCall call, LiveRouteRef route) {
  const TimePoint started = clock_.Now();
  const std::uint64_t random = releases::Router::Random();
  const auto pick =
      route->Choose({.tenant = caller->tenant->id.str(), .headers = call.headers, .random = random}, started);
  const releases::RouteTarget& target = route->target(pick);
  call.version = target.version;
  std::optional<InferenceCall> copy;
  if (extras_.background != nullptr && call.admission == Admission::kWhole) {
    bool shadowed = false;
    for (std::size_t i = 0; i < route->table().shadows().size(); ++i) {
      shadowed = shadowed || route->table().Shadowed(i, random);
    }
    if (shadowed) copy = Kept(call);
  }
  std::optional<Result<InferenceAnswer>> answer;
  if (!target.resolved) {
    answer.emplace(FailedPrecondition("route_alias_unknown", "the route of model '" + call.model.str() +
                                                                 "' goes to '" + target.named +
                                                                 "', and no version stands under it"));
    route->End(pick, ArmEnd::kUnjudged, {}, started);
  } else if (pick.trial) {
    answer.emplace(co_await Try(ctx, caller, std::move(call), route, pick));
  } else {
    answer.emplace(co_await InferOn(ctx, caller, std::move(call), Terms()));
    const TimePoint now = clock_.Now();
    ArmOutcome outcome = OutcomeOf(*answer, now - started);
    outcome.failed = !answer->ok() && FaultOf(answer->error()) == Fault::kVersion;
    const ArmEnd end = answer->ok() ? ArmEnd::kOk : outcome.failed ? ArmEnd::kFailed : ArmEnd::kUnjudged;
    route->End(pick, end, outcome, now);
    if (answer->ok()) (*answer)->route = route->stamp(pick.target);
  }
  if (copy && answer->ok() && !WasKept(**answer)) StartShadows(route, random, caller, *copy, **answer);
  co_return *std::move(answer);
}

std::string LocalService::VersionToReadBy(std::string_view model) {
  const LiveRouteRef route = extras_.routes == nullptr ? nullptr : extras_.routes->Find(model);
  return route == nullptr ? std::string() : route->stable().version;
}

VersionPick LocalService::PickVersion(const tenancy::Caller& caller, std::string_view model,
                                      const releases::HeaderLookup& headers) {
  if (extras_.routes == nullptr) return {};
  LiveRouteRef route = extras_.routes->Find(model);
  if (route == nullptr) return {};
  const auto pick = route->Choose(
      {.tenant = caller.tenant->id.str(), .headers = headers, .random = releases::Router::Random()},
      clock_.Now());
  return {std::move(route), pick, clock_};
}

runtime::Task<Result<InferenceAnswer>> LocalService::Try(runtime::Context ctx, tenancy::CallerRef caller,
                                                         InferenceCall call, LiveRouteRef route,
                                                         LiveRoute::Pick pick) {
  const TimePoint started = clock_.Now();
  const std::string stable_version = route->stable().version;
  const std::string& stable_stamp = route->stamp(route->table().stable());
  const auto end = [&](ArmEnd how, ArmOutcome outcome) { route->End(pick, how, outcome, clock_.Now()); };

  const auto found = catalog_.Acquire(call.model.str(), call.version);
  const bool on_disk = !found.ok() && found.error().reason() == "model_on_disk";
  const auto plan = found.ok() ? PlanRequest(**found, call) : Result<RequestPlan>(found.error());
  if (!plan.ok()) {
    // The version is not there, or does not take the call: the stable one answers, and says which.
    const bool either = found.ok() && FaultOf(plan.error()) == Fault::kEither;
    if (on_disk) WarmUp(call.model, call.version);
    if (!route->stable().resolved) {
      end(on_disk ? ArmEnd::kUnjudged : ArmEnd::kFailed, {.failed = !on_disk});
      co_return plan.error();
    }
    call.version = stable_version;
    auto answer = co_await InferOn(ctx, caller, std::move(call), Terms());
    const bool judged = !on_disk && (!either || answer.ok());
    end(judged ? ArmEnd::kFailed : ArmEnd::kUnjudged, {.failed = judged, .retried = judged});
    if (answer.ok()) answer->route = stable_stamp;
    co_return answer;
  }

  VersionRuntime& runtime = VersionRuntime::Of(**found);
  auto admitted = Admit(*caller, call, runtime.model(), plan->rows, started);
  if (!admitted.ok()) {
    runtime.RecordFailure(*caller->tenant, admitted.error(), clock_.Now() - started);
    if (tenancy::Account* account = runtime.AccountOf(*caller, "inference"); account != nullptr) {
      account->Add({.requests = 1, .failed = 1});
    }
    end(ArmEnd::kUnjudged, {});
    co_return std::move(admitted).error();
  }
  tenancy::LimitTicket ticket = *std::move(admitted);

  const auto first = std::make_shared<ArmRun>();
  first->caller = caller;
  first->call = call;
  first->call.headers = {};
  first->call.limit = nullptr;
  first->ctx = Own(ctx);
  TimePoint deadline = ctx.deadline();
  if ((*found)->config->default_deadline) {
    deadline = std::min(deadline, AddSaturating(started, *(*found)->config->default_deadline));
  }
  const TimePoint hedge_at =
      route->stable().resolved && extras_.background != nullptr ? route->HedgeAt(started, deadline) : kNever;
  std::shared_ptr<ArmRun> second;
  bool raced = false;
  if (hedge_at < kNever) {
    const auto race = co_await Race(ctx, first, &second, stable_version, hedge_at);
    raced = race.ok();
  }
  if (!raced && !first->answer) {
    // Nothing to be raced, or the scope is stopping: this call's own frame runs it.
    const Terms terms{.bill = &first->bill};
    first->answer.emplace(co_await InferOn(ctx, caller, first->call, terms));
  }
  const TimePoint now = clock_.Now();
  const Duration latency = now - started;

  if (first->answer && first->answer->ok()) {
    if (second != nullptr) second->ctx.Cancel();
    end(ArmEnd::kOk, OutcomeOf(*first->answer, latency));
    Pay(first->bill, ticket);
    InferenceAnswer answer = **std::move(first->answer);
    answer.route = route->stamp(pick.target);
    co_return answer;
  }
  if (!first->answer && ctx.cancelled()) {
    first->pays = true;
    first->ctx.Cancel();
    if (second != nullptr) second->ctx.Cancel();
    end(ArmEnd::kUnjudged, {});
    co_return Cancelled("cancelled", "the call was cancelled while it ran");
  }

  const Fault fault = first->answer ? FaultOf(first->answer->error()) : Fault::kVersion;
  if (second != nullptr && second->answer) {  // The stable version was asked, and has answered or failed.
    first->ctx.Cancel();
    const bool late = !first->answer;
    const bool failed =
        !late && (fault == Fault::kVersion || (fault == Fault::kEither && second->answer->ok()));
    // A host on which the stable version takes longer than its p99, a third of what the trial was given, is
    // slow itself.
    const bool slow_host = now - hedge_at > (hedge_at - started) / 3;
    end(late     ? (slow_host ? ArmEnd::kOutrun : ArmEnd::kLate)
        : failed ? ArmEnd::kFailed
                 : ArmEnd::kUnjudged,
        {.latency = latency, .failed = failed, .retried = true, .late = late});
    Pay(second->bill, ticket);
    if (second->answer->ok()) (**second->answer).route = stable_stamp;
    co_return *std::move(second->answer);
  }
  if (fault == Fault::kCaller || !route->stable().resolved || ctx.cancelled() || now >= ctx.deadline()) {
    const bool failed = fault == Fault::kVersion && !ctx.cancelled();
    end(failed ? ArmEnd::kFailed : ArmEnd::kUnjudged, {.latency = latency, .failed = failed});
    Pay(first->bill, ticket);
    co_return *std::move(first->answer);
  }
  // Once, on the stable version, as if it had been asked first: what the trial used is not charged.
  call.version = stable_version;
  call.headers = {};
  const Terms terms{.admitted = &ticket};
  auto answer = co_await InferOn(ctx, caller, std::move(call), terms);
  const bool failed = fault == Fault::kVersion || (fault == Fault::kEither && answer.ok());
  end(failed ? ArmEnd::kFailed : ArmEnd::kUnjudged, {.latency = latency, .failed = failed, .retried = true});
  if (answer.ok()) answer->route = stable_stamp;
  co_return answer;
}

runtime::Task<Result<void>> LocalService::Race(runtime::Context ctx, std::shared_ptr<ArmRun> first,
                                               std::shared_ptr<ArmRun>* second, std::string stable,
                                               TimePoint hedge_at) {
  const auto original = std::make_shared<InferenceCall>(first->call);  // The run takes its own.
  bool asked = false;
  if (!Spawn(first)) co_return Unavailable("shutting_down", "the server is shutting down");
  while (true) {
    const bool first_ok = first->answer && first->answer->ok();
    const bool second_ended = *second != nullptr && (*second)->answer.has_value();
    const bool second_ok = second_ended && (*second)->answer->ok();
    if (first_ok || second_ok || ctx.cancelled()) break;
    if (first->answer && (*second == nullptr || second_ended)) break;
    if (!asked && clock_.Now() >= hedge_at) {
      asked = true;
      auto run = std::make_shared<ArmRun>();
      run->caller = first->caller;
      run->call = *original;
      run->call.version = stable;
      run->ctx = Own(ctx);
      if (Spawn(run)) *second = std::move(run);
      continue;
    }
    // What ends first wakes this: a run, the caller, or the time to ask the stable version.
    const runtime::Context wake;
    first->wake = wake;
    if (*second != nullptr) (*second)->wake = wake;
    runtime::Callback forward = [wake] { wake.Cancel(); };
    const runtime::CancelRegistration registration(ctx.cancel_state(), std::move(forward));
    (void)co_await runtime::SleepUntil(wake, asked ? kNever : hedge_at);
  }
  co_return Result<void>();
}

bool LocalService::Spawn(const std::shared_ptr<ArmRun>& run) {
  return extras_.background->Spawn(*runtime::Loop::Current(), run->ctx,
                                   [this, run](runtime::Context own) { return RunArm(std::move(own), run); });
}

runtime::Task<Result<void>> LocalService::RunArm(runtime::Context ctx, std::shared_ptr<ArmRun> run) {
  const Terms terms{.bill = &run->bill};
  auto answer = co_await InferOn(ctx, run->caller, std::move(run->call), terms);
  run->answer.emplace(std::move(answer));
  if (run->pays && run->bill.account != nullptr) run->bill.account->Add(run->bill.usage);
  run->wake.Cancel();
  co_return Result<void>();
}

void LocalService::Pay(Bill& bill, tenancy::LimitTicket& ticket) {
  if (bill.account != nullptr) bill.account->Add(bill.usage);
  if (ticket.empty()) return;
  ticket.Settle(std::chrono::duration<double, std::milli>(Duration(bill.usage.device_ns)).count());
}

void LocalService::WarmUp(const ModelName& model, const std::string& version) {
  if (extras_.background == nullptr) return;
  const auto ctx = runtime::Context().WithDeadline(AddSaturating(clock_.Now(), kLongestLoad));
  // The catalog loads a version once, however many ask.
  (void)extras_.background->Spawn(*runtime::Loop::Current(), ctx,
                                  [this, model, version](runtime::Context own) {
                                    return catalog_.AcquireLoaded(std::move(own), model, version);
                                  });
}

void LocalService::StartShadows(const LiveRouteRef& route, std::uint64_t random,
                                const tenancy::CallerRef& caller, const InferenceCall& call,
                                const InferenceAnswer& answer) {
  for (const std::size_t i : route->EnterShadows(random)) {
    releases::LiveShadow& live = route->shadow(i);
    const ByteCount bytes = BytesOf(call.inputs) + BytesOf(answer.outputs);
    if (shadow_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes > extras_.shadow_bytes) {
      shadow_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
      live.Leave();
      live.CountDropped();
      continue;
    }
    const auto run = std::make_shared<ShadowRun>();
    run->route = route;
    run->shadow = i;
    run->caller = caller;
    run->call = call;
    run->call.version = route->table().shadow_targets()[i].version;
    run->call.admission = Admission::kNone;
    run->outputs = answer.outputs;
    run->served_by = answer.served_by;
    run->bytes = bytes;
    const auto ctx = runtime::Context().WithDeadline(AddSaturating(clock_.Now(), kLongestShadow));
    const bool spawned = extras_.background->Spawn(
        *runtime::Loop::Current(), ctx,
        [this, run](runtime::Context own) { return RunShadow(std::move(own), run); });
    if (spawned) continue;
    shadow_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    live.Leave();
  }
}

runtime::Task<Result<void>> LocalService::RunShadow(runtime::Context ctx, std::shared_ptr<ShadowRun> run) {
  releases::LiveShadow& live = run->route->shadow(run->shadow);
  const auto found = catalog_.Acquire(run->call.model.str(), run->call.version);
  if (!found.ok() && found.error().reason() == "model_on_disk") {
    // A shadow's load must not push out what serves, but for the release that asked for it.
    live.CountDropped();
  } else {
    const Terms terms{.shadow = true};
    const TimePoint started = clock_.Now();
    const auto answer = co_await InferOn(ctx, run->caller, run->call, terms);
    ArmOutcome outcome = OutcomeOf(answer, clock_.Now() - started);
    if (!answer.ok()) {
      const Fault fault = FaultOf(answer.error());
      if (fault == Fault::kOverload || fault == Fault::kCaller || answer.error().reason() == "queue_full") {
        live.CountDropped();
      } else {
        live.CountFailed();
        outcome.failed = true;
        live.Record(outcome);
      }
    } else {
      live.Record(outcome);
      const auto left = Compared(run->outputs);
      const auto right = Compared(answer->outputs);
      auto compare = [&left, &right]() -> Result<releases::AnswerDifference> {
        return releases::CompareAnswers(left, right);
      };
      std::optional<Result<releases::AnswerDifference>> difference;
      if (extras_.pool != nullptr && BytesOf(run->outputs) > kComparedInline) {
        difference.emplace(co_await runtime::Offload(*extras_.pool, std::move(compare)));
      } else {
        difference.emplace(compare());
      }
      if (difference->ok()) {
        live.CountAnswer(**difference);
      } else {
        live.CountDropped();  // The pool is full.
      }
    }
  }
  shadow_bytes_.fetch_sub(run->bytes, std::memory_order_relaxed);
  live.Leave();
  co_return Result<void>();
}

}  // namespace mezzo::inference
