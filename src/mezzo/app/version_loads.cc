#include "mezzo/app/version_loads.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "mezzo/base/mutex.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"

namespace mezzo::app {
namespace {

constexpr Duration kLook = std::chrono::seconds(1);
/// A load ends by its own deadline; one of a loop that has ended would never say so.
constexpr Duration kGrace = std::chrono::seconds(10);

/// How a load ended, for the thread that waits.
struct Waited {
  Mutex mu;
  CondVar done;
  std::optional<Result<void>> result GUARDED_BY(mu);

  void Tell(Result<void> ended) EXCLUDES(mu) {
    const MutexLock lock(mu);
    result = std::move(ended);
    done.NotifyAll();
  }
};

runtime::Task<Result<void>> Load(models::Catalog* catalog, runtime::Context ctx, std::string model,
                                 std::string version, std::shared_ptr<Waited> waited) {
  const auto loaded = co_await catalog->AcquireLoaded(std::move(ctx), ModelName(model), std::move(version));
  Result<void> result;
  if (!loaded.ok()) result = loaded.error();
  waited->Tell(result);
  co_return result;
}

}  // namespace

Result<void> VersionLoads::LoadAndWait(const std::string& model, const std::string& version,
                                       TimePoint deadline) const {
  const auto waited = std::make_shared<Waited>();
  const auto ctx = runtime::Context().WithDeadline(deadline);
  const bool begun = ports_.scope.Spawn(
      ports_.loop, ctx, [&catalog = ports_.catalog, model, version, waited](runtime::Context own) {
        return Load(&catalog, std::move(own), model, version, waited);
      });
  if (!begun) return Unavailable("shutting_down", "the host is ending");
  const MutexLock lock(waited->mu);
  while (!waited->result) {
    if (ports_.clock.Now() >= AddSaturating(deadline, kGrace)) {
      return DeadlineExceeded("version_timeout", "the version did not load in time");
    }
    waited->done.WaitUntil(waited->mu, ports_.clock.Now() + kLook);
  }
  return *waited->result;
}

std::vector<lifecycle::Retirement::Served> TrafficOf(inference::Service& service) {
  std::vector<lifecycle::Retirement::Served> served;
  const auto all = service.Statistics("", "");
  if (!all.ok()) return served;
  for (const auto& one : *all) {
    const auto version = ParseUint(one.version);
    if (!version) continue;
    // Parts of a pipeline are served under its name and theirs.
    served.push_back({.model = one.name.substr(0, one.name.find('/')),
                      .version = static_cast<std::int64_t>(*version),
                      .calls = one.success.count + one.fail.count + one.cache_hit.count});
  }
  return served;
}

}  // namespace mezzo::app
