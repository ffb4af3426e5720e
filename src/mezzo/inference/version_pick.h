#pragma once

#include <optional>
#include <string>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/router.h"

namespace mezzo::inference {

/// The version that a route has picked, for whoever must know it before making the calls (its tokenizer), and
/// makes several. What comes of them is told to the route: by Succeeded(), by FallBack(), or, as saying
/// nothing about the version, by the end of this. Not thread-safe.
class VersionPick {
 public:
  /// No route: the newest version.
  VersionPick() = default;
  VersionPick(releases::LiveRouteRef route, releases::LiveRoute::Pick pick, const Clock& clock);
  VersionPick(VersionPick&& other) noexcept
      : route_(std::move(other.route_)),
        pick_(other.pick_),
        clock_(other.clock_),
        started_(other.started_),
        fell_back_(other.fell_back_),
        either_(other.either_),
        told_(other.told_) {}
  VersionPick& operator=(VersionPick&&) = delete;
  VersionPick(const VersionPick&) = delete;
  VersionPick& operator=(const VersionPick&) = delete;
  ~VersionPick();

  /// What calls name; empty: the newest.
  [[nodiscard]] const std::string& version() const;
  [[nodiscard]] bool fell_back() const { return fell_back_; }
  /// "arm;revision"; empty without a route.
  [[nodiscard]] std::string stamp() const;
  /// Null without a route.
  [[nodiscard]] const releases::LiveRouteRef& route() const { return route_; }
  /// Whether another version stands by for what this one fails.
  [[nodiscard]] bool trial() const { return route_ != nullptr && pick_.trial && route_->stable().resolved; }
  /// The version has failed: whether the whole is to be made again, once, on version(), which is the stable
  /// one from now on. What may be the caller's fault as well is counted when that one has succeeded. What
  /// the stable version itself fails is counted, and not made again.
  bool FallBack(const Error& error);
  /// As FallBack(): the version took more than its share of the caller's time.
  bool FallBackLate();
  /// `cost`: time on the device. `kept`: nothing was run. `latency`: of one piece of work, where the time
  /// since the pick says little about the version; none: that time.
  void Succeeded(Duration cost, bool kept, std::optional<Duration> latency = std::nullopt);

 private:
  void End(releases::ArmEnd end, releases::ArmOutcome outcome, std::optional<Duration> latency);

  releases::LiveRouteRef route_;  // Null: none.
  releases::LiveRoute::Pick pick_;
  const Clock* clock_ = nullptr;
  TimePoint started_{};
  bool fell_back_ = false;
  bool either_ = false;  // The stable version has to say whether the call or the version was wrong.
  bool told_ = false;    // The route knows what came of the pick.
};

}  // namespace mezzo::inference
