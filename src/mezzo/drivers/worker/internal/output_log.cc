#include "mezzo/drivers/worker/internal/output_log.h"

#include "mezzo/base/strings.h"

namespace mezzo::drivers {

void OutputLog::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (line_.size() < kMaxLine) line_.append(part.substr(0, kMaxLine - line_.size()));
    if (end == std::string_view::npos) return;
    EndLine();
    bytes.remove_prefix(end + 1);
  }
}

void OutputLog::EndLine() {
  if (!Trim(line_).empty()) {
    Line(observe::LogLevel::kInfo, line_);
    last_.push_back(Printable(line_, 256));
    if (last_.size() > kRemembered) last_.pop_front();
  }
  line_.clear();
}

void OutputLog::Line(observe::LogLevel level, std::string_view text) {
  if (log_ == nullptr || !log_->enabled(level)) return;
  const TimePoint now = clock_.Now();
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    lines_ = 0;
    if (suppressed_ > 0) {
      log_->Warn("worker lines were held back", {{"model", model_}, {"lines", suppressed_}});
      suppressed_ = 0;
    }
  }
  if (++lines_ > kLinesPerSecond) {
    ++suppressed_;
    return;
  }
  log_->Log(level, "worker says",
            {{"model", model_}, {"instance", instance_}, {"text", text.substr(0, kMaxLine)}});
}

std::string OutputLog::LastLines() const {
  std::string lines;
  for (const std::string& line : last_) lines += (lines.empty() ? "" : " | ") + line;
  return lines;
}

void OutputLog::Restart() {
  line_.clear();
  last_.clear();
}

}  // namespace mezzo::drivers
