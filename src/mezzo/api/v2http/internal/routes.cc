#include "mezzo/api/v2http/internal/routes.h"

namespace mezzo::api::v2http {
namespace {

using net::Method;
using tenancy::Scope;

constexpr auto kGet = Method::kGet;
constexpr auto kPost = Method::kPost;
constexpr std::optional<Scope> kOpen = std::nullopt;
constexpr std::optional<Scope> kUse = Scope::kInfer;
constexpr std::optional<Scope> kObserve = Scope::kObserve;
constexpr std::optional<Scope> kAdmin = Scope::kAdmin;

// Everything else is refused. Reading a setting tells nothing that inference does not; writing one is for
// admins.
constexpr Route kTable[] = {
    {kPost, "/v2/models/*/infer", kUse, kInferBody, kInfer},
    {kPost, "/v2/models/*/versions/#/infer", kUse, kInferBody, kInferVersion},
    {kGet, "/v2/health/live", kOpen, kNoBody, kLive},
    {kGet, "/v2/health/ready", kOpen, kNoBody, kReady},
    {kGet, "/v2", kUse, kNoBody, kServer},
    {kGet, "/v2/models", kUse, kNoBody, kModels},
    {kGet, "/v2/models/stats", kObserve, kNoBody, kAllStatistics},
    {kGet, "/v2/models/*", kUse, kNoBody, kModel},
    {kGet, "/v2/models/*/versions/#", kUse, kNoBody, kModelVersion},
    {kGet, "/v2/models/*/ready", kUse, kNoBody, kModelReady},
    {kGet, "/v2/models/*/versions/#/ready", kUse, kNoBody, kModelVersionReady},
    {kGet, "/v2/models/*/config", kUse, kNoBody, kConfig},
    {kGet, "/v2/models/*/versions/#/config", kUse, kNoBody, kConfigVersion},
    {kGet, "/v2/models/*/stats", kObserve, kNoBody, kStatistics},
    {kGet, "/v2/models/*/versions/#/stats", kObserve, kNoBody, kStatisticsVersion},
    {kPost, "/v2/models/*/generate", kUse, kInferBody, kGenerate},
    {kPost, "/v2/models/*/versions/#/generate", kUse, kInferBody, kGenerateVersion},
    {kPost, "/v2/models/*/generate_stream", kUse, kInferBody, kGenerateStream},
    {kPost, "/v2/models/*/versions/#/generate_stream", kUse, kInferBody, kGenerateStreamVersion},
    {kPost, "/v2/repository/index", kUse, kControlBody, kIndex},
    {kPost, "/v2/repository/*/index", kUse, kControlBody, kIndex},
    {kPost, "/v2/repository/models/*/load", kAdmin, kLoadBody, kLoad},
    {kPost, "/v2/repository/models/*/unload", kAdmin, kControlBody, kUnload},
    {kPost, "/v2/repository/*/models/*/load", kAdmin, kControlBody, kNamedRepository},
    {kPost, "/v2/repository/*/models/*/unload", kAdmin, kControlBody, kNamedRepository},
    {kGet, "/v2/systemsharedmemory/status", kAdmin, kNoBody, kSystemStatus},
    {kGet, "/v2/systemsharedmemory/region/*/status", kAdmin, kNoBody, kSystemRegionStatus},
    {kPost, "/v2/systemsharedmemory/region/*/register", kAdmin, kControlBody, kSystemRegister},
    {kPost, "/v2/systemsharedmemory/register", kAdmin, kControlBody, kSystemRegisterNameless},
    {kPost, "/v2/systemsharedmemory/region/*/unregister", kAdmin, kControlBody, kSystemUnregister},
    {kPost, "/v2/systemsharedmemory/unregister", kAdmin, kControlBody, kSystemUnregisterAll},
    {kGet, "/v2/cudasharedmemory/status", kAdmin, kNoBody, kCudaStatus},
    {kGet, "/v2/cudasharedmemory/region/*/status", kAdmin, kNoBody, kCudaRegionStatus},
    {kPost, "/v2/cudasharedmemory/region/*/register", kAdmin, kControlBody, kCudaRegister},
    {kPost, "/v2/cudasharedmemory/register", kAdmin, kControlBody, kCudaRegister},
    {kPost, "/v2/cudasharedmemory/region/*/unregister", kAdmin, kControlBody, kCudaUnregister},
    {kPost, "/v2/cudasharedmemory/unregister", kAdmin, kControlBody, kCudaUnregister},
    {kGet, "/v2/trace/setting", kUse, kNoBody, kTrace},
    {kPost, "/v2/trace/setting", kAdmin, kControlBody, kTrace},
    {kGet, "/v2/models/*/trace/setting", kUse, kNoBody, kTraceModel},
    {kPost, "/v2/models/*/trace/setting", kAdmin, kControlBody, kTraceModel},
    {kGet, "/v2/logging", kUse, kNoBody, kLogging},
    {kPost, "/v2/logging", kAdmin, kControlBody, kLogging},
};

}  // namespace

std::span<const Route> Routes() { return kTable; }

}  // namespace mezzo::api::v2http
