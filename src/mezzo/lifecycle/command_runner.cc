#include "mezzo/lifecycle/command_runner.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/fd.h"
#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/stage_child.h"
#include "mezzo/runtime/child_process.h"

namespace mezzo::lifecycle {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBuffer = std::size_t{1} << 20;
constexpr std::size_t kMaxLog = 8192;
constexpr std::size_t kShownLog = 600;
constexpr std::size_t kMaxMetrics = std::size_t{64} << 10;
constexpr std::size_t kMostMetrics = 256;
constexpr Duration kTransfer = std::chrono::hours(1);
constexpr Duration kMargin = std::chrono::seconds(30);  ///< For the child to end what it stands over.
constexpr const char* kOwner = "pipelines";

Error DiskError(const std::string& path, int number) {
  return Unavailable("pipeline_folder", "'" + path + "' can't be used: " + std::strerror(number));
}

Result<void> MakeFolders(const std::string& path) {
  std::error_code failed;
  fs::create_directories(path, failed);
  if (failed) return DiskError(path, failed.value());
  return {};
}

/// Removes a folder and what belongs to it when it goes out of scope.
class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}
  ~Folder() { Remove(); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  void Remove() const {
    std::error_code ignored;  // What stays is removed at the next start.
    fs::remove_all(path_, ignored);
    fs::remove(path_ + ".log", ignored);
    fs::remove(path_ + ".stop", ignored);
  }

 private:
  const std::string path_;
};

Result<void> WriteFile(const std::string& path, std::string_view text) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.ok()) return DiskError(path, errno);
  while (!text.empty()) {
    const ssize_t n = ::write(file.get(), text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return DiskError(path, errno);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

/// The end of a file, at most `limit` bytes; empty when it is not there.
std::string Tail(const std::string& path, std::size_t limit) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const auto size = static_cast<std::size_t>(file.tellg());
  file.seekg(static_cast<std::streamoff>(size > limit ? size - limit : 0));
  std::string text(std::min(size, limit), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

/// In one line, for messages.
std::string LastLines(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::string line;
  for (const char c : text) line += c == '\n' ? std::string(" | ") : std::string(1, c);
  return Printable(line, kShownLog * 4);
}

/// Opens what the command left, if it is a plain file: it may have put anything there.
Result<Fd> OpenLeft(const std::string& path) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.ok()) return DiskError(path, errno);
  struct ::stat facts{};
  if (::fstat(file.get(), &facts) != 0) return DiskError(path, errno);
  if (!S_ISREG(facts.st_mode))
    return InvalidArgument("manifest_path", "'" + Printable(path) + "' is no plain file");
  return file;
}

Result<std::size_t> ReadSome(int fd, std::span<std::byte> into, const std::string& path) {
  while (true) {
    const ssize_t n = ::read(fd, into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) return DiskError(path, errno);
  }
}

Error BadMetrics(const std::string& why) {
  return FailedPrecondition("pipeline_metrics", "metrics.json " + why);
}

Result<std::map<std::string, double>> ReadMetrics(const std::string& path) {
  struct ::stat facts{};
  if (::lstat(path.c_str(), &facts) != 0 && errno == ENOENT) return std::map<std::string, double>();
  auto file = OpenLeft(path);
  if (!file.ok()) return BadMetrics("is no plain file");
  std::string text(kMaxMetrics + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    MEZZO_TRY(const std::size_t got,
              ReadSome(file->get(), std::as_writable_bytes(std::span(text.data() + size, text.size() - size)),
                       path));
    if (got == 0) break;
    size += got;
  }
  if (size > kMaxMetrics) return BadMetrics(fmt::format("has more than {} bytes", kMaxMetrics));
  text.resize(size);
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadMetrics("must be an object of numbers");
  if (json.size() > kMostMetrics)
    return BadMetrics(fmt::format("has {} members; the limit is {}", json.size(), kMostMetrics));
  std::map<std::string, double> metrics;
  for (const auto& [name, value] : json.items()) {
    if (name.empty() || name.size() > 64)
      return BadMetrics("has a name that is empty or longer than 64 bytes");
    if (!value.is_number() || !std::isfinite(value.get<double>()))
      return BadMetrics("has '" + Printable(name, 64) + "', which is no finite number");
    metrics[name] = value.get<double>();
  }
  return metrics;
}

/// Paths of the plain files below `folder`, from there.
Result<std::vector<std::string>> FilesBelow(const std::string& folder, const ManifestLimits& limits) {
  std::vector<std::string> files;
  std::error_code failed;
  for (fs::recursive_directory_iterator at(folder, fs::directory_options::none, failed), end;
       at != end && !failed; at.increment(failed)) {
    const auto status = at->symlink_status(failed);
    if (failed) break;
    const std::string path = fs::path(at->path()).lexically_relative(folder).string();
    if (fs::is_directory(status)) {
      if (at.depth() + 1 >= static_cast<int>(limits.max_depth))
        return InvalidArgument("manifest_path", "the folder 'out/" + Printable(path) + "' is too deep");
      continue;
    }
    if (!fs::is_regular_file(status))
      return InvalidArgument("manifest_path", "'out/" + Printable(path) + "' is no plain file");
    files.push_back(path);
    if (files.size() > limits.max_files)
      return InvalidArgument("manifest_limits", fmt::format("out/ has more than {} files", limits.max_files));
  }
  if (failed) return DiskError(folder, failed.value());
  std::sort(files.begin(), files.end());
  return files;
}

std::string Fate(const StageChildEnd& end) {
  if (end.signal != 0) {
    const char* const name = ::sigabbrev_np(end.signal);
    return fmt::format("was ended by signal {}{}", end.signal,
                       name == nullptr ? "" : fmt::format(" (SIG{})", name));
  }
  return fmt::format("ended with status {}", end.status);
}

}  // namespace

PipelineRules RulesOf(const std::map<std::string, CommandRule>& commands) {
  PipelineRules rules;
  for (const auto& [name, rule] : commands)
    rules.commands[name] = {
        .max_arguments = rule.max_arguments, .environment = rule.environment, .max_time = rule.max_time};
  return rules;
}

std::string CommandRunner::PartOf(std::size_t stage, std::uint32_t attempt) {
  return std::to_string(stage * 10'000 + attempt);
}

Result<storage::BlobKey> CommandRunner::KeyOf(const std::string& run, const std::string& part,
                                              const std::string& sha256) {
  const auto number = ParseUint(part);
  if (!number || *number > std::numeric_limits<std::uint32_t>::max())
    return InvalidArgument("pipeline_result_invalid", "'" + Printable(part) + "' names no attempt");
  return storage::BlobKey::Make(TenantId(kOwner), run, static_cast<std::uint32_t>(*number), sha256);
}

Result<void> CommandRunner::Open() {
  std::error_code failed;
  fs::remove_all(options_.folder, failed);
  if (failed) return DiskError(options_.folder, failed.value());
  return MakeFolders(options_.folder);
}

Result<const CommandRule*> CommandRunner::RuleOf(const StageSpec& stage) const {
  const auto refused = [&](const std::string& why) {
    return FailedPrecondition("pipeline_command",
                              "the command '" + Printable(stage.command, 64) + "' " + why);
  };
  const auto found = options_.commands.find(stage.command);
  if (found == options_.commands.end())
    return refused("is not allowed on this host: pipelines.commands does not name it");
  const CommandRule& rule = found->second;
  if (stage.arguments.size() > rule.max_arguments)
    return refused(fmt::format("takes {} further arguments at most, not {}", rule.max_arguments,
                               stage.arguments.size()));
  for (const auto& [name, value] : stage.environment) {
    if (std::find(rule.environment.begin(), rule.environment.end(), name) == rule.environment.end())
      return refused("does not let '" + Printable(name, 64) + "' be set");
  }
  return &rule;
}

Result<void> CommandRunner::Fetch(const StageCommand& command, const std::string& folder,
                                  TimePoint deadline) const {
  std::vector<std::byte> buffer(kBuffer);
  for (const ManifestFile& file : command.inputs) {
    const std::string path = folder + "/in/" + file.path;  // Of a manifest that was checked.
    MEZZO_TRY_VOID(MakeFolders(fs::path(path).parent_path().string()));
    MEZZO_TRY(const storage::BlobKey key, KeyOf(command.run.id, command.inputs_key, file.sha256));
    MEZZO_TRY(const auto reader, ports_.blobs.Read(key, {}, deadline));
    const Fd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!out.ok()) return DiskError(path, errno);
    while (true) {
      MEZZO_TRY(const std::size_t got, reader->Read(buffer, deadline));
      if (got == 0) break;
      for (std::size_t done = 0; done < got;) {
        const ssize_t n = ::write(out.get(), buffer.data() + done, got - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return DiskError(path, errno);
        done += static_cast<std::size_t>(n);
      }
    }
  }
  return {};
}

Result<void> CommandRunner::Collect(const StageCommand& command, const std::string& folder,
                                    StageOutcome& outcome, TimePoint deadline) const {
  MEZZO_TRY(outcome.metrics, ReadMetrics(folder + "/metrics.json"));
  const std::string out = folder + "/out";
  MEZZO_TRY(const std::vector<std::string> paths, FilesBelow(out, options_.files));
  if (paths.empty()) return {};
  std::vector<std::byte> buffer(kBuffer);
  std::vector<ManifestFile> files;
  for (const std::string& path : paths) {
    MEZZO_TRY(const Fd file, OpenLeft(out + "/" + path));
    Sha256 hash;
    ByteCount bytes = 0;
    while (true) {
      MEZZO_TRY(const std::size_t got, ReadSome(file.get(), buffer, path));
      if (got == 0) break;
      hash.Update(BytesView(buffer.data(), got));
      bytes += got;
    }
    files.push_back({.path = path, .sha256 = HexEncode(hash.Finish()), .bytes = bytes});
  }
  MEZZO_TRY(const Manifest manifest, Manifest::Make(std::move(files), options_.files));
  const std::string part = PartOf(command.index, command.attempt);
  for (const ManifestFile& one : manifest.files()) {
    MEZZO_TRY(const storage::BlobKey key, KeyOf(command.run.id, part, one.sha256));
    storage::BlobWriteOptions write;
    write.expires_at = ports_.clock.WallNow() + options_.kept;
    MEZZO_TRY(const auto writer, ports_.blobs.Write(key, std::move(write), deadline));
    MEZZO_TRY(const Fd file, OpenLeft(out + "/" + one.path));
    while (true) {
      MEZZO_TRY(const std::size_t got, ReadSome(file.get(), buffer, one.path));
      if (got == 0) break;
      MEZZO_TRY_VOID(writer->Append(BytesView(buffer.data(), got), deadline));
    }
    MEZZO_TRY(const storage::BlobFacts facts, writer->Commit(deadline));
    // Nobody writes there any more; a file that changed between the two readings is the disk's fault.
    if (facts.sha256 != one.sha256)
      return Unavailable("pipeline_folder", "'out/" + one.path + "' changed while it was read");
  }
  outcome.files = manifest.files();
  return {};
}

Result<StageOutcome> CommandRunner::RunIn(const StageCommand& command, const CommandRule& rule,
                                          const std::string& folder,
                                          const std::function<bool()>& stop) const {
  const TimePoint transfer = AddSaturating(ports_.clock.Now(), kTransfer);
  for (const char* part : {"/in", "/out", "/tmp"}) MEZZO_TRY_VOID(MakeFolders(folder + part));
  MEZZO_TRY_VOID(Fetch(command, folder, transfer));
  const RunTrigger& trigger = command.run.trigger;
  nlohmann::ordered_json why = {
      {"kind", trigger.kind}, {"who", trigger.who}, {"key", trigger.key}, {"joined", trigger.joined}};
  why["detail"] = trigger.detail.empty() ? nlohmann::ordered_json::object()
                                         : nlohmann::ordered_json::parse(trigger.detail, nullptr, false);
  MEZZO_TRY_VOID(WriteFile(folder + "/trigger.json",
                           why.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  StageChildTask task{
      .command = rule.argv,
      .environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                      {"HOME", folder},
                      {"TMPDIR", folder + "/tmp"},
                      {"LANG", "C.UTF-8"},
                      {"MEZZO_RUN", command.run.id},
                      {"MEZZO_PIPELINE", command.run.pipeline},
                      {"MEZZO_STAGE", command.stage.name},
                      {"MEZZO_ATTEMPT", std::to_string(command.attempt)},
                      {"MEZZO_MODEL", command.run.model},
                      {"MEZZO_PARENT", command.run.parent ? std::to_string(*command.run.parent) : ""}},
      .folder = folder,
      .log = folder + ".log",
      .stop_file = folder + ".stop",
      .read = rule.read,
      .memory = rule.memory,
      .max_file = options_.files.max_file_bytes,
      .time_limit = std::min(command.stage.time_limit, rule.max_time),
      .confine = rule.confine,
      .network = rule.network};
  for (const std::string& word : rule.argv) {
    if (word.starts_with('/')) task.read.push_back(word);  // The program, and a script that it runs.
  }
  task.command.insert(task.command.end(), command.stage.arguments.begin(), command.stage.arguments.end());
  for (const auto& [name, value] : rule.fixed) task.environment[name] = value;
  for (const auto& [name, value] : command.stage.environment) task.environment[name] = value;
  const std::string input = task.ToJson();
  runtime::ChildProcess child;
  child.command = options_.child;
  child.input = std::as_bytes(std::span(input.data(), input.size()));
  child.max_output = std::size_t{64} << 10;
  child.max_memory = std::numeric_limits<std::uint64_t>::max();
  child.max_cpu_seconds = std::numeric_limits<unsigned>::max();
  child.max_file = options_.files.max_file_bytes;
  // First by the file, so that the child ends all that the command has begun; by force when it does not.
  std::optional<TimePoint> told;
  child.stop = [&]() {
    if (told) return ports_.clock.Now() > *told + kMargin;
    if (!stop()) return false;
    told = ports_.clock.Now();
    return !WriteFile(task.stop_file, "").ok();
  };
  const TimePoint until = AddSaturating(ports_.clock.Now(), task.time_limit + kMargin);
  MEZZO_TRY(const runtime::ChildEnd ended, runtime::WatchChild(child, until, ports_.clock));
  const auto end = StageChildEnd::FromJson(ended.output);
  StageOutcome outcome{.log = Tail(task.log, kMaxLog)};
  const std::string last = LastLines(Tail(task.log, kShownLog));
  const std::string shown = last.empty() ? "" : "; it wrote last: " + last;
  const auto failed = [&](const std::string& how) {
    return FailedPrecondition("pipeline_command_failed",
                              "the command '" + command.stage.command + "' " + how + shown);
  };
  if (told) return Cancelled("pipeline_stopped", "the command '" + command.stage.command + "' was stopped");
  if (!end.ok()) return failed("was lost: the process that stood over it has ended");
  switch (end->why) {
    case StageChildEnd::Why::kRefused:
      return FailedPrecondition("pipeline_sandbox",
                                "the command '" + command.stage.command + "' was not run: " + end->message);
    case StageChildEnd::Why::kStopped:
      return Cancelled("pipeline_stopped", "the command '" + command.stage.command + "' was stopped");
    case StageChildEnd::Why::kTime:
      return FailedPrecondition("pipeline_time_limit",
                                fmt::format("the command '{}' took longer than {:g} s and was ended{}",
                                            command.stage.command, Seconds(task.time_limit), shown));
    case StageChildEnd::Why::kEnded:
      break;
  }
  if (end->signal != 0 || end->status != 0) return failed(Fate(*end));
  outcome.confined = end->confined;
  auto collected = Collect(command, folder, outcome, AddSaturating(ports_.clock.Now(), kTransfer));
  if (!collected.ok()) return std::move(collected).error();
  return outcome;
}

Result<StageOutcome> CommandRunner::Run(const StageCommand& command, const std::function<bool()>& stop) {
  MEZZO_TRY(const CommandRule* rule, RuleOf(command.stage));
  // Run ids and numbers: a plain name.
  const std::string path =
      fmt::format("{}/{}-{}", options_.folder, command.run.id, PartOf(command.index, command.attempt));
  const Folder folder(path);
  folder.Remove();  // Of the same attempt, before this process crashed.
  return RunIn(command, *rule, path, stop);
}

}  // namespace mezzo::lifecycle
