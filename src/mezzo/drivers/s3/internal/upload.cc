#include "mezzo/drivers/s3/internal/upload.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/drivers/s3/internal/object_headers.h"
#include "mezzo/drivers/s3/internal/xml.h"

namespace mezzo::drivers::internal {
namespace {

/// Cleaning up after an upload may take this much more than the caller's time.
constexpr Duration kCleanUpTime = std::chrono::seconds(3);

/// The form in which S3's checksum headers want a digest.
std::string Base64OfHex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  }
  return Base64Encode(bytes);
}

/// Frees what an upload takes in the store. No error when there is none.
Result<void> AbortUpload(S3Transport& transport, const std::string& object_key, const std::string& upload_id,
                         TimePoint deadline) {
  const S3Request request{
      .operation = "abort_upload", .method = "DELETE", .key = object_key, .query = {{"uploadId", upload_id}}};
  const auto response = transport.Send(request, deadline);
  if (!response.ok() && response.error().code() != Code::kNotFound) return response.error();
  return {};
}

/// "There is no such upload" is not "there is no such object".
Error UploadFailure(Error error) {
  if (error.code() != Code::kNotFound) return error;
  return Unavailable("blob_store_unavailable", "the object store has ended the upload: " + error.message());
}

}  // namespace

Result<std::string> Upload::Send(const std::string& object_key, const storage::BlobFacts& facts,
                                 TimePoint deadline) {
  if (spool_.size() <= options_.multipart_threshold) return SendWhole(object_key, facts, deadline);
  return SendInParts(object_key, facts, deadline);
}

TextPairs Upload::ObjectHeaders(const storage::BlobFacts& facts) const {
  TextPairs headers = HeadersOf(facts);
  if (!options_.storage_class.empty()) headers.emplace_back("x-amz-storage-class", options_.storage_class);
  return headers;
}

Result<std::string> Upload::SendWhole(const std::string& object_key, const storage::BlobFacts& facts,
                                      TimePoint deadline) {
  SpoolPart whole(spool_, 0, spool_.size());
  S3Request request{
      .operation = "put_object", .method = "PUT", .key = object_key, .headers = ObjectHeaders(facts)};
  request.headers.emplace_back("x-amz-checksum-sha256", Base64OfHex(facts.sha256));
  request.upload = &whole;
  request.payload_sha256 = facts.sha256;
  MEZZO_TRY(const net::ClientResponse response, transport_.Send(request, deadline));
  return Unquoted(response.Header("etag"));
}

Result<std::string> Upload::SendInParts(const std::string& object_key, const storage::BlobFacts& facts,
                                        TimePoint deadline) {
  MEZZO_TRY(const std::string upload_id, Begin(object_key, facts, deadline));
  const WallTime began = clock_.WallNow();
  const std::string mark = NewUuidV7(began);
  const auto send = [&]() -> Result<std::string> {
    MEZZO_TRY_VOID(marks_.Put(began, mark, object_key + "\n" + upload_id, deadline));
    std::vector<Part> parts;
    for (ByteCount offset = 0; offset < spool_.size(); offset += options_.part_bytes) {
      MEZZO_TRY(Part part, SendPart(object_key, upload_id, parts.size() + 1, deadline));
      parts.push_back(std::move(part));
    }
    return Complete(object_key, upload_id, parts, facts, deadline);
  };
  auto etag = send();
  // What this can't clean up, SweepExpired() will; the outcome for the caller is known.
  const TimePoint soon = clock_.Now() + kCleanUpTime;
  if (etag.ok() || AbortUpload(transport_, object_key, upload_id, soon).ok())
    (void)marks_.Remove(began, mark, soon);
  if (etag.ok()) return etag;
  return UploadFailure(std::move(etag).error());
}

Result<std::string> Upload::Begin(const std::string& object_key, const storage::BlobFacts& facts,
                                  TimePoint deadline) {
  S3Request request{.operation = "create_upload",
                    .method = "POST",
                    .key = object_key,
                    .query = {{"uploads", ""}},
                    .headers = ObjectHeaders(facts)};
  request.headers.emplace_back("x-amz-checksum-algorithm", "SHA256");
  MEZZO_TRY(const net::ClientResponse response, transport_.Send(request, deadline));
  MEZZO_TRY(const XmlNode root, ParseXml(response.body));
  std::string upload_id(root.ChildText("UploadId"));
  if (upload_id.empty())
    return Internal("blob_answer_invalid", "the object store began an upload without an id");
  return upload_id;
}

Result<Upload::Part> Upload::SendPart(const std::string& object_key, const std::string& upload_id,
                                      std::size_t number, TimePoint deadline) {
  const ByteCount offset = (number - 1) * options_.part_bytes;
  SpoolPart part(spool_, offset, std::min<ByteCount>(options_.part_bytes, spool_.size() - offset));
  MEZZO_TRY(const std::string sha256, part.Sha256Digits());
  std::string checksum = Base64OfHex(sha256);
  S3Request request{.operation = "upload_part",
                    .method = "PUT",
                    .key = object_key,
                    .query = {{"partNumber", std::to_string(number)}, {"uploadId", upload_id}},
                    .headers = {{"x-amz-checksum-sha256", checksum}}};
  request.upload = &part;
  request.payload_sha256 = sha256;
  MEZZO_TRY(const net::ClientResponse response, transport_.Send(request, deadline));
  return Part{.etag = std::string(response.Header("etag")), .checksum = std::move(checksum)};
}

Result<std::string> Upload::Complete(const std::string& object_key, const std::string& upload_id,
                                     const std::vector<Part>& parts, const storage::BlobFacts& facts,
                                     TimePoint deadline) {
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    body += "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" + EscapeXml(parts[i].etag) +
            "</ETag><ChecksumSHA256>" + parts[i].checksum + "</ChecksumSHA256></Part>";
  }
  body += "</CompleteMultipartUpload>";
  const S3Request request{.operation = "complete_upload",
                          .method = "POST",
                          .key = object_key,
                          .query = {{"uploadId", upload_id}},
                          .headers = {{"content-type", "application/xml"}},
                          .body = std::move(body)};
  const auto response = transport_.Send(request, deadline);
  if (response.ok()) {
    MEZZO_TRY(const XmlNode root, ParseXml(response->body));
    return Unquoted(root.ChildText("ETag"));
  }
  if (response.error().code() != Code::kNotFound) return response.error();
  // There is no such upload: perhaps an attempt whose answer was lost has completed it.
  const S3Request look{.operation = "head_object", .method = "HEAD", .key = object_key};
  const auto head = transport_.Send(look, deadline);
  if (!head.ok()) return response.error();
  const auto there = FactsOf(facts.key, facts.size, *head, options_.archive_class);
  if (!there.ok() || there->sha256 != facts.sha256 || there->stored_at != facts.stored_at)
    return response.error();
  return there->etag;
}

Result<void> EndAbandonedUploads(S3Transport& transport, HourMarks& marks, WallTime began_before,
                                 TimePoint deadline) {
  // The hour of a mark began before its upload did.
  const WallTime until = HourMarks::HourOf(began_before) - std::chrono::hours(1);
  return marks.ForEach(until, deadline, [&](WallTime hour, const std::string& name) -> Result<bool> {
    const auto body = marks.Get(hour, name, deadline);
    if (!body.ok() && body.error().code() == Code::kNotFound) return true;  // It ended just now.
    if (!body.ok()) return body.error();
    const std::size_t line_end = body->find('\n');
    if (line_end != std::string::npos) {
      MEZZO_TRY_VOID(AbortUpload(transport, body->substr(0, line_end), body->substr(line_end + 1), deadline));
    }
    MEZZO_TRY_VOID(marks.Remove(hour, name, deadline));
    return true;
  });
}

}  // namespace mezzo::drivers::internal
