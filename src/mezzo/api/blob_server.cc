#include "mezzo/api/blob_server.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "mezzo/api/byte_range.h"
#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::api {
namespace {

using storage::BlobFacts;
using storage::BlobKey;
using Kind = RequestedRange::Kind;

/// What a browser shows without being able to run anything in it.
bool IsShown(std::string_view content_type) {
  const std::string_view type = Trim(content_type.substr(0, content_type.find(';')));
  constexpr std::string_view kPictures[] = {"image/png", "image/jpeg", "image/webp", "image/avif",
                                            "image/gif"};
  return type.starts_with("video/") || type.starts_with("audio/") ||
         std::find(std::begin(kPictures), std::end(kPictures), type) != std::end(kPictures);
}

std::string ETag(const BlobFacts& facts) { return "\"" + facts.sha256 + "\""; }

/// A list of entity tags, or "*". Weak tags compare as strong ones, as If-None-Match asks for.
bool NamesETag(std::string_view list, std::string_view etag) {
  if (Trim(list) == "*") return true;
  for (std::string_view part : Split(list, ',')) {
    part = Trim(part);
    if (part.starts_with("W/")) part.remove_prefix(2);
    if (part == etag) return true;
  }
  return false;
}

void AddHeaders(const BlobFacts& facts, const BlobServer::Presentation& presentation,
                net::HttpResponse& response) {
  const auto fresh = std::chrono::floor<std::chrono::seconds>(presentation.fresh).count();
  auto& headers = response.headers;
  headers.emplace_back("ETag", ETag(facts));
  headers.emplace_back("Accept-Ranges", "bytes");
  headers.emplace_back("Cache-Control", "private, max-age=" + std::to_string(fresh));
  headers.emplace_back("X-Content-Type-Options", "nosniff");
  headers.emplace_back("Content-Security-Policy", "default-src 'none'; sandbox");
  if (!presentation.file_name.empty()) {
    headers.emplace_back("Content-Disposition", storage::ContentDisposition(presentation.file_name));
  } else if (!IsShown(facts.content_type)) {
    headers.emplace_back("Content-Disposition", "attachment");
  }
}

}  // namespace

/// An object on its way to a client, one of `max_downloads`.
class BlobServer::Download {
 public:
  explicit Download(BlobServer& handler) : handler_(handler) { handler_.running_.Add(1); }
  ~Download() {
    handler_.running_.Add(-1);
    handler_.downloads_.fetch_sub(1, std::memory_order_relaxed);
  }
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  void Begin(std::unique_ptr<storage::BlobReader> reader) { reader_ = std::move(reader); }

  static runtime::Task<Result<void>> Run(std::shared_ptr<Download> self, runtime::Context ctx,
                                         net::BodyWriter* out) {
    while (true) {
      const auto read = [&self, &ctx] { return self->Next(ctx); };
      MEZZO_CO_TRY(std::string piece, co_await runtime::Offload(self->handler_.ports_.pool, read));
      if (piece.empty()) co_return Result<void>();
      MEZZO_CO_TRY_VOID(co_await out->WriteText(std::move(piece)));
    }
  }

 private:
  /// Up to a piece; empty at the end.
  Result<std::string> Next(const runtime::Context& ctx) {
    if (ctx.cancelled()) return Cancelled("client_gone", "the client has left");
    std::string piece(handler_.options_.piece_bytes, '\0');
    const TimePoint deadline = handler_.ports_.clock.Now() + handler_.options_.store_timeout;
    const std::span<std::byte> space(reinterpret_cast<std::byte*>(piece.data()), piece.size());
    MEZZO_TRY(const std::size_t got, reader_->Read(space, deadline));
    piece.resize(got);
    return piece;
  }

  BlobServer& handler_;
  std::unique_ptr<storage::BlobReader> reader_;
};

struct BlobServer::Opened {
  BlobFacts facts;
  RequestedRange range;
  bool not_modified = false;
  std::unique_ptr<storage::BlobReader> reader;  ///< Null where no content is sent.
};

BlobServer::BlobServer(Options options, Ports ports)
    : options_(options),
      ports_(ports),
      running_(ports.registry.NewGauge("mezzo_api_artifact_downloads_in_flight",
                                       "Artifacts on their way to clients.")),
      refused_(ports.registry.NewCounter("mezzo_api_artifact_downloads_refused_total",
                                         "Downloads refused because too many were running.")) {}

std::shared_ptr<BlobServer::Download> BlobServer::BeginDownload() {
  if (downloads_.fetch_add(1, std::memory_order_relaxed) >= options_.max_downloads) {
    downloads_.fetch_sub(1, std::memory_order_relaxed);
    refused_.Add();
    return nullptr;
  }
  return std::make_shared<Download>(*this);
}

Result<BlobServer::Opened> BlobServer::Open(const runtime::Context& ctx, const BlobKey& key,
                                            const net::HttpRequest& request) const {
  const TimePoint deadline = std::min(ctx.deadline(), ports_.clock.Now() + options_.store_timeout);
  MEZZO_TRY(BlobFacts facts, ports_.store.Stat(key, deadline));
  Opened opened{.facts = std::move(facts), .range = {}, .not_modified = false, .reader = nullptr};
  const std::string etag = ETag(opened.facts);
  opened.not_modified = NamesETag(request.Header("If-None-Match").value_or(""), etag);
  if (opened.not_modified || request.method() == net::Method::kHead) return opened;
  if (const auto range = request.Header("Range");
      range && request.Header("If-Range").value_or(etag) == etag) {
    opened.range = ParseByteRange(*range, opened.facts.size);
  }
  if (opened.range.kind == Kind::kUnsatisfiable) return opened;
  storage::ByteRange wanted;
  if (opened.range.kind == Kind::kPart)
    wanted = {.offset = opened.range.offset, .length = opened.range.length};
  MEZZO_TRY(opened.reader, ports_.store.Read(key, wanted, deadline));
  if (opened.reader->facts().sha256 != opened.facts.sha256) {
    return Error(Code::kAborted, "blob_changed",
                 "object '" + key.text() + "' was replaced while it was opened");
  }
  return opened;
}

runtime::Task<Result<net::HttpResponse>> BlobServer::Serve(runtime::Context ctx, BlobKey key,
                                                           const net::HttpRequest* request,
                                                           Presentation presentation) {
  const std::shared_ptr<Download> download = BeginDownload();
  if (download == nullptr) {
    co_return Unavailable("artifacts_busy", "this server sends " + std::to_string(options_.max_downloads) +
                                                " artifacts already")
        .WithRetryAfter(std::chrono::seconds(1));
  }
  const auto open = [&] { return Open(ctx, key, *request); };
  MEZZO_CO_TRY(Opened opened, co_await runtime::Offload(ports_.pool, open));

  constexpr int kPartialContent = 206;
  constexpr int kNotModified = 304;
  constexpr int kRangeNotSatisfiable = 416;
  const std::string size = std::to_string(opened.facts.size);
  net::HttpResponse response;
  if (opened.range.kind == Kind::kUnsatisfiable) {
    response = presentation.refusal(
        kRangeNotSatisfiable, Error(Code::kOutOfRange, "blob_range", "the artifact has " + size + " bytes"));
    response.headers.emplace_back("Content-Range", "bytes */" + size);
    co_return response;
  }
  AddHeaders(opened.facts, presentation, response);
  if (opened.not_modified) {
    response.status = kNotModified;
    co_return response;
  }
  response.content_type = opened.facts.content_type;
  response.stream_size = opened.facts.size;
  if (opened.range.kind == Kind::kPart) {
    response.status = kPartialContent;
    response.stream_size = opened.range.length;
    response.headers.emplace_back(
        "Content-Range", "bytes " + std::to_string(opened.range.offset) + "-" +
                             std::to_string(opened.range.offset + opened.range.length - 1) + "/" + size);
  }
  if (opened.reader != nullptr) download->Begin(std::move(opened.reader));
  response.stream = [download](runtime::Context stream_ctx, net::BodyWriter* out) {
    return Download::Run(download, std::move(stream_ctx), out);
  };
  co_return response;
}

}  // namespace mezzo::api
