#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/engine/engine.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/breaker.h"
#include "mezzo/runtime/retry.h"

namespace mezzo::drivers {

class RemoteMetrics;

/// Runs models that other servers hold: an upstream of the Open Inference Protocol v2, or one that makes
/// pictures as OpenAI's API does (README.md).
///
/// Only the configured host is asked, redirects are not followed, and keys come from references that are
/// resolved here and shown nowhere. Thread-safe. Sessions may outlive the engine.
class RemoteEngine final : public engine::Engine {
 public:
  struct Options {
    /// The value of an environment variable, or nothing. By default this process's.
    std::function<std::optional<std::string>(const std::string& name)> variable;
    std::size_t max_response_bytes = std::size_t{256} << 20U;
    Duration connect_timeout = std::chrono::seconds(5);
    runtime::Backoff::Options backoff;
    runtime::RetryBudget::Options retry_budget;
    /// A failed run counts when the upstream is at fault, not the caller's input.
    runtime::Breaker::Options breaker;
    std::string ca_file;  ///< Instead of the system's trust store.
  };

  /// `clock` and `registry` outlive the engine and its sessions.
  RemoteEngine(Options options, const Clock& clock, observe::Registry& registry);
  ~RemoteEngine() override;

  /// Asks a v2 upstream what the model is, with the retries of a run. Errors: kInvalidArgument
  /// "upstream_config" (URL, header, reference) and those of a run. Runs fail with kInvalidArgument
  /// "upstream_rejected", kFailedPrecondition "upstream_denied", kUnavailable "upstream_unavailable" (retries
  /// are spent, or the breaker is open) and "upstream_failed", kDeadlineExceeded "upstream_timeout", kUnknown
  /// "upstream_answer_invalid", kCancelled "run_terminated".
  Result<std::unique_ptr<engine::Session>> Load(const engine::LoadRequest& request) override;
  [[nodiscard]] std::string platform() const override { return "remote"; }
  [[nodiscard]] std::vector<std::string> providers() const override { return {"remote"}; }

 private:
  /// A header's value with its reference resolved.
  [[nodiscard]] Result<std::string> Resolve(const std::string& name, const std::string& value) const;

  const Options options_;
  const Clock& clock_;
  const std::shared_ptr<RemoteMetrics> metrics_;
};

}  // namespace mezzo::drivers
