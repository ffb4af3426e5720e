#pragma once

#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/models/catalog.h"

namespace mezzo::app {

/// The models that this host has in memory, for the queue that it shares with others: a pipeline is there
/// when its denoising network is. Looked up once a second at most. Thread-safe.
class WarmModels {
 public:
  /// Both outlive this.
  WarmModels(models::Catalog& catalog, const Clock& clock) : catalog_(catalog), clock_(clock) {}

  std::vector<std::string> Names() EXCLUDES(mu_);

 private:
  models::Catalog& catalog_;
  const Clock& clock_;
  Mutex mu_;
  std::vector<std::string> names_ GUARDED_BY(mu_);
  TimePoint until_ GUARDED_BY(mu_) = TimePoint::min();
};

}  // namespace mezzo::app
