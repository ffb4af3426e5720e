#include "mezzo/observe/health.h"

#include "mezzo/base/check.h"
#include "mezzo/base/utf8.h"

namespace mezzo::observe {

HealthCheck Health::NewCheck(std::string_view name, HealthKind kind) {
  const MutexLock lock(mu_);
  HealthState state{.name = std::string(name), .kind = kind, .ok = false, .reason = "starting"};
  const bool added = checks_.try_emplace(std::string(name), Entry{.state = std::move(state)}).second;
  MEZZO_CHECK(added);
  Recount();
  return {this, std::string(name)};
}

std::vector<HealthState> Health::Report() const {
  const MutexLock lock(mu_);
  std::vector<HealthState> states;
  states.reserve(checks_.size());
  for (const auto& [name, entry] : checks_) states.push_back(entry.state);
  return states;
}

std::string Health::WhyNotReady() const {
  if (draining()) return "draining";
  const MutexLock lock(mu_);
  for (const auto& [name, entry] : checks_) {
    if (!entry.state.ok && entry.state.kind != HealthKind::kDegraded) return name + ": " + entry.state.reason;
  }
  return {};
}

void Health::Set(const std::string& name, bool ok, std::string_view reason) {
  const MutexLock lock(mu_);
  Entry& entry = checks_.at(name);
  entry.reported = true;
  entry.state.ok = ok;
  entry.state.reason = ToUtf8(reason, kMaxReasonBytes);
  Recount();
}

void Health::Remove(const std::string& name) {
  const MutexLock lock(mu_);
  checks_.erase(name);
  Recount();
}

void Health::Recount() {
  std::uint32_t failing = 0;
  std::uint32_t failing_liveness = 0;
  for (const auto& [name, entry] : checks_) {
    if (entry.state.ok || entry.state.kind == HealthKind::kDegraded) continue;
    ++failing;
    if (entry.state.kind == HealthKind::kLiveness && entry.reported) ++failing_liveness;
  }
  failing_.store(failing, std::memory_order_relaxed);
  failing_liveness_.store(failing_liveness, std::memory_order_relaxed);
}

}  // namespace mezzo::observe
