#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/observe/log.h"

namespace mezzo::drivers {

/// What a worker says, on its way to the log: lines of its output and of its logger, so many per second at
/// most. Remembers the last lines of the output. Not thread-safe.
class OutputLog {
 public:
  static constexpr std::size_t kMaxLine = 1024;
  static constexpr std::size_t kRemembered = 12;
  static constexpr std::uint32_t kLinesPerSecond = 50;

  /// `log`, which may be null, and `clock` outlive it. `model` names the source.
  OutputLog(observe::Logger* log, const Clock& clock, std::string model, std::size_t instance)
      : log_(log), clock_(clock), model_(std::move(model)), instance_(instance) {}

  /// Bytes of the output; lines longer than kMaxLine are cut.
  void Feed(std::string_view bytes);
  /// A line of the model's logger.
  void Line(observe::LogLevel level, std::string_view text);
  /// The last lines of the output, "|" between them; a new process begins with none.
  [[nodiscard]] std::string LastLines() const;
  void Restart();

 private:
  void EndLine();

  observe::Logger* const log_;
  const Clock& clock_;
  const std::string model_;
  const std::size_t instance_;
  std::string line_;
  std::deque<std::string> last_;
  TimePoint second_{};
  std::uint32_t lines_ = 0;
  std::uint64_t suppressed_ = 0;
};

}  // namespace mezzo::drivers
