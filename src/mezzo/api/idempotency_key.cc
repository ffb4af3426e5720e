#include "mezzo/api/idempotency_key.h"

#include "mezzo/base/strings.h"

namespace mezzo::api {

Result<std::string> ParseIdempotencyKey(std::string_view value) {
  constexpr std::size_t kLongest = 255;
  std::string_view key = Trim(value);
  if (key.size() >= 2 && key.front() == '"' && key.back() == '"') key = key.substr(1, key.size() - 2);
  bool printable = true;
  for (const char c : key) printable = printable && c >= 0x20 && c < 0x7f;
  if (key.empty() || key.size() > kLongest || !printable) {
    return InvalidArgument("idempotency_key", "Idempotency-Key must have 1 to " + std::to_string(kLongest) +
                                                  " printable ASCII characters, got '" + Printable(value) +
                                                  "'");
  }
  return std::string(key);
}

}  // namespace mezzo::api
