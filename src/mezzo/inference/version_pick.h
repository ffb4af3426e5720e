#pragma once

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
  /// The version has failed: whether the whole is to be made again, once, on version(), which is the stable
  /// one from now on.
  bool FallBack(const Error& error);
  /// `cost`: time on the device. `kept`: nothing was run.
  void Succeeded(Duration cost, bool kept);

 private:
  void End(releases::ArmEnd end, releases::ArmOutcome outcome);

  releases::LiveRouteRef route_;  // Null: none.
  releases::LiveRoute::Pick pick_;
  const Clock* clock_ = nullptr;
  TimePoint started_{};
  bool fell_back_ = false;
  bool told_ = false;  // The route knows what came of the pick.
};

}  // namespace mezzo::inference
