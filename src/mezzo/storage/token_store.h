#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"

namespace mezzo::storage {

/// Rates and permits that hosts share. What it knows may be lost at any time; whoever uses it goes on alone
/// then. Keys and hosts are named like the keys of KvStore, at most 1,024 in a call. Thread-safe. Every
/// driver passes storage/testing/token_store_suite.h.
///
/// Waiting, deadlines and errors are as KvStore's; and kInvalidArgument "kv_bad_limit" when a rate or a limit
/// is out of its range.
class TokenStore {
 public:
  /// Of one bucket, a rate limit by GCRA (ITU-T I.371): it fills with `per_second` tokens and holds at most
  /// `burst`. Buckets come into being full when they are first named, and are forgotten once full.
  struct TokenRequest {
    std::string key;
    std::int64_t want = 0;   ///< Negative: gives back what was taken and not used.
    double per_second = 0;   ///< Above 0.
    std::int64_t burst = 0;  ///< 1 or more; `burst` / `per_second` is at most 31 years.
  };
  struct TokenGrant {
    std::int64_t granted = 0;  ///< 0 to `want`: as many as there are.
    std::int64_t left = 0;     ///< In the bucket, for all hosts.
    Duration full_in{};        ///< Until the bucket would hold `burst` again.
  };
  /// In the order of the requests, each by itself; one round trip. The store's clock counts.
  virtual runtime::Task<Result<std::vector<TokenGrant>>> TakeTokens(runtime::Context ctx,
                                                                    std::vector<TokenRequest> requests) = 0;

  /// What a host holds of a bounded number of permits, for `lifetime` unless it asks again.
  struct PermitRequest {
    std::string key;
    std::string host;
    std::int64_t hold = 0;   ///< How many the host wants to hold from now on, in all; 0: none.
    std::int64_t limit = 0;  ///< 0 to 10^12.
  };
  struct PermitGrant {
    std::int64_t held = 0;  ///< At most what was asked; never less than it held and still asks for.
    std::int64_t free = 0;
  };
  virtual runtime::Task<Result<std::vector<PermitGrant>>> HoldPermits(runtime::Context ctx,
                                                                      std::vector<PermitRequest> requests,
                                                                      Duration lifetime) = 0;

  virtual ~TokenStore() = default;
};

}  // namespace mezzo::storage
