#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::lifecycle {

/// What a stage child is told on its standard input.
struct StageChildTask {
  std::vector<std::string> command;  ///< The program's absolute path and its arguments: no shell.
  std::map<std::string, std::string> environment;  ///< All of it.
  std::string folder;             ///< The command's working folder: absolute. It may write only there.
  std::string log;                ///< Where its output goes, outside `folder`.
  std::string stop_file;          ///< The command is ended when this file appears.
  std::vector<std::string> read;  ///< What it may read and run beside the system's programs and `folder`.
  std::uint64_t memory = 0;       ///< Bytes of private memory, of each process.
  std::uint64_t max_file = 0;     ///< Bytes of any file that it writes.
  Duration time_limit{};
  bool confine = true;  ///< Without Landlock in the kernel it is not run. False: all files are its own.
  bool network =
      false;  ///< Without, it gets no socket; where the kernel can't keep them from it, it is not run.

  [[nodiscard]] std::string ToJson() const;
  /// Fails with kInvalidArgument "child_task_invalid".
  static Result<StageChildTask> FromJson(std::string_view json);
};

/// How a command ended, as a stage child tells it in one line of JSON.
struct StageChildEnd {
  enum class Why : std::uint8_t { kEnded, kTime, kStopped, kRefused };
  Why why = Why::kEnded;
  int status = 0;
  int signal = 0;
  bool confined = false;
  std::string message;  ///< Of kRefused: why the command was not run.

  [[nodiscard]] std::string ToJson() const;
  /// Fails with kInvalidArgument "child_task_invalid".
  static Result<StageChildEnd> FromJson(std::string_view json);
};

/// The life of a process that stands over one command of a stage: confines and runs it in a process group of
/// its own, and ends it with everything that it has begun when its time is over, when it is to stop, or when
/// the server is gone. Tells the end on standard output. Runs no other threads. The process's exit code.
///
/// It is two processes, one over the other, and what loses its parent below comes to the nearer one
/// (subreaper). When either is killed, the other one ends all that is left; so does this one when the server
/// is gone.
int RunStageChild(const StageChildTask& task);

}  // namespace mezzo::lifecycle
