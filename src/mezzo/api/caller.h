#pragma once

#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::api {

/// Who sends this request, by its Authorization or X-Api-Key, if they may do what `scope` says. Without keys
/// in the directory both headers mean nothing: the official clients send one all the same. Errors: those of
/// tenancy::Admit().
[[nodiscard]] Result<tenancy::TenantRef> AdmitCaller(const tenancy::Directory& directory,
                                                     const net::HttpRequest& request, tenancy::Scope scope);

}  // namespace mezzo::api
