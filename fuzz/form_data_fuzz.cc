// What anybody may send as a form: parts that are read lie in the body, in order, and writing them again
// gives the same form.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/net/multipart.h"

namespace {

using mezzo::net::FormPart;
using mezzo::net::ParseFormData;

constexpr std::string_view kType = "multipart/form-data; boundary=";

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace

/// The first line of the input is the boundary, the rest the body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = text.find('\n');
  if (line == std::string_view::npos) return 0;
  const std::string type = std::string(kType) + Quoted(text.substr(0, line));
  const std::string_view body = text.substr(line + 1);
  const auto parts = ParseFormData(type, body);
  if (!parts.ok()) {
    MEZZO_CHECK(parts.error().reason() == "form_malformed" ||
                parts.error().reason() == "form_too_many_parts");
    return 0;
  }
  const std::string boundary(text.substr(0, line));
  std::string again;
  const char* last = body.data();
  for (const FormPart& part : *parts) {
    if (!part.content.empty()) {
      MEZZO_CHECK(part.content.data() >= last && part.content.end() <= body.end());
      last = part.content.data() + part.content.size();
    }
    again += "--" + boundary + "\r\nContent-Disposition: form-data; name=" + Quoted(part.name) +
             "; filename=" + Quoted(part.file_name) + "\r\n\r\n" + std::string(part.content) + "\r\n";
  }
  again += "--" + boundary + "--";
  const auto read = ParseFormData(type, again);
  if (!read.ok()) return 0;  // Names that the headers' limit does not hold any more, once quoted.
  MEZZO_CHECK(read->size() == parts->size());
  for (std::size_t i = 0; i < read->size(); ++i) {
    MEZZO_CHECK((*read)[i].name == (*parts)[i].name && (*read)[i].content == (*parts)[i].content);
  }
  return 0;
}
