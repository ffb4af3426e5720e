#include "mezzo/tenancy/shared_limits.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "mezzo/runtime/loop.h"

namespace mezzo::tenancy {
namespace {

/// Under which hosts say that they are there.
constexpr const char* kHostsKey = "limits:hosts";
constexpr std::int64_t kMostHosts = 1'000'000;
/// Of announcements: a host that is silent for longer is gone.
constexpr Duration kHostLifetime = std::chrono::seconds(10);
constexpr Duration kTurn = std::chrono::milliseconds(5);

}  // namespace

SharedLimits::SharedLimits(Options options, std::string host, Limiter& limiter, const Clock& clock)
    : options_(options),
      host_(std::move(host)),
      limiter_(limiter),
      clock_(clock),
      random_(static_cast<std::minstd_rand::result_type>(std::hash<std::string>{}(host_))) {
  view_.since = clock.Now();
  limiter.Share(host_);
  limiter.SetView(view_);
}

std::optional<SharedLimits::Asking> SharedLimits::Next() {
  const TimePoint now = clock_.Now();
  if (view_.mode == SharingMode::kReturning && now - view_.since >= options_.returning) {
    Enter(SharingMode::kShared, now);
  }
  const bool due = now >= next_ || (limiter_.hungry() && now - last_ >= options_.soonest);
  if (!due) return std::nullopt;
  last_ = now;
  // Hosts that always came one after the other would take from each other always in the same order.
  constexpr double kSpread = 0.2;
  const double stretch = std::uniform_real_distribution(1 - kSpread, 1 + kSpread)(random_);
  next_ = now + std::chrono::duration_cast<Duration>(stretch * options_.every);
  Asking asking{.at = now};
  // Alone, the announcement is what tries the store.
  asking.announces = now >= announce_at_ || view_.mode == SharingMode::kAlone;
  if (asking.announces) {
    announce_at_ = now + std::chrono::duration_cast<Duration>(stretch * options_.announce);
  }
  asking.round = limiter_.BeginRound(asking.announces, options_.most);
  // What did not fit into this round says what it uses in the next.
  if (asking.announces && limiter_.hungry()) announce_at_ = now;
  if (asking.announces) {
    asking.round.permits.push_back({.key = kHostsKey, .host = host_, .hold = 1, .limit = kMostHosts});
  }
  if (asking.round.tokens.empty() && asking.round.permits.empty()) return std::nullopt;
  return asking;
}

void SharedLimits::Enter(SharingMode mode, TimePoint since) {
  if (view_.mode == SharingMode::kShared) alone_since_ = since;
  view_.mode = mode;
  view_.since = since;
  mode_.store(mode, std::memory_order_relaxed);
  limiter_.SetView(view_);
}

void SharedLimits::Answered(const Asking& asking, Result<Answers> answers) {
  rounds_.fetch_add(1, std::memory_order_relaxed);
  const bool whole = answers.ok() && answers->tokens.size() == asking.round.tokens.size() &&
                     answers->permits.size() == asking.round.permits.size();
  if (!whole) {
    failures_.fetch_add(1, std::memory_order_relaxed);
    limiter_.EndRound(asking.round, nullptr, nullptr);
    // What may have been granted is lost, so the share counts from when it was asked for.
    if (view_.mode != SharingMode::kAlone) Enter(SharingMode::kAlone, asking.at);
    return;
  }
  if (asking.announces) {
    const auto& own = answers->permits.back();
    const std::int64_t hosts = std::clamp<std::int64_t>(kMostHosts - own.free, 1, kMostHosts);
    // While hosts come back, those known before count.
    if (view_.mode == SharingMode::kShared || hosts > view_.hosts) {
      if (hosts != view_.hosts) {
        view_.hosts = hosts;
        limiter_.SetView(view_);
      }
      hosts_.store(hosts, std::memory_order_relaxed);
    }
  }
  limiter_.EndRound(asking.round, &answers->tokens, &answers->permits);
  // Whoever has never shared has no share to keep to.
  if (view_.mode == SharingMode::kAlone) {
    Enter(met_ ? SharingMode::kReturning : SharingMode::kShared, clock_.Now());
  }
  met_ = true;
}

runtime::Task<Result<SharedLimits::Answers>> SharedLimits::Ask(
    runtime::Context ctx, storage::TokenStore* store, std::vector<storage::TokenStore::TokenRequest> tokens,
    std::vector<storage::TokenStore::PermitRequest> permits) {
  Answers answers;
  if (!tokens.empty()) {
    MEZZO_CO_TRY(answers.tokens, co_await store->TakeTokens(ctx, std::move(tokens)));
  }
  if (!permits.empty()) {
    MEZZO_CO_TRY(answers.permits, co_await store->HoldPermits(ctx, std::move(permits), kHostLifetime));
  }
  co_return answers;
}

void SharedLimits::LogChange(observe::Logger& log) {
  const bool alone = view_.mode == SharingMode::kAlone;
  const Duration away = clock_.Now() - alone_since_;
  if (alone && !logged_ && away >= options_.quiet) {
    log.Warn("limits are no longer shared: this host goes on with its last share of them",
             {{"hosts", view_.hosts}});
    logged_ = true;
  } else if (logged_ && view_.mode == SharingMode::kShared) {
    log.Info("limits are shared again", {{"after", away}, {"hosts", view_.hosts}});
    logged_ = false;
  }
}

runtime::Task<void> SharedLimits::Run(runtime::Context ctx, Ports ports) {
  while (!ctx.cancelled()) {
    if (const std::optional<Asking> asking = Next(); asking.has_value()) {
      auto answers = co_await Ask(ctx.WithDeadline(asking->at + options_.patience), ports.store,
                                  asking->round.tokens, asking->round.permits);
      if (ctx.cancelled()) break;
      Answered(*asking, std::move(answers));
    }
    LogChange(*ports.log);
    const TimePoint now = clock_.Now();
    const TimePoint wake = std::min(std::max(next_, now + Duration(1)), now + kTurn);
    const auto slept = co_await runtime::SleepUntil(ctx, wake);
    if (!slept.ok()) break;
  }
}

}  // namespace mezzo::tenancy
