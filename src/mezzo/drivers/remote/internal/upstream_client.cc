#include "mezzo/drivers/remote/internal/upstream_client.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

using std::chrono::seconds;

/// An upstream that wants to be left alone for longer is not waited for.
constexpr seconds kLongestWait{30};
constexpr std::uint64_t kSecondsOfDay = 86'400;

/// Retry-After in seconds; a date is too rare among inference servers to be read.
Duration WaitOf(const net::ClientResponse& response) {
  const auto after = ParseUint(Trim(response.Header("retry-after")));
  return after.has_value() ? seconds(std::min(*after, kSecondsOfDay)) : seconds(0);
}

/// What the upstream says is wrong: {"error": "text"} of v2, {"error": {"message": "text"}} of OpenAI.
std::string TextOf(const net::ClientResponse& response) {
  const auto body = nlohmann::json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  const auto* error = body.is_object() && body.contains("error") ? &body["error"] : nullptr;
  if (error != nullptr && error->is_object() && error->contains("message")) error = &(*error)["message"];
  if (error == nullptr || !error->is_string()) return "";
  return ": " + Printable(error->get_ref<const std::string&>(), 300);
}

/// Whether the upstream, rather than the caller or the configuration, is what failed.
bool IsFault(const Error& error) {
  return error.code() == Code::kUnavailable || error.code() == Code::kDeadlineExceeded ||
         error.code() == Code::kUnknown;
}

}  // namespace

void RemoteControl::Terminate() {
  MutexLock lock(mu_);
  terminated_.store(true);
  changed_.NotifyAll();
}

bool RemoteControl::SleepUntil(TimePoint until) {
  MutexLock lock(mu_);
  while (!terminated_.load()) {
    if (!changed_.WaitUntil(mu_, until)) return !terminated_.load();
  }
  return false;
}

UpstreamClient::UpstreamClient(Options options, const Clock& clock, std::shared_ptr<RemoteMetrics> metrics)
    : options_(std::move(options)),
      clock_(clock),
      metrics_(std::move(metrics)),
      time_(metrics_->seconds.Lease({options_.model})),
      retries_(metrics_->retries.Lease({options_.model})),
      http_(options_.http, clock),
      budget_(options_.retry_budget),
      breaker_(options_.breaker) {}

std::string UpstreamClient::Subject() const { return "the upstream of '" + options_.model + "'"; }

Error UpstreamClient::Invalid(const std::string& what) const {
  return {Code::kUnknown, "upstream_answer_invalid", Subject() + " answered " + what};
}

Result<net::ClientResponse> UpstreamClient::Send(const UpstreamRequest& request, RemoteControl* control) {
  const TimePoint started = clock_.Now();
  runtime::Breaker::Admission admission{};
  {
    MutexLock lock(mu_);
    admission = breaker_.Admit(started);
    if (admission == runtime::Breaker::Admission::kNo) {
      return Unavailable("upstream_unavailable", Subject() + " keeps failing; it is not asked for a while")
          .WithRetryAfter(breaker_.retry_at() - started);
    }
  }
  auto response = SendWithRetries(request, control);
  const TimePoint ended = clock_.Now();
  time_->Observe(ended - started);
  const std::string outcome = response.ok() ? "ok" : response.error().reason();
  metrics_->requests.With({options_.model, outcome}).Add();
  MutexLock lock(mu_);
  const bool probe = admission == runtime::Breaker::Admission::kProbe;
  if (!response.ok() && response.error().code() == Code::kCancelled) {
    if (probe) breaker_.OnProbeGone();
  } else {
    (void)breaker_.OnRun(response.ok() || !IsFault(response.error()), probe, ended);
  }
  return response;
}

Result<net::ClientResponse> UpstreamClient::SendWithRetries(const UpstreamRequest& request,
                                                            RemoteControl* control) {
  RemoteControl unwatched;
  if (control == nullptr) control = &unwatched;
  runtime::Backoff backoff(options_.backoff);
  budget_.OnCall();
  for (int attempt = 0;; ++attempt) {
    Attempt tried = Try(request, control);
    if (!tried.again || attempt >= options_.retries || tried.wait > kLongestWait || !budget_.TryRetry()) {
      return std::move(tried.outcome);
    }
    retries_->Add();
    if (!control->SleepUntil(clock_.Now() + std::max(tried.wait, backoff.Next()))) {
      return Cancelled("run_terminated", "the run was ended before it was done");
    }
  }
}

UpstreamClient::Attempt UpstreamClient::Try(const UpstreamRequest& request, RemoteControl* control) {
  net::ClientRequest http;
  http.method = request.method;
  http.url = options_.url + request.path;
  http.headers = options_.headers;
  http.headers.insert(http.headers.end(), request.headers.begin(), request.headers.end());
  http.body = request.body;
  http.cancelled = &control->terminated();
  return Judge(http_.Send(http, AddSaturating(clock_.Now(), options_.timeout)), request.repeatable);
}

UpstreamClient::Attempt UpstreamClient::Judge(Result<net::ClientResponse> response, bool repeatable) const {
  if (!response.ok()) {
    const Error& error = response.error();
    const std::string message = Subject() + ": " + error.message();
    if (error.reason() == "http_failed") {
      return {.outcome = Unavailable("upstream_unavailable", message), .again = repeatable};
    }
    if (error.reason() == "http_timeout") return {.outcome = DeadlineExceeded("upstream_timeout", message)};
    if (error.code() == Code::kCancelled) return {.outcome = Cancelled("run_terminated", message)};
    if (error.reason() == "response_too_large") return {.outcome = Invalid("too much: " + error.message())};
    return {.outcome = FailedPrecondition("upstream_config", message)};
  }
  const int status = response->status;
  if (status == 200) return {.outcome = std::move(response)};
  const std::string said = " answered " + std::to_string(status) + TextOf(*response);
  if (status == 429 || status == 502 || status == 503) {
    const Duration wait = WaitOf(*response);
    Error error = Unavailable("upstream_unavailable", Subject() + said);
    if (wait > Duration::zero()) error = std::move(error).WithRetryAfter(wait);
    return {.outcome = std::move(error), .again = true, .wait = wait};
  }
  if (status == 401 || status == 403)
    return {.outcome = FailedPrecondition("upstream_denied", Subject() + said)};
  if (status == 400 || status == 413 || status == 422) {
    return {.outcome = InvalidArgument("upstream_rejected", Subject() + said)};
  }
  return {.outcome = Unavailable("upstream_failed", Subject() + said)};
}

}  // namespace mezzo::drivers
