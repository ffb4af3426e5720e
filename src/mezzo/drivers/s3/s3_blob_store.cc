#include "mezzo/drivers/s3/s3_blob_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "mezzo/base/checked.h"
#include "mezzo/base/strings.h"
#include "mezzo/drivers/s3/internal/hour_marks.h"
#include "mezzo/drivers/s3/internal/object_headers.h"
#include "mezzo/drivers/s3/internal/s3_listing.h"
#include "mezzo/drivers/s3/internal/s3_transport.h"
#include "mezzo/drivers/s3/internal/spool.h"
#include "mezzo/drivers/s3/internal/upload.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::drivers {

using internal::HourMarks;
using internal::S3Request;
using internal::S3Transport;
using storage::BlobFacts;
using storage::BlobKey;
using storage::BlobReader;
using storage::BlobWriter;
using storage::ByteSpan;
using storage::CheckDeadline;

namespace {

constexpr int kPartialContent = 206;
/// A mark without a matching object may belong to a write that has not ended, which takes less than this.
constexpr std::chrono::hours kStaleAfter{24};

std::string RangeHeader(ByteCount offset, ByteCount length) {
  return "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + length - 1);
}

bool IsMissing(const Error& error) { return error.code() == Code::kNotFound; }

}  // namespace

class S3BlobStore::State {
 public:
  State(S3Options store_options, const Clock& store_clock, observe::Registry& registry)
      : options(std::move(store_options)),
        clock(store_clock),
        transport(options, clock, registry),
        expiry(transport, options.prefix + "expiry/"),
        uploads(transport, options.prefix + "uploads/") {}

  const S3Options options;
  const Clock& clock;
  S3Transport transport;
  HourMarks expiry;   ///< Which objects expire in which hour, by their keys.
  HourMarks uploads;  ///< Uploads in parts that have not ended, by the hour in which they began.

  [[nodiscard]] std::string ObjectsPrefix() const { return options.prefix + "objects/"; }
  [[nodiscard]] std::string ObjectKey(const BlobKey& key) const { return ObjectsPrefix() + key.text(); }
  Result<BlobFacts> Head(const BlobKey& key, TimePoint deadline) {
    const S3Request request{.operation = "head_object", .method = "HEAD", .key = ObjectKey(key)};
    MEZZO_TRY(const net::ClientResponse response, transport.Send(request, deadline));
    const auto size = ParseUint(response.Header("content-length"));
    if (!size)
      return Internal("blob_answer_invalid", "the object store did not say how long '" + key.text() + "' is");
    return internal::FactsOf(key, *size, response, options.archive_class);
  }
  /// A part of an object, `length` bytes at most; with an ETag only of that content.
  Result<net::ClientResponse> Get(const BlobKey& key, ByteCount offset, ByteCount length,
                                  const std::string& etag, TimePoint deadline) {
    S3Request request{.operation = "get_object",
                      .method = "GET",
                      .key = ObjectKey(key),
                      .headers = {{"range", RangeHeader(offset, length)}}};
    if (!etag.empty()) request.headers.emplace_back("if-match", "\"" + etag + "\"");
    request.answer_bytes = length;
    MEZZO_TRY(net::ClientResponse response, transport.Send(request, deadline));
    if (response.status != kPartialContent) {
      return Internal("blob_answer_invalid", "the object store answered a range with the whole object");
    }
    return response;
  }
  Result<void> Remove(const std::string& bucket_key, TimePoint deadline) {
    const S3Request request{.operation = "delete_object", .method = "DELETE", .key = bucket_key};
    const auto response = transport.Send(request, deadline);
    if (!response.ok() && !IsMissing(response.error())) return response.error();
    return {};
  }
  /// Removes the object, and its mark, if it has expired; only the mark if that is stale. True for the first.
  Result<bool> SweepMark(const BlobKey& key, WallTime hour, WallTime now, TimePoint deadline);
};

class S3BlobStore::Writer final : public BlobWriter {
 public:
  Writer(State& state, BlobKey key, storage::BlobWriteOptions options)
      : state_(state),
        key_(std::move(key)),
        options_(std::move(options)),
        spool_(state.options.spool_folder, state.options.spool_memory_bytes) {}

  Result<void> Append(BytesView bytes, TimePoint deadline) override {
    if (std::exchange(closed_, true)) return storage::BlobWriterClosed();
    MEZZO_TRY_VOID(CheckDeadline(state_.clock, deadline));
    const ByteCount limit = state_.options.max_object_bytes;
    if (bytes.size() > limit - spool_.size()) return storage::BlobTooLarge(key_, limit);
    MEZZO_TRY_VOID(spool_.Append(bytes));
    sha_.Update(bytes);
    closed_ = false;
    return {};
  }

  Result<BlobFacts> Commit(TimePoint deadline) override {
    if (std::exchange(closed_, true)) return storage::BlobWriterClosed();
    BlobFacts facts{.key = key_,
                    .size = spool_.size(),
                    .sha256 = HexEncode(sha_.Finish()),
                    .content_type = std::move(options_.content_type),
                    .etag = "",
                    .stored_at = options_.stored_at.value_or(state_.clock.WallNow()),
                    .expires_at = options_.expires_at};
    // A mark without an object costs one look of a sweep; an object without a mark would stay for ever.
    if (facts.expires_at) MEZZO_TRY_VOID(state_.expiry.Put(*facts.expires_at, key_.text(), "", deadline));
    internal::Upload upload(state_.transport, state_.uploads, state_.options, state_.clock, spool_);
    MEZZO_TRY(facts.etag, upload.Send(state_.ObjectKey(key_), facts, deadline));
    return facts;
  }

 private:
  State& state_;
  const BlobKey key_;
  storage::BlobWriteOptions options_;
  internal::Spool spool_;
  Sha256 sha_;
  bool closed_ = false;
};

class S3BlobStore::Reader final : public BlobReader {
 public:
  /// `buffer` is the beginning of the span.
  Reader(State& state, BlobFacts facts, ByteSpan span, std::string buffer)
      : state_(state),
        facts_(std::move(facts)),
        span_(span),
        verifier_(facts_, span),
        buffer_(std::move(buffer)) {}

  [[nodiscard]] const BlobFacts& facts() const override { return facts_; }

  Result<std::size_t> Read(std::span<std::byte> into, TimePoint deadline) override {
    MEZZO_TRY_VOID(CheckDeadline(state_.clock, deadline));
    if (into.empty()) return std::size_t{0};
    if (used_ == buffer_.size()) {
      if (done_ == span_.length) {
        if (!std::exchange(verified_, true)) MEZZO_TRY_VOID(verifier_.Finish(facts_));
        return std::size_t{0};
      }
      MEZZO_TRY_VOID(Fill(deadline));
    }
    const BytesView from = AsBytes(buffer_).subspan(used_, std::min(into.size(), buffer_.size() - used_));
    std::copy(from.begin(), from.end(), into.begin());
    verifier_.Update(from);
    used_ += from.size();
    done_ += from.size();
    return from.size();
  }

 private:
  Result<void> Fill(TimePoint deadline) {
    const ByteCount wanted = std::min<ByteCount>(state_.options.read_bytes, span_.length - done_);
    auto response = state_.Get(facts_.key, span_.offset + done_, wanted, facts_.etag, deadline);
    if (!response.ok() && (IsMissing(response.error()) || response.error().code() == Code::kOutOfRange)) {
      return Error(Code::kAborted, "blob_changed",
                   "object '" + facts_.key.text() + "' was replaced while it was read");
    }
    MEZZO_TRY_VOID(response);
    if (response->body.size() != wanted)
      return storage::BlobCorrupt(facts_.key, "the store gave less than it has");
    buffer_ = std::move(response->body);
    used_ = 0;
    return {};
  }

  State& state_;
  const BlobFacts facts_;
  const ByteSpan span_;
  storage::ContentVerifier verifier_;
  std::string buffer_;
  std::size_t used_ = 0;  ///< Of the buffer.
  ByteCount done_ = 0;    ///< Of the span.
  bool verified_ = false;
};

S3BlobStore::S3BlobStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
S3BlobStore::~S3BlobStore() = default;

Result<std::unique_ptr<S3BlobStore>> S3BlobStore::Create(S3Options options, const Clock& clock,
                                                         observe::Registry& registry) {
  MEZZO_TRY_VOID(CheckS3Options(options));
  auto state = std::make_unique<State>(std::move(options), clock, registry);
  return std::unique_ptr<S3BlobStore>(new S3BlobStore(std::move(state)));  // A private constructor.
}

Result<std::unique_ptr<BlobWriter>> S3BlobStore::Write(const BlobKey& key, storage::BlobWriteOptions options,
                                                       TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock, deadline));
  MEZZO_TRY_VOID(storage::CheckContentType(options.content_type));
  return std::unique_ptr<BlobWriter>(std::make_unique<Writer>(*state_, key, std::move(options)));
}

Result<std::unique_ptr<BlobReader>> S3BlobStore::Read(const BlobKey& key, storage::ByteRange range,
                                                      TimePoint deadline) {
  const ByteCount first = std::min<ByteCount>(range.length.value_or(UINT64_MAX), state_->options.read_bytes);
  if (first > 0 && CheckedAdd(range.offset, first)) {
    auto response = state_->Get(key, range.offset, first, "", deadline);
    if (response.ok()) {
      MEZZO_TRY(const ByteCount size, internal::TotalOf(response->Header("content-range")));
      MEZZO_TRY(BlobFacts facts, internal::FactsOf(key, size, *response, state_->options.archive_class));
      MEZZO_TRY(const ByteSpan span, storage::ResolveRange(key, range, size));
      if (response->body.size() != std::min(first, span.length)) {
        return storage::BlobCorrupt(key, "the store gave less than it has");
      }
      return std::unique_ptr<BlobReader>(
          std::make_unique<Reader>(*state_, std::move(facts), span, std::move(response->body)));
    }
    if (IsMissing(response.error())) return storage::BlobMissing(key);
    if (response.error().code() != Code::kOutOfRange) return std::move(response).error();
  }
  // Nothing to give: an empty object or an empty range, or one behind the end.
  MEZZO_TRY(BlobFacts facts, Stat(key, deadline));
  MEZZO_TRY(const ByteSpan span, storage::ResolveRange(key, range, facts.size));
  return std::unique_ptr<BlobReader>(std::make_unique<Reader>(*state_, std::move(facts), span, ""));
}

Result<BlobFacts> S3BlobStore::Stat(const BlobKey& key, TimePoint deadline) {
  auto facts = state_->Head(key, deadline);
  if (!facts.ok() && IsMissing(facts.error())) return storage::BlobMissing(key);
  return facts;
}

Result<void> S3BlobStore::Delete(const BlobKey& key, TimePoint deadline) {
  return state_->Remove(state_->ObjectKey(key), deadline);
}

Result<storage::BlobPage> S3BlobStore::List(const storage::BlobPrefix& prefix, const std::string& after,
                                            std::size_t limit, TimePoint deadline) {
  MEZZO_TRY_VOID(storage::CheckListArguments(after, limit));
  const std::string objects = state_->ObjectsPrefix();
  const bool inside = after.starts_with(prefix.text());
  storage::BlobPage page{.entries = {}, .more = inside || after < prefix.text()};
  std::string behind = inside && !after.empty() ? objects + after : "";
  while (page.more && page.entries.size() < limit) {
    MEZZO_TRY(const auto listed, internal::ListKeys(state_->transport, objects + prefix.text(), behind,
                                                    limit - page.entries.size(), deadline));
    for (const internal::ListedKey& found : listed.keys) {
      auto key = BlobKey::Parse(std::string_view(found.key).substr(objects.size()));
      // What is no key of ours was put there by somebody else.
      if (key.ok()) page.entries.push_back({.key = *std::move(key), .size = found.size});
      behind = found.key;
    }
    page.more = listed.more;
  }
  return page;
}

Result<std::string> S3BlobStore::SignUrl(const BlobKey& key, const storage::BlobUrlOptions& options) {
  MEZZO_TRY_VOID(storage::CheckUrlOptions(options));
  internal::TextPairs query;
  if (!options.file_name.empty()) {
    query.emplace_back("response-content-disposition", storage::ContentDisposition(options.file_name));
  }
  return state_->transport.PresignGet(state_->ObjectKey(key), std::move(query), options.lifetime);
}

Result<void> S3BlobStore::Archive(const BlobKey& key, TimePoint deadline) {
  MEZZO_TRY(const BlobFacts facts, Stat(key, deadline));
  if (facts.archived) return {};
  const std::string object_key = state_->ObjectKey(key);
  S3Request request{
      .operation = "copy_object", .method = "PUT", .key = object_key, .headers = internal::HeadersOf(facts)};
  request.headers.emplace_back("x-amz-copy-source", state_->transport.CopySource(object_key));
  request.headers.emplace_back("x-amz-copy-source-if-match", "\"" + facts.etag + "\"");
  request.headers.emplace_back("x-amz-metadata-directive", "REPLACE");
  request.headers.emplace_back("x-amz-storage-class", state_->options.archive_class);
  request.answer_bytes = facts.size;  // The store copies them before it answers.
  const auto response = state_->transport.Send(request, deadline);
  if (!response.ok()) return IsMissing(response.error()) ? storage::BlobMissing(key) : response.error();
  return {};
}

Result<bool> S3BlobStore::State::SweepMark(const BlobKey& key, WallTime hour, WallTime now,
                                           TimePoint deadline) {
  const auto facts = Head(key, deadline);
  // An object without facts is not ours to remove.
  if (!facts.ok() && !IsMissing(facts.error()) && facts.error().code() != Code::kDataLoss)
    return facts.error();
  const bool expired = facts.ok() && facts->expires_at && *facts->expires_at <= now;
  const bool stale = hour < HourMarks::HourOf(now - kStaleAfter);
  if (expired) MEZZO_TRY_VOID(Remove(ObjectKey(key), deadline));
  if (expired || stale) MEZZO_TRY_VOID(expiry.Remove(hour, key.text(), deadline));
  return expired;
}

Result<storage::BlobSweep> S3BlobStore::SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) {
  storage::BlobSweep sweep;
  const auto visit = [&](WallTime hour, const std::string& name) -> Result<bool> {
    const auto key = BlobKey::Parse(name);
    if (!key.ok()) return true;
    sweep.more = sweep.removed >= std::max<std::size_t>(1, limit);
    if (sweep.more) return false;
    MEZZO_TRY(const bool removed, state_->SweepMark(*key, hour, now, deadline));
    sweep.removed += removed ? 1 : 0;
    return true;
  };
  MEZZO_TRY_VOID(state_->expiry.ForEach(now, deadline, visit));
  MEZZO_TRY_VOID(internal::EndAbandonedUploads(state_->transport, state_->uploads,
                                               now - state_->options.abandoned_after, deadline));
  return sweep;
}

}  // namespace mezzo::drivers
