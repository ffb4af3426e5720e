#pragma once

#include <cstdint>
#include <functional>

#include "mezzo/api/platform/overview.h"
#include "mezzo/api/platform/problem.h"

namespace mezzo::api::platform {

/// What this host does just now (docs/guides/console.md), for callers with the scope `observe`:
///
///     GET  /v1/overview          the newest second, and the last five minutes without models
///     GET  /v1/overview/events   server-sent events `overview`, one a second: ?count ends the stream after
///     so
///                                many; otherwise it ends after ten minutes, so that rights are asked again
///
/// Errors are problem details. Thread-safe.
class OverviewHandler final : public ProblemProtocol {
 public:
  struct Options {
    Duration period = std::chrono::seconds(1);      ///< Of the feed's samples.
    Duration look = std::chrono::milliseconds(50);  ///< How soon a late sample is looked for again.
    Duration longest_stream = std::chrono::minutes(10);
    std::uint64_t max_count = 3600;
  };
  /// All outlive the handler and its streams.
  struct Ports {
    OverviewFeed& feed;
    const Clock& clock;
    /// Streams end when this is true: they would hold up a shutdown. Null: never.
    std::function<bool()> ending;
  };
  OverviewHandler(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  static constexpr const char* kRoot = "/v1/overview";
  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  [[nodiscard]] Result<net::HttpResponse> Events(const RoutedCall& call) const;
  runtime::Task<Result<void>> Stream(runtime::Context ctx, net::BodyWriter* out, std::uint64_t count,
                                     OverviewFeed::Watch watch) const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
