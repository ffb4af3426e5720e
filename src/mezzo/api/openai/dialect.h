#pragma once

#include "mezzo/api/openai/openai_error.h"
#include "mezzo/api/protocol.h"

namespace mezzo::api::openai {

/// A protocol that refuses in OpenAI's envelope (openai_error.h).
class Dialect : public Protocol {
 public:
  [[nodiscard]] net::HttpResponse Refuse(const Error& error) const override { return ErrorResponse(error); }
  [[nodiscard]] net::HttpResponse RefuseRoute(const net::HttpRequest& head,
                                              const RouteMatch& match) const override {
    return NoRouteResponse(routes(), head, match);
  }

 protected:
  /// A body of at most `limit` bytes; 413 at once when the head announces a longer one.
  [[nodiscard]] static net::BodyPlan PlanUpTo(ByteCount limit, const net::HttpRequest& head) {
    net::BodyPlan plan;
    plan.max_body = limit;
    if (auto refusal = RefuseSize(head, limit)) {
      plan.refusal = std::make_unique<net::HttpResponse>(*std::move(refusal));
    }
    return plan;
  }
};

}  // namespace mezzo::api::openai
