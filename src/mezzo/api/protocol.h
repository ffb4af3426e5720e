#pragma once

#include <array>
#include <span>
#include <string_view>

#include "mezzo/api/router.h"
#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"
#include "mezzo/tenancy/limit.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api {

/// A request that the gate has let in. The request outlives it; captures point into its path.
struct RoutedCall {
  net::HttpRequest* request = nullptr;
  tenancy::CallerRef caller;  ///< Null on routes that are open to everybody.
  int route = 0;              ///< Route::id.
  std::array<std::string_view, RouteMatch::kMaxCaptures> captures;
  /// Where a handler leaves what limit the call has met, which the gate says in headers. Outlives the call;
  /// null: nobody asks.
  tenancy::LimitState* limit = nullptr;
};

/// One protocol over HTTP: what it serves, and how it speaks. Who may call what is the gate's business alone.
/// Thread-safe.
class Protocol {
 public:
  virtual ~Protocol() = default;

  /// What it serves; the same as long as it lives.
  [[nodiscard]] virtual std::span<const Route> routes() const = 0;
  /// Whether its clients may bring their key as the password of HTTP's basic authentication (RFC 7617), with
  /// any user name.
  [[nodiscard]] virtual bool TakesPasswords() const { return false; }
  /// What becomes of the body of a request that is let in; may refuse by the rest of its head. Cheap, never
  /// blocks.
  [[nodiscard]] virtual net::BodyPlan Plan(const net::HttpRequest& head, const RouteMatch& match) const {
    (void)head;
    net::BodyPlan plan;
    plan.max_body = match.route->max_body;
    return plan;
  }
  /// As net::HttpHandler::Handle().
  virtual runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) = 0;

  /// A refusal, as this protocol says it.
  [[nodiscard]] virtual net::HttpResponse Refuse(const Error& error) const = 0;
  /// Of a request that none of its routes serves.
  [[nodiscard]] virtual net::HttpResponse RefuseRoute(const net::HttpRequest& head,
                                                      const RouteMatch& match) const = 0;
};

}  // namespace mezzo::api
