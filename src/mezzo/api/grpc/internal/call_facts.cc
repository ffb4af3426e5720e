#include "mezzo/api/grpc/internal/call_facts.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "mezzo/api/grpc/internal/inflate.h"
#include "mezzo/api/grpc/internal/retry_info.h"
#include "mezzo/api/limit_headers.h"
#include "mezzo/api/status_table.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/observe/trace_context.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::api::rpc {
namespace {

constexpr std::size_t kMaxRequestId = 128;

/// gRPC writes peers as "ipv4:127.0.0.1:5", "ipv6:%5B::1%5D:5" or "unix:...".
bool IsLoopbackPeer(std::string_view peer) {
  return peer.starts_with("ipv4:127.") || peer.starts_with("ipv6:%5B::1%5D:") ||
         peer.starts_with("ipv6:[::1]:") || peer.starts_with("ipv6:%5B::ffff:127.") ||
         peer.starts_with("ipv6:[::ffff:127.") || peer.starts_with("unix:");
}

std::string_view Credential(const grpc::ServerContextBase& call) {
  const std::string_view authorization = MetadataValue(call, "authorization");
  return authorization.empty() ? MetadataValue(call, "x-api-key") : authorization;
}

std::string RequestId(const Front& front, const grpc::ServerContextBase& call) {
  const std::string_view given = MetadataValue(call, "x-request-id");
  const bool usable = !given.empty() && given.size() <= kMaxRequestId &&
                      std::all_of(given.begin(), given.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return usable ? std::string(given) : NewUuidV7(front.services.clock.WallNow());
}

TimePoint CallDeadline(const Front& front, const grpc::ServerContextBase& call) {
  const auto deadline = call.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return kNever;
  const Duration left = deadline - front.services.clock.WallNow();
  return AddSaturating(front.services.clock.Now(), left);
}

}  // namespace

std::string_view MetadataValue(const grpc::ServerContextBase& call, const char* key) {
  const auto& metadata = call.client_metadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return {};
  return {found->second.data(), found->second.size()};
}

releases::HeaderLookup HeadersOf(const grpc::ServerContextBase& call) {
  return {&call.client_metadata(),
          [](const void* from, std::string_view name) -> std::optional<std::string_view> {
            const auto& metadata =
                *static_cast<const std::multimap<grpc::string_ref, grpc::string_ref>*>(from);
            const auto found = metadata.find(grpc::string_ref(name.data(), name.size()));
            if (found == metadata.end()) return std::nullopt;
            return std::string_view(found->second.data(), found->second.size());
          }};
}

Result<tenancy::CallerRef> AdmitCall(const Front& front, const grpc::ServerContextBase& call, Method method) {
  const tenancy::Directory& directory = front.services.directory;
  // The peer's name costs an allocation, which calls with keys need not pay.
  const bool loopback =
      directory.admits_anonymous() && (front.listens_on_loopback || IsLoopbackPeer(call.peer()));
  return tenancy::Admit(directory, Credential(call), loopback, ScopeOf(method));
}

runtime::Context MakeContext(const Front& front, const grpc::ServerContextBase& call,
                             const tenancy::Caller& caller) {
  runtime::Context::Facts facts{
      .tenant = caller.tenant->id, .request_id = RequestId(front, call), .trace = {}};
  if (const std::string_view parent = MetadataValue(call, "traceparent"); !parent.empty()) {
    if (auto trace = observe::ParseTraceParent(parent); trace.ok()) {
      facts.trace = std::move(trace).value();
      facts.trace.trace_state = observe::LimitTraceState(MetadataValue(call, "tracestate"));
    }
  }
  return runtime::Context(std::move(facts)).WithDeadline(CallDeadline(front, call));
}

runtime::Context WithTimeout(const Front& front, const runtime::Context& ctx,
                             const std::optional<Duration>& timeout) {
  if (!timeout) return ctx;
  return ctx.WithDeadline(AddSaturating(front.services.clock.Now(), *timeout));
}

grpc::Status Refuse(grpc::ServerContextBase& call, const Error& error, std::string_view request_id) {
  call.AddTrailingMetadata("x-mezzo-reason", error.reason());
  if (!request_id.empty()) call.AddTrailingMetadata("x-request-id", std::string(request_id));
  if (error.retry_after()) {
    const auto wait = std::max(*error.retry_after(), Duration::zero());
    const auto millis = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
    call.AddTrailingMetadata("retry-after",
                             std::to_string(std::chrono::ceil<std::chrono::seconds>(wait).count()));
    call.AddTrailingMetadata("retry-pushback-ms", std::to_string(millis));
    call.AddTrailingMetadata("grpc-retry-pushback-ms", std::to_string(millis));
  }
  const int code = WireStatusOf(error.code()).grpc;
  return {static_cast<grpc::StatusCode>(code), error.message(), RetryDetails(error, code)};
}

void AddLimitTrailers(grpc::ServerContextBase& call, const tenancy::LimitState& limit) {
  LimitTexts texts = TextsOf(limit);
  if (texts.state.empty()) return;
  call.AddTrailingMetadata("ratelimit", std::move(texts.state));
  call.AddTrailingMetadata("ratelimit-policy", std::move(texts.policy));
}

Result<void> MessageBytes::Read(const grpc::ByteBuffer& buffer, ByteCount limit) {
  if (!buffer.Valid() || !buffer.Dump(&slices_).ok()) return {};  // No bytes: a message with nothing in it.
  segments_.reserve(slices_.size());
  for (const grpc::Slice& slice : slices_) {
    segments_.emplace_back(reinterpret_cast<const std::byte*>(slice.begin()), slice.size());
  }
  if (!IsCompressed(segments_)) return {};
  MEZZO_TRY(own_, Inflate(segments_, limit));
  segments_.assign(1, AsBytes(own_));
  return {};
}

BytesView MessageBytes::Join() {
  if (segments_.empty()) return {};
  if (segments_.size() > 1) {
    for (const BytesView segment : segments_) own_.append(AsText(segment));
    segments_.assign(1, AsBytes(own_));
  }
  return segments_.front();
}

}  // namespace mezzo::api::rpc
