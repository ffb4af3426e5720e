#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"

namespace mezzo::drivers {

struct WorkerCommand {
  std::vector<std::string> arguments;    ///< The program (looked for in PATH) first.
  std::vector<std::string> environment;  ///< "NAME=value": all that it gets.
  std::string folder;                    ///< It starts there.
  std::shared_ptr<const Fd> package;     ///< Becomes its descriptor kPackage.
};

/// A child process in a process group of its own, with a socket and the package as descriptors, its standard
/// output and error as one pipe, nothing as its input, and no other descriptor of this process.
///
/// It is killed when the thread that started it ends, however that comes about, so that thread has to live as
/// long as the object. Not thread-safe.
class WorkerProcess {
 public:
  static constexpr int kSocket = 3;
  static constexpr int kPackage = 4;

  /// Fails with kUnavailable "worker_start": no such program, no descriptors, no processes.
  static Result<std::unique_ptr<WorkerProcess>> Start(const WorkerCommand& command);
  /// Kills and reaps it; waits for that at most a few seconds.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  /// Kills the whole group at once. The end shows at pidfd().
  void Kill() const;
  /// Reaps a process that has ended, and kills what is left of its group. False when it still runs.
  bool TryReap();
  /// How it ended, once reaped: "it ended with status 3", "it was ended by signal 11 (Segmentation fault)".
  [[nodiscard]] const std::string& ending() const { return ending_; }
  /// Memory of its own: resident, not shared with others. 0 when it is not known (it is ending).
  [[nodiscard]] ByteCount own_memory() const;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }    ///< Readable when it has ended.
  [[nodiscard]] int socket() const { return socket_.get(); }  ///< Does not block.
  [[nodiscard]] int output() const { return output_.get(); }  ///< Does not block.

 private:
  WorkerProcess(pid_t pid, Fd pidfd, Fd socket, Fd output);

  const pid_t pid_;
  const Fd pidfd_;
  const Fd socket_;
  const Fd output_;
  bool reaped_ = false;
  std::string ending_;
};

}  // namespace mezzo::drivers
