#include "mezzo/api/v2http/internal/routes.h"

namespace mezzo::api::v2http {
namespace {

using net::Method;
using tenancy::Scope;

constexpr auto kGet = Method::kGet;
constexpr auto kPost = Method::kPost;
constexpr std::optional<Scope> kOpen = std::nullopt;
constexpr std::optional<Scope> kRead = Scope::kRead;
constexpr std::optional<Scope> kUse = Scope::kInfer;
constexpr std::optional<Scope> kObserve = Scope::kObserve;
constexpr std::optional<Scope> kOperate = Scope::kOperate;

// Everything else is refused. Reading a setting tells nothing that inference does not; writing one is for
// operators.
constexpr Route kTable[] = {
    {kPost, "/v2/models/*/infer", kUse, kInferBody, kInfer},
    {kPost, "/v2/models/*/versions/#/infer", kUse, kInferBody, kInferVersion},
    {kGet, "/v2/health/live", kOpen, kNoBody, kLive},
    {kGet, "/v2/health/ready", kOpen, kNoBody, kReady},
    {kGet, "/v2", kRead, kNoBody, kServer},
    {kGet, "/v2/models", kRead, kNoBody, kModels},
    {kGet, "/v2/models/stats", kObserve, kNoBody, kAllStatistics},
    {kGet, "/v2/models/*", kRead, kNoBody, kModel},
    {kGet, "/v2/models/*/versions/#", kRead, kNoBody, kModelVersion},
    {kGet, "/v2/models/*/ready", kRead, kNoBody, kModelReady},
    {kGet, "/v2/models/*/versions/#/ready", kRead, kNoBody, kModelVersionReady},
    {kGet, "/v2/models/*/config", kRead, kNoBody, kConfig},
    {kGet, "/v2/models/*/versions/#/config", kRead, kNoBody, kConfigVersion},
    {kGet, "/v2/models/*/stats", kObserve, kNoBody, kStatistics},
    {kGet, "/v2/models/*/versions/#/stats", kObserve, kNoBody, kStatisticsVersion},
    {kPost, "/v2/models/*/generate", kUse, kInferBody, kGenerate},
    {kPost, "/v2/models/*/versions/#/generate", kUse, kInferBody, kGenerateVersion},
    {kPost, "/v2/models/*/generate_stream", kUse, kInferBody, kGenerateStream},
    {kPost, "/v2/models/*/versions/#/generate_stream", kUse, kInferBody, kGenerateStreamVersion},
    {kPost, "/v2/repository/index", kRead, kControlBody, kIndex},
    {kPost, "/v2/repository/*/index", kRead, kControlBody, kIndex},
    {kPost, "/v2/repository/models/*/load", kOperate, kLoadBody, kLoad},
    {kPost, "/v2/repository/models/*/unload", kOperate, kControlBody, kUnload},
    {kPost, "/v2/repository/*/models/*/load", kOperate, kControlBody, kNamedRepository},
    {kPost, "/v2/repository/*/models/*/unload", kOperate, kControlBody, kNamedRepository},
    {kGet, "/v2/systemsharedmemory/status", kOperate, kNoBody, kSystemStatus},
    {kGet, "/v2/systemsharedmemory/region/*/status", kOperate, kNoBody, kSystemRegionStatus},
    {kPost, "/v2/systemsharedmemory/region/*/register", kOperate, kControlBody, kSystemRegister},
    {kPost, "/v2/systemsharedmemory/register", kOperate, kControlBody, kSystemRegisterNameless},
    {kPost, "/v2/systemsharedmemory/region/*/unregister", kOperate, kControlBody, kSystemUnregister},
    {kPost, "/v2/systemsharedmemory/unregister", kOperate, kControlBody, kSystemUnregisterAll},
    {kGet, "/v2/cudasharedmemory/status", kOperate, kNoBody, kCudaStatus},
    {kGet, "/v2/cudasharedmemory/region/*/status", kOperate, kNoBody, kCudaRegionStatus},
    {kPost, "/v2/cudasharedmemory/region/*/register", kOperate, kControlBody, kCudaRegister},
    {kPost, "/v2/cudasharedmemory/register", kOperate, kControlBody, kCudaRegister},
    {kPost, "/v2/cudasharedmemory/region/*/unregister", kOperate, kControlBody, kCudaUnregister},
    {kPost, "/v2/cudasharedmemory/unregister", kOperate, kControlBody, kCudaUnregister},
    {kGet, "/v2/trace/setting", kRead, kNoBody, kTrace},
    {kPost, "/v2/trace/setting", kOperate, kControlBody, kTrace},
    {kGet, "/v2/models/*/trace/setting", kRead, kNoBody, kTraceModel},
    {kPost, "/v2/models/*/trace/setting", kOperate, kControlBody, kTraceModel},
    {kGet, "/v2/logging", kRead, kNoBody, kLogging},
    {kPost, "/v2/logging", kOperate, kControlBody, kLogging},
};

}  // namespace

std::span<const Route> Routes() { return kTable; }

}  // namespace mezzo::api::v2http
