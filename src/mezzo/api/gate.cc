#include "mezzo/api/gate.h"

#include <optional>
#include <string>
#include <utility>

#include "mezzo/api/limit_headers.h"
#include "mezzo/base/strings.h"

namespace mezzo::api {
namespace {

net::BodyPlan Refusal(net::HttpResponse response) {
  net::BodyPlan plan;
  plan.refusal = std::make_unique<net::HttpResponse>(std::move(response));
  return plan;
}

/// Whether reading and decoding the body costs more than asking the limits once more.
bool HasLargeBody(const net::HttpRequest& head) {
  constexpr std::uint64_t kLarge = 64 << 10;
  if (head.Header("Transfer-Encoding")) return true;
  const auto length = head.Header("Content-Length");
  return length && ParseUint(*length).value_or(0) >= kLarge;
}

/// The password of "Basic <base64 of user:password>"; nothing when it is not that.
std::optional<std::string> PasswordOf(std::string_view authorization) {
  constexpr std::string_view kBasic = "basic ";
  constexpr std::size_t kLongest = 1024;
  if (authorization.size() > kLongest || authorization.size() < kBasic.size() ||
      !EqualsIgnoreCase(authorization.substr(0, kBasic.size()), kBasic)) {
    return std::nullopt;
  }
  const auto pair = Base64Decode(Trim(authorization.substr(kBasic.size())));
  if (!pair.ok()) return std::nullopt;
  const std::size_t colon = pair->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return pair->substr(colon + 1);
}

/// Authorization, or X-Api-Key. A password is kept in `password`.
std::string_view CredentialOf(const net::HttpRequest& head, const Protocol& protocol,
                              std::optional<std::string>& password) {
  const auto authorization = head.Header("Authorization");
  if (!authorization) return head.Header("X-Api-Key").value_or("");
  if (protocol.TakesPasswords()) password = PasswordOf(*authorization);
  return password ? std::string_view(*password) : *authorization;
}

}  // namespace

Protocol* Gate::Find(std::string_view path) const {
  for (const auto& mounted : protocols_) {
    for (const auto prefix : mounted.prefixes) {
      if (path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/')) {
        return mounted.protocol;
      }
    }
  }
  return nullptr;
}

net::BodyPlan Gate::PlanBody(const net::HttpRequest& head) const {
  if (guard_ != nullptr && directory_.admits_anonymous()) {
    if (auto refusal = guard_(head)) return Refusal(std::move(*refusal));
  }
  const Protocol* protocol = Find(head.path());
  if (protocol == nullptr) return Refusal(net::HttpResponse::ErrorJson(404, "Not Found"));
  const RouteMatch match = MatchRoute(protocol->routes(), head.method(), head.path());
  if (match.route == nullptr) return Refusal(protocol->RefuseRoute(head, match));
  if (!match.route->scope) return protocol->Plan(head, match);

  std::optional<std::string> password;
  auto caller = tenancy::Admit(directory_, CredentialOf(head, *protocol, password), head.is_loopback(),
                               *match.route->scope);
  if (!caller.ok()) return Refusal(protocol->Refuse(caller.error()));
  if (limiter_ != nullptr && match.route->scope == tenancy::Scope::kInfer &&
      head.method() == net::Method::kPost && HasLargeBody(head)) {
    // Only looked at: the call is counted when it has been found to be one.
    tenancy::LimitState limit;
    auto ticket = limiter_->Admit({.caller = **caller}, &limit);
    if (!ticket.ok()) {
      net::HttpResponse refusal = protocol->Refuse(ticket.error());
      AddLimitHeaders(limit, &refusal);
      return Refusal(std::move(refusal));
    }
    ticket->Refund();
  }
  net::BodyPlan plan = protocol->Plan(head, match);
  plan.finding = *std::move(caller);
  return plan;
}

runtime::Task<net::HttpResponse> Gate::Handle(runtime::Context ctx, net::HttpRequest* request) {
  Protocol* protocol = Find(request->path());
  MEZZO_CHECK(protocol != nullptr);  // PlanBody() refused everything else.
  const RouteMatch match = MatchRoute(protocol->routes(), request->method(), request->path());
  MEZZO_CHECK(match.route != nullptr);
  tenancy::LimitState limit;
  RoutedCall call{.request = request,
                  .caller = std::static_pointer_cast<const tenancy::Caller>(request->finding()),
                  .route = match.route->id,
                  .captures = match.captures,
                  .limit = &limit};
  MEZZO_CHECK(!match.route->scope || call.caller != nullptr);
  net::HttpResponse response = co_await protocol->Handle(ctx, std::move(call));
  AddLimitHeaders(limit, &response);
  if (!ctx.request_id().empty()) response.headers.emplace_back("X-Request-Id", ctx.request_id());
  co_return response;
}

}  // namespace mezzo::api
