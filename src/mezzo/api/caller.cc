#include "mezzo/api/caller.h"

#include <optional>
#include <string_view>

namespace mezzo::api {

Result<tenancy::TenantRef> AdmitCaller(const tenancy::Directory& directory, const net::HttpRequest& request,
                                       tenancy::Scope scope) {
  std::optional<std::string_view> credential;
  if (directory.has_keys()) {
    credential = request.Header("Authorization");
    if (!credential) credential = request.Header("X-Api-Key");
  }
  return tenancy::Admit(directory, credential.value_or(""), request.is_loopback(), scope);
}

}  // namespace mezzo::api
