#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/strong_id.h"

namespace mezzo::tenancy {

/// What a key may do. `admin` includes the others.
enum class Scope : std::uint8_t {
  kInfer,    ///< Inference, metadata, readiness.
  kObserve,  ///< Metrics, statistics.
  kAdmin,    ///< Loading, unloading, settings, shared memory.
};

/// Whom work is done for and charged to. Immutable; shared by the calls of the tenant.
struct Tenant {
  TenantId id;
  std::uint32_t index = 0;  ///< Dense, stable while the process runs; the scheduler's handle.
  double weight = 1.0;
  std::array<bool, 3> classes = {true, true, true};  ///< Allowed: interactive, standard, bulk.
  std::vector<Scope> scopes = {Scope::kInfer};

  [[nodiscard]] bool Has(Scope scope) const {
    for (const Scope own : scopes) {
      if (own == scope || own == Scope::kAdmin) return true;
    }
    return false;
  }
};

using TenantRef = std::shared_ptr<const Tenant>;

}  // namespace mezzo::tenancy
