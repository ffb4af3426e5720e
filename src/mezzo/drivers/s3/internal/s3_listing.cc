#include "mezzo/drivers/s3/internal/s3_listing.h"

#include "mezzo/base/strings.h"
#include "mezzo/drivers/s3/internal/xml.h"

namespace mezzo::drivers::internal {
namespace {

Error BadList(std::string_view what) {
  return Internal("blob_answer_invalid", "the object store's list has " + std::string(what));
}

}  // namespace

Result<ListedKeys> ListKeys(S3Transport& transport, const std::string& prefix, const std::string& after,
                            std::size_t limit, TimePoint deadline) {
  S3Request request{.operation = "list_objects",
                    .method = "GET",
                    .query = {{"list-type", "2"}, {"prefix", prefix}, {"max-keys", std::to_string(limit)}}};
  if (!after.empty()) request.query.emplace_back("start-after", after);
  MEZZO_TRY(const net::ClientResponse response, transport.Send(request, deadline));
  MEZZO_TRY(const XmlNode root, ParseXml(response.body));
  if (root.name != "ListBucketResult") return BadList("another root element");
  ListedKeys listed{.keys = {}, .more = root.ChildText("IsTruncated") == "true"};
  for (const XmlNode& node : root.children) {
    if (node.name != "Contents") continue;
    const auto size = ParseUint(node.ChildText("Size"));
    std::string key(node.ChildText("Key"));
    if (!size || !key.starts_with(prefix))
      return BadList("an entry without a size, or outside of its prefix");
    // A page that does not go on would be asked for again for ever.
    if (key <= (listed.keys.empty() ? after : listed.keys.back().key)) return BadList("keys out of order");
    listed.keys.push_back({.key = std::move(key), .size = *size});
  }
  if (listed.more && listed.keys.empty()) return BadList("no entry, and says that there are more");
  return listed;
}

}  // namespace mezzo::drivers::internal
