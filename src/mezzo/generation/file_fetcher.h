#pragma once

#include <string>
#include <string_view>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/net/http_client.h"
#include "mezzo/runtime/context.h"

namespace mezzo::generation {

/// Gets the files that jobs name by address. Follows no redirects and asks the address guard about every
/// address, so that nobody reaches through this server what they can't reach themselves. Blocks. Thread-safe.
class FileFetcher {
 public:
  static constexpr std::size_t kMaxUrlBytes = 2048;

  struct Options {
    net::AddressGuard::Reach reach = net::AddressGuard::Reach::kPublic;
    bool allow_http = false;                      ///< Otherwise https only.
    Duration timeout = std::chrono::seconds(30);  ///< Of one file.
    ByteCount max_bytes = ByteCount{64} << 20;    ///< Of any file.
    std::string ca_file;                          ///< Instead of the system's trust store.
  };
  FileFetcher(Options options, const Clock& clock);

  /// Whether a reference is an address rather than a key.
  static bool IsUrl(std::string_view reference);
  /// The file's bytes. Fails with kInvalidArgument "fetch_refused" (the address, its length, the answer's
  /// status or size) or "bad_url", kPermissionDenied "address_not_allowed", kUnavailable "fetch_failed" for
  /// what may pass, kCancelled "http_cancelled".
  Result<std::string> Fetch(const runtime::Context& ctx, const std::string& url, ByteCount max_bytes);

 private:
  const Options options_;
  const Clock& clock_;
  net::HttpClient client_;
};

}  // namespace mezzo::generation
