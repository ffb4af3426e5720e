#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/releases/release_driver.h"
#include "mezzo/releases/release_store.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::platform {

/// Releases of versions:
///
///     GET    /v1/releases                  ?model ?limit ?before (an id); newest first
///     POST   /v1/releases                  ReleaseSpec as JSON, 'stable' is the route's if not said; 201
///     GET    /v1/releases/{id}             with its split and its latest verdict
///     GET    /v1/releases/{id}/events      ?limit; the latest, oldest first
///     GET    /v1/releases/{id}/evidence    ?limit; verdicts over time, for plots
///     GET    /v1/releases/{id}/watch       server-sent events `release`: it as GET has it, at once and
///     whenever
///                                          it has changed; ?count ends the stream after so many, the
///                                          release's end does, and ten minutes do, so that rights are asked
///                                          again
///     POST   /v1/releases/{id}/COMMAND     pause, resume, promote ({"arm"} of an experiment), roll_back,
///     cancel
///
/// A command is answered when its route is written. Errors are problem details. Thread-safe.
class ReleasesHandler final : public ProblemProtocol {
 public:
  static constexpr const char* kRoot = "/v1/releases";
  struct Options {
    std::size_t max_page = 1000;
    Duration database_timeout = std::chrono::seconds(10);
    Duration look = std::chrono::milliseconds(300);  ///< How often a watched release is read.
    Duration heartbeat = std::chrono::seconds(15);   ///< Of a watch on which nothing happens.
    Duration longest_watch = std::chrono::minutes(10);
    std::size_t max_watchers = 64;
    std::uint64_t max_count = 3600;
  };
  /// All outlive the handler. `clock` is the hosts' shared one.
  struct Ports {
    releases::ReleaseStore& store;
    releases::RouteWriter& routes;
    runtime::BlockingPool& pool;  ///< Asks the database.
    const Clock& clock;
    /// Whether a release may name the version. Null: it may.
    std::function<Result<void>(const std::string& model, const std::string& version, TimePoint deadline)>
        check_version = nullptr;
    /// What an alias stands for. Null: there are none.
    std::function<std::optional<std::int64_t>(std::string_view model, std::string_view alias)> alias =
        nullptr;
  };
  ReleasesHandler(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  /// Before the first call. Watches end when `ending` is true: they would hold up a shutdown.
  void EndWhen(std::function<bool()> ending) { ending_ = std::move(ending); }

  [[nodiscard]] std::size_t watchers() const { return *watchers_; }

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;
  /// A place among those who watch, until the last copy goes.
  using Place = std::shared_ptr<void>;
  /// How a release stands: its row's revision, and it as JSON; no JSON where the revision is known.
  struct Standing {
    std::int64_t revision = 0;
    bool ended = false;
    std::string json;
  };

  [[nodiscard]] Answer Dispatch(const RoutedCall& call) const;
  [[nodiscard]] Answer List(const RoutedCall& call) const;
  /// The declaration, with the route's stable version where it names none.
  [[nodiscard]] Result<std::string> WithStable(std::string_view text) const;
  [[nodiscard]] Answer Create(const RoutedCall& call) const;
  [[nodiscard]] Answer Get(const std::string& id) const;
  [[nodiscard]] Answer Events(const RoutedCall& call, const std::string& id) const;
  [[nodiscard]] Answer Evidence(const RoutedCall& call, const std::string& id) const;
  [[nodiscard]] Answer Obey(const RoutedCall& call, const std::string& id, releases::Command command) const;
  [[nodiscard]] Result<std::uint64_t> CountOf(const net::HttpRequest& request) const;
  [[nodiscard]] runtime::Task<Answer> Watch(std::string id, std::uint64_t count) const;
  /// kUnavailable "releases_busy" when there are `max_watchers`.
  [[nodiscard]] Result<Place> Enter() const;
  /// `known`: a revision whose JSON is not wanted again; 0: none is.
  [[nodiscard]] Result<Standing> Stand(const std::string& id, std::int64_t known) const;
  runtime::Task<Result<void>> Stream(runtime::Context ctx, net::BodyWriter* out, std::string id,
                                     std::uint64_t count, Place place) const;
  [[nodiscard]] TimePoint Limit() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }

  const Options options_;
  const Ports ports_;
  std::function<bool()> ending_;  // Null: never.
  /// Shared with watches, which may outlive the handler by a moment. Stands alone, no partner.
  const std::shared_ptr<std::atomic<std::size_t>> watchers_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace mezzo::api::platform
