#include "mezzo/app/warm_models.h"

#include <string_view>
#include <utility>

namespace mezzo::app {

std::vector<std::string> WarmModels::Names() {
  constexpr std::string_view kNetwork = "/unet";
  MutexLock lock(mu_);
  const TimePoint now = clock_.Now();
  if (now < until_) return names_;
  until_ = now + std::chrono::seconds(1);
  names_.clear();
  for (models::IndexEntry& entry : catalog_.Index(/*ready_only=*/true)) {
    if (entry.name.ends_with(kNetwork)) {
      entry.name.resize(entry.name.size() - kNetwork.size());
    }
    names_.push_back(std::move(entry.name));
  }
  return names_;
}

}  // namespace mezzo::app
