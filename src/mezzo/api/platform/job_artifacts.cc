#include "mezzo/api/platform/job_artifacts.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/absolute_url.h"
#include "mezzo/api/platform/job_json.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {

using Json = nlohmann::ordered_json;

runtime::Task<Result<std::string>> JobArtifacts::List(TenantId tenant, jobs::JobId job, std::string after,
                                                      std::size_t limit,
                                                      const net::HttpRequest* request) const {
  const auto list = [&]() -> Result<std::string> {
    MEZZO_TRY(const storage::BlobPrefix prefix, storage::BlobPrefix::Of(tenant, job.str()));
    const TimePoint deadline = ports_.clock.Now() + options_.store_timeout;
    MEZZO_TRY(const storage::BlobPage page, ports_.store.List(prefix, after, limit, deadline));
    Json data = Json::array();
    for (const storage::BlobEntry& entry : page.entries) {
      MEZZO_TRY(cache::SignedUrls::Url url, ports_.urls.Sign(entry.key, {.lifetime = options_.url_lifetime}));
      data.push_back({{"object", "artifact"},
                      {"key", entry.key.text()},
                      {"attempt", ParseUint(entry.key.attempt()).value_or(0)},
                      {"name", entry.key.name()},
                      {"bytes", entry.size},
                      {"url", AbsoluteUrl(*request, std::move(url.text))},
                      {"url_expires_at", TimeText(url.expires)}});
    }
    const Json last = page.entries.empty() ? Json(nullptr) : Json(page.entries.back().key.text());
    return Json({{"object", "list"}, {"data", std::move(data)}, {"last_key", last}, {"has_more", page.more}})
        .dump();
  };
  co_return co_await runtime::Offload(ports_.pool, list);
}

}  // namespace mezzo::api::platform
