#include "mezzo/app/cli/terminal.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace mezzo::app::cli {

TerminalSize SizeOfTerminal() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {.columns = size.ws_col, .lines = size.ws_row};
}

FullScreen::FullScreen() {
  if (::tcgetattr(STDIN_FILENO, &before_) == 0) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    changed_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  std::fputs("\x1b[?1049h\x1b[?25l", stdout);
  std::fflush(stdout);
}

FullScreen::~FullScreen() {
  std::fputs("\x1b[?25h\x1b[?1049l", stdout);
  std::fflush(stdout);
  if (changed_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

void FullScreen::Show(std::string_view frame) {
  std::string out = "\x1b[H";
  while (!frame.empty()) {
    const std::size_t end = std::min(frame.find('\n'), frame.size());
    out.append(frame.substr(0, end)).append("\x1b[K");
    frame.remove_prefix(std::min(end + 1, frame.size()));
    if (!frame.empty()) out += "\r\n";
  }
  out += "\x1b[J";
  std::fwrite(out.data(), 1, out.size(), stdout);
  std::fflush(stdout);
}

std::optional<char> FullScreen::WaitForKey(Duration limit) {
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(limit).count();
  if (::poll(&input, 1, static_cast<int>(std::clamp<std::int64_t>(milliseconds, 0, 60'000))) <= 0)
    return std::nullopt;
  char key = 0;
  if (::read(STDIN_FILENO, &key, 1) != 1) return 'q';  // The terminal has gone.
  return key;
}

}  // namespace mezzo::app::cli
