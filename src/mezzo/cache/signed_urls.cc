#include "mezzo/cache/signed_urls.h"

#include <utility>

namespace mezzo::cache {

SignedUrls::SignedUrls(storage::BlobStore& store, RecentItems* items, const Clock& clock)
    : store_(store),
      clock_(clock),
      kept_(items == nullptr || !items->enabled() ? nullptr
                                                  : std::make_unique<TypedCache<Url>>(*items, "signed_url")) {
}

Result<SignedUrls::Url> SignedUrls::Sign(const storage::BlobKey& key,
                                         const storage::BlobUrlOptions& options) {
  const WallTime now = clock_.WallNow();
  const Duration half = options.lifetime / 2;
  // A key has no '?'; the file name comes last, so that no two questions have one name.
  const std::string name =
      key.text() + "?" + std::to_string(options.lifetime.count()) + "&" + options.file_name;
  if (kept_ != nullptr) {
    // By the wall's clock as well, which is what the URL's reader goes by.
    const auto kept = kept_->Get(name, [&](const Url& url) {
      return url.expires - now >= half && url.expires - now <= options.lifetime;
    });
    if (kept != nullptr) return *kept;
  }
  Url url{.text = {}, .expires = now + std::chrono::duration_cast<WallTime::duration>(options.lifetime)};
  const TimePoint started = clock_.Now();
  MEZZO_TRY(url.text, store_.SignUrl(key, options));
  if (kept_ != nullptr) kept_->Put(name, url, name.size() + url.text.size(), AddSaturating(started, half));
  return url;
}

void SignedUrls::Clear() {
  if (kept_ != nullptr) kept_->Clear();
}

}  // namespace mezzo::cache
