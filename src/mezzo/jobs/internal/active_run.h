#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "mezzo/base/mutex.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/jobs/job_store.h"
#include "mezzo/tenancy/ledger/ledger.h"

namespace mezzo::jobs::internal {

/// A leased job on this host, waiting for a slot or running. Shared by the slot, the lease keeper and the
/// dispatcher. Thread-safe.
class ActiveRun final : public JobRun {
 public:
  /// Why a run was told to stop.
  enum class Stop : std::uint8_t { kNone, kCancelled, kLeaseLost, kShutdown };

  /// `store` and `clock` outlive the run.
  ActiveRun(LeasedJob job, JobStore& store, const Clock& clock);

  [[nodiscard]] const LeasedJob& job() const override { return job_; }
  [[nodiscard]] const runtime::Context& ctx() const override { return ctx_; }
  Result<void> Report(double progress, const std::string& stage) override EXCLUDES(mu_);
  Result<void> SaveCheckpoint(const std::string& checkpoint) override;
  void AddDeviceTime(Duration time) override {
    device_ns_.fetch_add(time.count(), std::memory_order_relaxed);
  }

  void Made(const std::string& model, const std::string& version, const tenancy::Usage& usage) override
      EXCLUDES(mu_);
  /// What the job's end is charged with: one request, which failed when the job did or was cancelled, and
  /// what the attempt has made if it succeeded.
  void ChargeTo(tenancy::Ledger& ledger, bool succeeded) EXCLUDES(mu_);

  /// The first reason stays.
  void Tell(Stop why);
  [[nodiscard]] Stop stop() const { return stop_.load(); }
  /// The lease holds until then, on this host's clock. Lease keeper only.
  TimePoint lease_until;

  /// What the handler's answer means for the job.
  [[nodiscard]] RunEnd EndOf(const Result<std::string>& answer, const RetryPolicy& policy,
                             WallTime now) const;

 private:
  Result<void> LostUnless(Result<bool> held);

  const LeasedJob job_;
  JobStore& store_;
  const Clock& clock_;
  const runtime::Context ctx_;
  std::atomic<Stop> stop_{Stop::kNone};     // Set before ctx_ is cancelled.
  std::atomic<std::int64_t> device_ns_{0};  // A plain sum; no partner.
  Mutex mu_;
  std::string stage_ GUARDED_BY(mu_);
  TimePoint next_report_ GUARDED_BY(mu_){};
  std::string made_model_ GUARDED_BY(mu_);
  std::string made_version_ GUARDED_BY(mu_);
  tenancy::Usage made_ GUARDED_BY(mu_);
};

}  // namespace mezzo::jobs::internal
