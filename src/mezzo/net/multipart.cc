#include "mezzo/net/multipart.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::net {
namespace {

constexpr std::string_view kFormData = "multipart/form-data";
constexpr std::size_t kMaxBoundary = 70;
constexpr std::string_view kLineEnd = "\r\n";

Error Malformed(const std::string& what) {
  return InvalidArgument("form_malformed", "the form can't be read: " + what);
}

/// A header's value in pieces: "form-data; name=\"a\"; filename=b" is a first word and parameters.
class ValueReader {
 public:
  explicit ValueReader(std::string_view text) : rest_(text) {}

  std::string_view First() {
    const std::size_t end = std::min(rest_.find(';'), rest_.size());
    const std::string_view word = Trim(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return word;
  }
  /// The next parameter; false at the end. Fails on what is none.
  Result<bool> Next(std::string* name, std::string* value) {
    rest_ = Trim(rest_);
    if (rest_.empty()) return false;
    if (rest_.front() != ';') return Malformed("a header's parameter does not begin with ';'");
    rest_ = Trim(rest_.substr(1));
    if (rest_.empty()) return false;
    const std::size_t equals = rest_.find('=');
    if (equals == std::string_view::npos) return Malformed("a header's parameter has no '='");
    *name = ToLower(Trim(rest_.substr(0, equals)));
    rest_ = Trim(rest_.substr(equals + 1));
    value->clear();
    if (rest_.starts_with('"')) return Quoted(value);
    const std::size_t end = std::min(rest_.find(';'), rest_.size());
    *value = Trim(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return true;
  }

 private:
  Result<bool> Quoted(std::string* value) {
    for (std::size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == '"') {
        rest_.remove_prefix(i + 1);
        return true;
      }
      // Only these two are escaped: some browsers send a bare backslash in file names.
      const bool escape =
          rest_[i] == '\\' && i + 1 < rest_.size() && (rest_[i + 1] == '"' || rest_[i + 1] == '\\');
      if (escape) ++i;
      *value += rest_[i];
    }
    return Malformed("a quoted parameter does not end");
  }

  std::string_view rest_;
};

Result<std::string> BoundaryOf(std::string_view content_type) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'()+_,-./:=? ";
  ValueReader reader(content_type);
  if (!EqualsIgnoreCase(reader.First(), kFormData)) {
    return Malformed("its type is '" + Printable(content_type) + "' instead of " + std::string(kFormData));
  }
  std::string name;
  std::string boundary;
  while (true) {
    MEZZO_TRY(const bool more, reader.Next(&name, &boundary));
    if (!more) return Malformed("its type names no boundary");
    if (name == "boundary") break;
  }
  if (boundary.empty() || boundary.size() > kMaxBoundary || boundary.back() == ' ' ||
      boundary.find_first_not_of(kAllowed) != std::string::npos) {
    return Malformed("'" + Printable(boundary) + "' is no boundary");
  }
  return boundary;
}

/// Reads the headers of a part, each line with its end.
Result<FormPart> ReadHeaders(std::string_view text, std::size_t number) {
  const std::string where = "part " + std::to_string(number);
  FormPart part;
  bool described = false;
  while (!text.empty()) {
    const std::size_t end = text.find(kLineEnd);
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + kLineEnd.size());
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return Malformed("a header of " + where + " has no ':'");
    const std::string_view name = Trim(line.substr(0, colon));
    const std::string_view value = Trim(line.substr(colon + 1));
    if (EqualsIgnoreCase(name, "Content-Disposition")) {
      if (std::exchange(described, true)) return Malformed(where + " has two Content-Dispositions");
      ValueReader reader(value);
      if (!EqualsIgnoreCase(reader.First(), "form-data")) return Malformed(where + " is no form-data");
      std::string parameter;
      std::string content;
      while (true) {
        MEZZO_TRY(const bool more, reader.Next(&parameter, &content));
        if (!more) break;
        if (parameter == "name") part.name = content;
        if (parameter == "filename") part.file_name = content;
      }
    } else if (EqualsIgnoreCase(name, "Content-Type")) {
      part.content_type = Trim(value.substr(0, value.find(';')));
    } else if (EqualsIgnoreCase(name, "Content-Transfer-Encoding")) {
      if (!EqualsIgnoreCase(value, "binary") && !EqualsIgnoreCase(value, "8bit") &&
          !EqualsIgnoreCase(value, "7bit")) {
        return Malformed(where + " has the transfer encoding '" + Printable(value) + "'");
      }
    }
  }
  if (part.name.empty()) return Malformed(where + " has no name");
  return part;
}

}  // namespace

bool IsFormData(std::string_view content_type) {
  return EqualsIgnoreCase(Trim(content_type.substr(0, content_type.find(';'))), kFormData);
}

Result<std::vector<FormPart>> ParseFormData(std::string_view content_type, std::string_view body,
                                            const FormLimits& limits) {
  MEZZO_TRY(const std::string boundary, BoundaryOf(content_type));
  const std::string delimiter = "\r\n--" + boundary;
  std::vector<FormPart> parts;
  // The first delimiter's line break belongs to the headers of the request.
  if (body.starts_with(kLineEnd)) body.remove_prefix(kLineEnd.size());
  if (!body.starts_with(std::string_view(delimiter).substr(kLineEnd.size()))) {
    return Malformed("it does not begin with its boundary");
  }
  body.remove_prefix(delimiter.size() - kLineEnd.size());
  while (!body.starts_with("--")) {
    const std::size_t padding = std::min(body.find_first_not_of(" \t"), body.size());
    body.remove_prefix(padding);
    if (!body.starts_with(kLineEnd)) return Malformed("a boundary is not followed by a line's end");
    if (parts.size() == limits.max_parts) {
      return InvalidArgument("form_too_many_parts",
                             "the form has more than " + std::to_string(limits.max_parts) + " parts");
    }
    // The line's end before the headers stays, so that a part without headers has its empty line, too.
    const std::size_t head = body.substr(0, limits.max_header_bytes).find("\r\n\r\n");
    if (head == std::string_view::npos) {
      return Malformed("the headers of part " + std::to_string(parts.size() + 1) + " do not end within " +
                       std::to_string(limits.max_header_bytes) + " bytes");
    }
    MEZZO_TRY(FormPart part, ReadHeaders(body.substr(kLineEnd.size(), head), parts.size() + 1));
    // Its last line break may be that of the next boundary: an empty content.
    body.remove_prefix(head + kLineEnd.size());
    const std::size_t end = body.find(delimiter);
    if (end == std::string_view::npos) return Malformed("its last boundary is missing");
    part.content = end == 0 ? std::string_view() : body.substr(kLineEnd.size(), end - kLineEnd.size());
    parts.push_back(std::move(part));
    body.remove_prefix(end + delimiter.size());
  }
  return parts;
}

}  // namespace mezzo::net
