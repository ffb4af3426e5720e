#pragma once

#include <sys/ioctl.h>
#include <termios.h>

#include <cstddef>
#include <optional>
#include <string_view>

#include "mezzo/base/clock.h"

namespace mezzo::app::cli {

struct TerminalSize {
  std::size_t columns = 80;
  std::size_t lines = 24;
};
/// The size of standard output's terminal; 80 x 24 where it is none.
TerminalSize SizeOfTerminal();

/// While it lives, standard output shows the alternate screen without a cursor and keys arrive singly,
/// unechoed; the destructor brings everything back. Standard input and output must be terminals.
class FullScreen {
 public:
  FullScreen();
  ~FullScreen();
  FullScreen(const FullScreen&) = delete;
  FullScreen& operator=(const FullScreen&) = delete;

  /// Replaces what is shown, without flicker.
  void Show(std::string_view frame);
  /// Waits at most `limit` for a key; nothing when none came or the terminal was resized.
  std::optional<char> WaitForKey(Duration limit);

 private:
  termios before_{};
  bool changed_ = false;
};

}  // namespace mezzo::app::cli
