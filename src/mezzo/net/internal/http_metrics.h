#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "mezzo/observe/metrics.h"

namespace mezzo::net {

enum class Refusal : std::uint8_t {
  kConnectionLimit,
  kPeerLimit,
  kFileDescriptors,
  kProtocol,
  kTimeout,
  kBytesInFlight
};

/// What a server counts. Thread-safe.
class HttpMetrics {
 public:
  HttpMetrics(observe::Registry& registry, std::string_view listener);

  void Refused(Refusal reason) { refused_.at(static_cast<std::size_t>(reason))->Add(); }
  void Answered(int status) {
    answered_.at(status >= 100 && status < 600 ? static_cast<std::size_t>(status / 100) : 5)->Add();
  }

  observe::Gauge& open;
  observe::Counter& accepted;
  observe::Counter& received_bytes;
  observe::Counter& sent_bytes;
  observe::Counter& disconnected;    ///< Clients that left while their request ran.
  observe::Histogram& read_seconds;  ///< First byte of a request to its end.

 private:
  std::array<observe::Counter*, 6> answered_{};
  std::array<observe::Counter*, 6> refused_{};
};

}  // namespace mezzo::net
